"""What the commands do not read of own data is said, once, in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

pytestmark = [
    pytest.mark.usefixtures("own_folder"),
    pytest.mark.filterwarnings("default::graphkit._checks.graphs.GraphWarning"),
]


EDGE_ATTR = "`edge_attr` is not used: only `train` looks at features of edges."
ATOMS = "`x` and `edge_attr` are categories of atoms and bonds, which only `train` looks up"
READERS = {
    "embed": ("--epochs", "1", "--dim", "2", "--no-pictures"),
    "fewshot": (
        "--learner",
        "ridge",
        "--tasks",
        "2",
        "--queries",
        "2",
        "--shots",
        "1,2",
        "--class-split",
        "random:1:2,2,2",
    ),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("what", ["nodes", "graphs", "molecules"])
def test_what_embeddings_and_learners_do_not_read_of_own_data_is_told_once(call, tmp_path, what, command):
    from graphkit.data import GraphSet, store

    drawn = torch.Generator().manual_seed(0)
    many = 60
    if what == "molecules":
        pytest.importorskip("rdkit")
        rows = [f"{'C' * (1 + place % 9)}{'NO'[place % 2]},{place % 6}" for place in range(many)]
        Path("m.csv").write_text("\n".join(["smiles,y", *rows]))
        code, _, err = call(
            "data", "import", "m.csv", "--smiles", "smiles", "--target", "y", "--to", str(tmp_path / "own")
        )
        assert code == 0, err
        data = None
    elif what == "nodes":
        ends = torch.randint(many, (2, 200), generator=drawn)
        data = Data(x=torch.rand(many, 3, generator=drawn), edge_index=ends, y=torch.arange(many) % 6)
        data.edge_attr = torch.rand(200, 2, generator=drawn)
    else:
        pair = torch.tensor([[0, 1], [1, 0]])
        data = GraphSet.of(
            Data(
                x=torch.randint(2, (2, 9), generator=drawn),
                edge_index=pair,
                edge_attr=torch.zeros(2, 3, dtype=torch.long),
                y=torch.tensor([place % 6]),
            )
            for place in range(many)
        )
    if data is not None:
        store(data, tmp_path / "own")
    code, _, err = call(command, str(tmp_path / "own"), *READERS[command])
    assert code == 0, err
    assert err.count(ATOMS if what == "molecules" else EDGE_ATTR) == 1
    assert "INFO" not in err
