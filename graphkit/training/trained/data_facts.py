"""What a trained model remembers of its data: names of classes, columns and targets, and which graph it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import integer_between
from graphkit._torch_internals import chosen_graphs, joined_graphs
from graphkit.data import GraphSet
from graphkit.data.fingerprint import tensors_sha256

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, kw_only=True)
class DataNames:
    """Names that data carry, each empty where they carry none.

    Args:
        classes: of the classes, in the order of their numbers.
        columns: of the features, in their order.
        targets: of what is predicted, where it is several tasks or numbers.
        encodings: how columns of a table became features, as the manifest of a stored graph has it.
    """

    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    encodings: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, data: Data | GraphSet) -> DataNames:
        """Return the names that ``data`` carries."""
        return cls(
            classes=_names(data, "class_names"),
            columns=_names(data, "feature_columns"),
            targets=_names(data, "target_names"),
            encodings=tuple(getattr(getattr(data, "store", None), "columns", ())),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, for a file."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Sequence[Any]]) -> DataNames:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{name: tuple(values) for name, values in fields.items()})


def _names(data: Any, field: str) -> tuple[str, ...]:
    """Return the texts of a field of the data or of their card; nothing where there are none."""
    carried = getattr(data, field, None) or getattr(getattr(data, "card", None), field, None) or ()
    return tuple(map(str, carried))


def item_ids(data: Data | GraphSet, items: int) -> list[Any]:
    """Return what the items are called: their names, else the numbers they had before they were numbered, else numbers.

    Args:
        data: of nodes or graphs; the names are ``node_names``, ``graph_names`` or ``original_id``.
        items: how many there are; names of another number are those of something else.
    """
    for field in ("node_names", "graph_names", "original_id"):
        found = getattr(data, field, None)
        found = found.tolist() if isinstance(found, Tensor) else found
        if found is not None and len(found) == items:
            return list(found)
    return list(range(items))


def item_number(data: Data | GraphSet, item: int | str, items: int) -> int:
    """Return the number of an item: of an integer itself, of a text that of the item which is called so.

    Args:
        data: of nodes or graphs.
        item: a number from 0, or a name as :func:`item_ids` has it; where no name is a number, a number as text is one.
        items: how many there are.

    Raises:
        TypeError: for an item that is neither.
        ValueError: for a number that is too large, and a name that no item has, or several have.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> item_number(Data(num_nodes=3, original_id=torch.tensor([70, 80, 90])), "80", 3)
        1
    """
    if not isinstance(item, str):
        return integer_between("item", item, 0, items - 1)
    ids = item_ids(data, items)
    called = list(map(str, ids))
    if item.isdecimal() and (ids == list(range(items)) or not any(map(str.isdecimal, called))):
        return integer_between("item", int(item), 0, items - 1)
    places = [place for place, each in enumerate(called) if each == item]
    if len(places) == 1:
        return places[0]
    if places:
        raise ValueError(
            f"`item` {item!r} is the name of {len(places):,} items: give the number of one, as {places[0]}."
        )
    shown = ", ".join(map(repr, called[:3]))
    raise ValueError(f"`item` {item!r} is the name of none; the {items:,} items are called {shown} and so on.")


def node_words(x: Tensor, names: DataNames) -> list[str] | None:
    """Return the category of each node in the first column of categories, ``None`` where there is no such column.

    Args:
        x: features as they were imported, ``[nodes, features]``.
        names: of its columns, and how they were encoded.

    Example:
        >>> kinds = {"name": "atom", "categories": ["C", "N"]}
        >>> names = DataNames(columns=("atom=C", "atom=N"), encodings=(kinds,))
        >>> node_words(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), names)
        ['N', 'C']
    """
    places = {name: place for place, name in enumerate(names.columns)}
    for each in names.encodings:
        words = [word for word in each["categories"] if f"{each['name']}={word}" in places]
        if words:
            found = x.to_dense()[:, [places[f"{each['name']}={word}"] for word in words]]
            known = (found > 0).any(dim=1).tolist()
            return [words[best] if has else "?" for best, has in zip(found.argmax(dim=1).tolist(), known, strict=True)]
    return None


def labels_of(data: Data | GraphSet) -> Tensor | None:
    """Return the labels of the items, ``None`` where they have none."""
    if not isinstance(data, GraphSet):
        return data.get("y")
    if joined_graphs(data).get("y") is None:
        return None
    places = chosen_graphs(data)
    y: Tensor = data.items.y
    return y if places is None else y[list(places)]


def structure_sha256(data: Data) -> str:
    """Return the checksum of a graph's nodes and edges, in whatever order the edges are stored."""
    row, column = data.edge_index.cpu().numpy().astype(np.int64)
    weight = data.get("edge_weight")
    values = [] if weight is None else [weight.detach().cpu().numpy().reshape(-1)]
    order = np.lexsort((*values, column, row))
    edges = torch.from_numpy(np.stack([row[order], column[order]]))
    weights = {"edge_weight": torch.from_numpy(values[0][order])} if values else {}
    return tensors_sha256({"edge_index": edges, "nodes": torch.tensor(data.num_nodes), **weights})


def aligned_features(x: Tensor, have: DataNames, want: DataNames, model: str) -> Tensor:
    """Return features with the columns that a model was trained on, in their order and by their encodings.

    A column of numbers that another table standardised by its own mean and deviation is standardised by those of the
    training table. A category that the other table does not have is 0 everywhere. Columns beyond those are left out.

    Args:
        x: ``[nodes, features]``.
        have: names and encodings of its columns; where it has none, columns are taken as they stand.
        want: those that the model knows; where it knows none, likewise.
        model: what it is called in messages.

    Raises:
        ValueError: for columns that are missing or of another kind, and for a category that was unknown in training.

    Example:
        >>> have, want = (DataNames(columns=names) for names in (("b", "c", "a"), ("a", "b")))
        >>> aligned_features(torch.tensor([[1.0, 2.0, 3.0]]), have, want, "gcn")
        tensor([[3., 1.]])
    """
    if not want.columns or not have.columns or (have.columns, have.encodings) == (want.columns, want.encodings):
        return x
    x, places = x.to_dense(), {name: place for place, name in enumerate(have.columns)}
    ours, theirs = ({each["name"]: each for each in names.encodings} for names in (have, want))
    # A category that nothing here has is no column that is missing.
    absent = {f"{name}={word}" for name, each in theirs.items() if name in ours for word in each["categories"]}
    if missing := [name for name in want.columns if name not in places and name not in absent]:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"`data` lacks {len(missing):,} of the {len(want.columns):,} columns that the model {model!r} was trained "
            f"on: {shown}; import it with the same columns."
        )
    for name in theirs.keys() & ours.keys():
        _require_known(x, places, ours[name], theirs[name], model)
    found = x.new_zeros(len(x), len(want.columns))
    for place, name in enumerate(want.columns):
        if name in places:
            found[:, place] = _recode(x[:, places[name]], ours.get(name), theirs.get(name))
    return found


def _require_known(
    x: Tensor, places: Mapping[str, int], have: Mapping[str, Any], want: Mapping[str, Any], model: str
) -> None:
    """Refuse a column of another kind than in training, and a category that some row has and training did not."""
    name, known = have["name"], list(want["categories"])
    if (have["kind"] == "category") != (want["kind"] == "category"):
        raise ValueError(
            f"column {name!r} is a {have['kind']} here and was a {want['kind']} where the model {model!r} was trained; "
            "say at the import what it is."
        )
    for word in have["categories"]:
        place = places.get(f"{name}={word}")
        if word not in known and place is not None and bool(x[:, place].any()):
            shown = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
            raise ValueError(
                f"column {name!r} holds {word!r}, a category that the model {model!r} has never seen; it knows "
                f"{shown}: leave the value out, or train again with it."
            )


def _recode(values: Tensor, have: Mapping[str, Any] | None, want: Mapping[str, Any] | None) -> Tensor:
    """Return a column by the mean and deviation of training in place of its own table's."""
    if have is None or want is None or (have["mean"], have["scale"]) == (want["mean"], want["scale"]):
        return values
    raw = values.double() * have["scale"] + have["mean"]
    return ((raw - want["mean"]) / want["scale"]).to(values.dtype)


def aligned_labels(y: Tensor, have: Sequence[str], want: Sequence[str], classes: int) -> Tensor:
    """Return labels numbered as a model numbers its classes; -1 stays -1.

    Args:
        y: ``[items]``, -1 for none.
        have: names of the classes in ``y``; empty where they have none.
        want: names that the model knows; empty where it knows none.
        classes: how many it knows.

    Raises:
        ValueError: for a class that was never seen in training.

    Example:
        >>> aligned_labels(torch.tensor([0, 1, -1]), ["no", "yes"], ["yes", "no"], 2).tolist()
        [1, 0, -1]
    """
    there = y[y >= 0].unique().tolist()
    if have and want:
        table = torch.full((max(len(have), 1),), -2)
        known = {name: number for number, name in enumerate(want)}
        for number, name in enumerate(have):
            table[number] = known.get(name, -2)
        unseen = [have[number] for number in there if table[number] == -2]
        y = torch.where(y >= 0, table.to(y.device)[y.clamp(min=0)], -1)
    else:
        unseen = [str(number) for number in there if number >= classes]
    if unseen:
        raise ValueError(
            f"`y` holds {'a class' if len(unseen) == 1 else 'classes'} never seen in training: "
            f"{', '.join(map(repr, unseen[:5]))}; leave such items out (a label of -1), or train again with them."
        )
    return y


def read_support(path: Path, data: Data | GraphSet) -> dict[int, str]:
    """Return number of an item -> its class, from the first two columns of a table.

    Args:
        path: of a CSV file, or a Parquet file.
        data: whose items are named.

    Raises:
        ValueError: for a table that cannot be read or has one column, a value that is missing, and an item that is not
            there or stands there twice.
    """
    import pandas as pd

    try:
        parquet = path.suffix.lower() == ".parquet"
        found = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(
            f"`support` {str(path)!r} cannot be read as a table: {' '.join(str(error).split())}."
        ) from None
    if len(found.columns) < 2:
        raise ValueError(f"`support` {str(path)!r} must have two columns, items and classes.")
    names = {str(name): place for place, name in enumerate(item_ids(data, _count(data)))}
    labelled: dict[int, str] = {}
    for item, label in zip(found.iloc[:, 0].astype(str), found.iloc[:, 1].astype(str), strict=True):
        if item not in names:
            raise ValueError(f"`support` names {item!r}, which is no item of the data.")
        if names[item] in labelled or not label:
            raise ValueError(f"`support` must give each item one class, but {item!r} has {'two' if label else 'none'}.")
        labelled[names[item]] = label
    return labelled


def _count(data: Data | GraphSet) -> int:
    """Return the number of nodes, or of graphs."""
    return len(data) if isinstance(data, GraphSet) else int(data.num_nodes)
