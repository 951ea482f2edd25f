"""Raw files to a trained model to a table of predictions to an ONNX file, by commands alone, three times over.

A list of friends with a file of teams; a table of people with names, words and gaps, and one of who knows whom; a table
of molecules as SMILES (with `pip install 'graphkit[molecules]'`). The files are made up here and are read as they are.

    python examples/own_data.py
    python examples/own_data.py --folder own-data --epochs 100
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from graphkit.cli import main as graphkit

SMILES = ("CCO", "CCCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCCCC", "c1ccccc1O", "CCOCC", "C1CCCCC1", "CC(C)O")


def write_friends(folder: Path, draw: random.Random) -> None:
    """Write an edge list, and a file of ``id label`` lines, in which some are missing."""
    teams = {f"user{number}": draw.choice(("red", "green", "blue")) for number in range(90)}
    pairs = [(a, b) for a in teams for b in teams if a < b and draw.random() < (0.2 if teams[a] == teams[b] else 0.01)]
    (folder / "friends.edgelist").write_text("".join(f"{a} {b}\n" for a, b in pairs))
    (folder / "teams.txt").write_text("".join(f"{who} {team}\n" for who, team in teams.items() if draw.random() < 0.9))


def write_people(folder: Path, draw: random.Random) -> None:
    """Write a table of people with words and gaps, and a table of who knows whom how well."""
    people = [(f"Ada, {number}", draw.choice(("nurse", "baker", "Müller"))) for number in range(80)]
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "age", "trade", "votes"])
        for name, trade in people:
            age = round(draw.gauss({"nurse": 30, "baker": 45, "Müller": 60}[trade], 8))
            rows.writerow([name, age if draw.random() < 0.9 else "", trade, "yes" if age > 45 else "no"])
    with (folder / "knows.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "target", "weight"])
        for _ in range(240):
            (one, _), (other, _) = draw.sample(people, 2)
            rows.writerow([one, other, draw.randint(1, 5)])


def write_molecules(folder: Path, draw: random.Random) -> None:
    """Write a table of molecules and a made-up boiling point."""
    with (folder / "molecules.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["smiles", "boils"])
        rows.writerows([smiles, len(smiles) * 20 + draw.gauss(0, 5)] for smiles in SMILES * 5)


def command(*arguments: object) -> None:
    """Run a command as it would be typed, and end with the first that fails."""
    typed = [str(argument) for argument in arguments]
    print("\n$ graphkit", *typed)
    if code := graphkit(typed):
        raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Go all the way with each of the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="Keep everything here.")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder, draw = options.folder or Path(temporary), random.Random(0)
        folder.mkdir(parents=True, exist_ok=True)
        for write in (write_friends, write_people, write_molecules):
            write(folder, draw)
        imports: dict[str, tuple[object, ...]] = {
            "friends": (folder / "friends.edgelist", "--labels", folder / "teams.txt", "--undirected"),
            "people": (folder / "knows.csv", "--nodes", folder / "people.csv", "--target", "votes", "--undirected"),
        }
        if importlib.util.find_spec("rdkit"):
            imports["molecules"] = (folder / "molecules.csv", "--smiles", "smiles", "--target", "boils")
        for name, given in imports.items():
            graph, run = folder / f"{name}-graph", folder / f"{name}-run"
            model = "gin" if name == "molecules" else "gcn"
            command("data", "import", *given, "--to", graph)
            command("train", graph, "--model", model, "--seeds", 2, "--epochs", options.epochs, "--run-dir", run)
            command("predict", run, graph, "--to", folder / f"{name}.csv")
            command("evaluate", run, graph)
            command("export", run, "--format", "onnx", "--to", folder / f"{name}.onnx")
        print(f"\nAll of {', '.join(imports)} went from raw files to predictions and an ONNX file.")


if __name__ == "__main__":
    main()
