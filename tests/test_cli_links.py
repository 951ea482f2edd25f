"""Links from the command line, from a table of edges to a table of new ones; wrong input, said in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("own_folder")

KARATE = "train karate --task links --model averaged-cosine --seeds 2 --beside none --run-dir run"


def test_from_a_table_of_purchases_to_a_table_of_suggestions(call):
    rows = [f"u{user},i{(user % 2) * 10 + (3 * user + place) % 10}" for user in range(30) for place in range(6)]
    Path("bought.csv").write_text("user,item\n" + "\n".join(rows) + "\n")
    assert call("data", "import", "bought.csv", "--to", "shop")[0] == 0
    code, out, err = call("train", "shop", "--task", "links", "--seeds", "1", "--set", "width=8", "--run-dir", "run")
    assert code == 0, err
    assert "pagerank beside it" in out
    assert call("predict", "run", "--top", "2", "--to", "new.csv")[0] == 0
    found = pd.read_csv("new.csv")
    assert list(found) == ["id", "link", "probability"]
    assert found["id"].str.startswith("u").all()
    assert found["link"].str.startswith("i").all()
    assert not set(zip(found["id"], found["link"], strict=True)) & {tuple(row.split(",")) for row in rows}
    assert found.groupby("id").size().max() == 2


def test_all_figures_of_a_run_are_those_of_its_record(call):
    assert call(*KARATE.split(), "--split-per-seed")[0] == 0
    code, out, err = call("evaluate", "run", "--json", "figures.json")
    assert code == 0, err
    assert "average precision" in out
    kept, figures = (json.loads(Path(name).read_text()) for name in ("run/record.json", "figures.json"))
    assert figures["figures"][kept["metric"]["name"]] == kept["metric"]["values"]
    assert call("evaluate", "run", "--part", "val", "--seed", "1")[0] == 0


def test_fields_of_a_model_of_links_are_searched(call):
    arguments = "--task links --model gcn-link --trials 2 --space hidden=4,8 --seeds 1 --epochs 2 --run-dir tuned"
    code, out, err = call("tune", "karate", *arguments.split())
    assert code == 0, err
    assert "searched" in out
    assert call("evaluate", "tuned")[0] == 0
    assert call("train", "karate", "--task", "links", "--config", "tuned/config.toml", "--seeds", "1")[0] == 0


def test_links_are_ranked_among_hard_pairs(call):
    code, out, err = call(*KARATE.split(), "--hard", "6")
    assert code == 0, err
    assert "mean reciprocal rank" in out
    assert "hard=6" in out
    assert call("evaluate", "run")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train karate --model ncn", "'ncn' is a model of links: it goes with `--task links`"),
        ("train karate --task links --model gcn", "`model` 'gcn' is not known"),
        ("train mutag --task links", "no one graph whose links are predicted; its items are graphs"),
        ("train karate --hard 4", "`--hard` is of links"),
        ("train karate --task links --sampled", "solved for"),
        ("train karate --task links --split dense", "`split` 'dense' is not known"),
        ("train karate --task links --split public", "no published split of its links"),
        ("train karate --task links --metric accuracy", "`metric` 'accuracy' is none of links"),
        ("train karate --task links --metric hits@100", "100 pairs or more that are no links"),
        ("train karate --task links --hard 60", "`count` must be smaller"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(call, arguments, message):
    code, _, err = call(*arguments.split())
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["export run --to model.pt2", "explain run --node 3"])
def test_commands_that_links_do_not_have_say_so(call, command):
    assert call(*KARATE.split())[0] == 0
    code, _, err = call(*command.split())
    assert code == 2
    assert "is a run on links" in err


def test_top_is_of_links(call):
    assert call(*["train", "karate", "--model", "mlp", "--seeds", "1", "--epochs", "2", "--run-dir", "labels"])[0] == 0
    code, _, err = call("predict", "labels", "--top", "3")
    assert code == 2
    assert "`--top` is of a run on links" in err


def test_the_splits_of_links_are_listed_with_what_must_be_named(call):
    code, out, err = call("data", "splits")
    assert code == 0, err
    assert "across:GRAPH,100,1" in out
    assert "random:0.7,0.1,0.2" in out


def test_a_stranger_with_edges_alone_is_led_to_their_links(call, tmp_path):
    (tmp_path / "e.csv").write_text(
        "source,target\n" + "".join(f"{a},{(a + k) % 30}\n" for a in range(30) for k in (1, 2))
    )
    code, out, err = call("data", "import", str(tmp_path / "e.csv"), "--to", str(tmp_path / "net"))
    assert code == 0, err
    typed = re.search(r"graphkit (train \S+ --task links)", " ".join((out + err).split()))[1].removesuffix(".")
    assert call(*typed.split(), "--seeds", "1", "--beside", "none", "--run-dir", str(tmp_path / "run"))[0] == 0


def test_a_network_that_takes_no_weights_names_those_that_do(call, tmp_path):
    rows = "".join(f"{a},{(a + k) % 30},{k}\n" for a in range(30) for k in (1, 2))
    (tmp_path / "e.csv").write_text("source,target,weight\n" + rows)
    assert call("data", "import", str(tmp_path / "e.csv"), "--to", str(tmp_path / "net"))[0] == 0
    code, _, err = call("train", str(tmp_path / "net"), "--task", "links", "--model", "sage-link")
    assert code == 2
    assert "a model that does (gcn-link, filter-link)" in err
