"""The one place where arguments are refused.

A user's mistake raises ``ValueError`` or ``TypeError`` here, once, at the public border; below it the code trusts.
Every message names the argument, what is required, what was given, and where it helps the way out.
"""

from __future__ import annotations

import difflib
import math
import numbers
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The command line looks names up here before torch is loaded, so no heavy import stands at the top.
if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """Return a suggestion such as ``Did you mean 'cora'?``, or when nothing is near the known names or ``listed``.

    Example:
        >>> nearest("corra", ["cora", "citeseer"])
        "Did you mean 'cora'?"
        >>> nearest("zzz", ["cora", "citeseer"])
        'Known: citeseer, cora.'
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return listed or f"Known: {', '.join(known)}."


def member(argument: str, name: str, known: Iterable[str], listed: str = "") -> str:
    """Return ``name`` if it is one of ``known``, else raise with the nearest: ``ValueError``, of no text ``TypeError``.

    Where there are too many to be said, ``listed`` says where they are listed.
    """
    known = list(known)
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be a name, got {name!r}. Known: {', '.join(sorted(known))}.")
    if name not in known:
        raise ValueError(f"`{argument}` {name!r} is not known. {nearest(name, known, listed)}")
    return name


def at_least(argument: str, value: int, least: int) -> int:
    """Return ``value`` as ``int`` if it is an integer, or NumPy's, of ``least`` or more, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{argument}` must be an integer of at least {least}, got {value!r}.")
    return int(value)


def within(argument: str, value: float, low: float, high: float) -> float:
    """Return ``value`` if it lies in [``low``, ``high``), else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value < high:
        raise ValueError(f"`{argument}` must lie in [{low}, {high}), got {value!r}.")
    return value


def positive(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number above 0, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"`{argument}` must be a finite number above 0, got {value!r}.")
    return float(value)


def tensor(argument: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a tensor, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.Tensor):
        texts = isinstance(value, list | tuple) and any(isinstance(each, str) for each in value)
        way = "`numpy.unique(texts, return_inverse=True)[1]` numbers texts" if texts else "`torch.as_tensor` makes one"
        raise TypeError(f"`{argument}` must be a tensor, got {type(value).__name__}; {way}.")
    return value


def symmetric_operator(argument: str, symmetric: bool) -> None:
    """Refuse an operator that does not equal its transpose, where frequencies are asked for."""
    if not symmetric:
        raise ValueError(
            f"`{argument}` must be symmetric to have frequencies; make the graph undirected "
            "(torch_geometric.utils.to_undirected) and do not take normalization='rw'."
        )


def spectrum_covered(found: float, largest: float) -> None:
    """Refuse an operator with an eigenvalue beyond the interval on which polynomials stand for the kernels."""
    if found > largest * (1 + 1e-3):
        raise ValueError(
            f"`operator` has the eigenvalue {found:.4g}, but the bank was made for [0, {largest:.4g}]; make it with "
            f"`largest={found * 1.001:.4g}` or more, or normalise the Laplacian."
        )


def largest_known(normalization: str | None, largest: float | None) -> float:
    """Return the largest eigenvalue that a layer rescales by, or refuse to guess that of an unnormalised Laplacian."""
    if largest is None and normalization is None:
        raise ValueError(
            "`largest` must be given with normalization=None: the layer rescales by each graph's own, which without "
            "`lambda_max` in the call is `eigenvalue_bound(laplacian(edge_index))`."
        )
    return 2.0 if largest is None else positive("largest", largest)


def same_graph(argument: str, parameters: int, nodes: int, same: bool) -> None:
    """Refuse a graph other than the one that a layer's free parameters, one per node, belong to."""
    if parameters != nodes or not same:
        what = f"{nodes:,} nodes" if parameters != nodes else f"another graph of {nodes:,} nodes"
        raise ValueError(
            f"`{argument}` has {parameters:,} parameters tied to the graph it was built on and cannot be used on "
            f"{what}; choose a form that is a function of the eigenvalue, such as 'bands'."
        )


def host_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers as NumPy sees them; without a copy where the tensor is on the CPU."""
    return tensor.detach().cpu().numpy()


def edge_index_in_range(edge_index: Tensor, num_nodes: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return the numbers of source and target nodes, or refuse an ``edge_index`` that does not fit them.

    Raises:
        TypeError: where ``edge_index`` does not hold integers.
        ValueError: for another shape than ``[2, edges]``, and for ids below 0 or beyond ``num_nodes``.
    """
    import torch

    edge_index_shape(edge_index)
    given = num_nodes if num_nodes is None or isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if edge_index.shape[1] == 0:
        return given or (0, 0)
    if edge_index.device.type == "cpu":
        ids = host_array(edge_index)
        lowest, highest = ids.min(axis=1).tolist(), ids.max(axis=1).tolist()
    else:
        lowest, highest = torch.stack(edge_index.detach().aminmax(dim=1)).tolist()
    if min(lowest) < 0:
        raise ValueError(f"`edge_index` must hold node ids from 0 upwards, got {min(lowest)}.")
    if max(highest) >= MOST_NODES:
        raise ValueError(f"`edge_index` has node {max(highest):,}, but no memory has room for so many.")
    sizes = given or (max(highest) + 1, max(highest) + 1)
    for end, top, size in zip(("source", "target"), highest, sizes, strict=True):
        if top >= size:
            raise ValueError(
                f"`edge_index` has {end} node {top}, but there are only {size} {end} nodes (0 to {size - 1})."
            )
    return sizes


def edge_index_shape(edge_index: Tensor) -> None:
    """Refuse what is no ``[2, edges]`` of integers."""
    import torch

    if tensor("edge_index", edge_index).dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"`edge_index` must hold integers (torch.int64), got {edge_index.dtype}; convert it with "
            "`edge_index.long()` if its values are node ids."
        )
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"`edge_index` must have shape [2, edges], got {list(edge_index.shape)}.")


def node_ids(argument: str, nodes: Tensor, num_nodes: int) -> None:
    """Require ids of nodes that are there, ``[ids]`` of integers."""
    if nodes.is_floating_point() or nodes.is_complex() or nodes.dim() != 1:
        raise ValueError(f"`{argument}` must be integers of shape [ids], got {nodes.dtype} {list(nodes.shape)}.")
    wrong = nodes[(nodes < 0) | (nodes >= num_nodes)]
    if len(wrong):
        raise ValueError(f"`{argument}` must hold node ids from 0 to {num_nodes - 1:,}, got {int(wrong[0]):,}.")


def one_row_per_column(x: Tensor, columns: int) -> None:
    """Refuse a signal that has not one row for each column of the matrix that is to multiply it."""
    tensor("x", x)
    rows = x.shape[-2] if x.dim() > 1 else x.shape[0] if x.dim() else None
    if rows != columns:
        raise ValueError(f"`x` must have {columns:,} rows, one per column of the operator, got {list(x.shape)}.")


def one_value_per_edge(argument: str, values: Tensor | None, edges: int) -> None:
    """Refuse edge values whose first axis is not the number of edges, or weights with further axes."""
    if values is None:
        return
    if tensor(argument, values).dim() == 0 or values.shape[0] != edges:
        raise ValueError(f"`{argument}` must have one value per edge ({edges:,}), got {list(values.shape)}.")
    if argument == "edge_weight" and values.numel() != edges:
        raise ValueError(f"`edge_weight` must have shape [edges] = [{edges}], got {list(values.shape)}.")


def embeddings(argument: str, z: Tensor) -> Tensor:
    """Return ``z`` if it is a matrix of finite floating-point numbers, one row per item.

    Raises:
        TypeError: for anything but a tensor, for integers or complex numbers.
        ValueError: for another shape, or for NaN or infinite entries.
    """
    if not dense(argument, z).is_floating_point():
        raise TypeError(f"`{argument}` must hold floating-point numbers, got {z.dtype}.")
    if z.dim() != 2:
        raise ValueError(f"`{argument}` must have shape [items, features], got {list(z.shape)}.")
    finite = z.detach().isfinite()
    if not bool(finite.all()):
        row = int((~finite).any(dim=1).nonzero()[0])
        raise ValueError(f"`{argument}` must be finite, but row {row} holds NaN or infinity.")
    return z


def integer_labels(argument: str, y: Tensor, items: int) -> Tensor:
    """Return ``y`` if it holds one integer per item: as floats, classes above 2**24 would merge.

    Raises:
        TypeError: for anything but a tensor, and for labels that are not integers.
        ValueError: for another shape.
    """
    import torch

    if dense(argument, y).is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"`{argument}` must hold integers, got {y.dtype}; convert it with `.long()`.")
    if y.dim() != 1 or len(y) != items:
        raise ValueError(f"`{argument}` must have shape [items] = [{items}], got {list(y.shape)}.")
    return y


def positive_edge_weights(values: np.ndarray) -> None:
    """Refuse weights that cannot say how near two nodes are: negative, infinite or NaN."""
    import numpy as np

    if not np.isfinite(values).all():
        raise ValueError("`edge_weight` must be finite, but some weights are NaN or infinite.")
    if values.size and values.min() < 0:
        raise ValueError(f"`edge_weight` must be 0 or above to cluster by, got {values.min():.4g}.")


def undirected(symmetric: bool) -> None:
    """Refuse a graph whose edges do not have the same weight in both directions."""
    if not symmetric:
        raise ValueError(
            "`edge_index` must be undirected, every edge in both directions with one weight; "
            "use torch_geometric.utils.to_undirected."
        )


def cluster_numbers(cluster: Tensor, clusters: int | None) -> int:
    """Return the number of clusters, or refuse what does not give each node the number of its cluster.

    Raises:
        TypeError: for numbers that are not integers.
        ValueError: for another shape than ``[nodes]``, and for numbers below 0 or beyond ``clusters``.
    """
    import torch

    if clusters is not None:
        one_of_counts("num_clusters", clusters, 0, MOST_NODES)
    if tensor("cluster", cluster).dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`cluster` must hold integers (torch.int64), got {cluster.dtype}; convert it with `.long()`.")
    if cluster.dim() != 1:
        raise ValueError(f"`cluster` must have shape [nodes], got {list(cluster.shape)}.")
    lowest, highest = (int(cluster.min()), int(cluster.max())) if cluster.numel() else (0, -1)
    if lowest < 0 or (clusters is not None and highest >= clusters):
        most = "upwards" if clusters is None else f"to {clusters - 1}"
        raise ValueError(f"`cluster` must hold numbers from 0 {most}, got {lowest if lowest < 0 else highest}.")
    return highest + 1 if clusters is None else clusters


def one_row_per_node(x: Tensor, nodes: int) -> None:
    """Refuse a signal that has not one row for each node (or place) of the graph."""
    if tensor("x", x).dim() < 2 or x.shape[-2] != nodes:
        raise ValueError(f"`x` must have shape [..., {nodes:,} nodes, features], got {list(x.shape)}.")


def tied_to_nodes(layer: str, parameters: int, nodes: int, given: int, same: bool) -> None:
    """Refuse a graph other than the one whose neighbourhoods have the weights of a layer."""
    if nodes != given or not same:
        what = f"{given:,} nodes" if nodes != given else f"another graph of {nodes:,} nodes"
        raise ValueError(
            f"`{layer}` has {parameters:,} weights tied to the {nodes:,} nodes of the graph it was built on and cannot "
            f"be used on {what}; build it anew there, or take a convolution whose weights all nodes share (ChebConv)."
        )


def members_of_all(cluster: Tensor, clusters: int) -> None:
    """Refuse numbers of clusters of which some have no node."""
    counts = cluster.bincount(minlength=clusters)
    if clusters and int(counts.min()) == 0:
        number = int((counts == 0).nonzero()[0])
        raise ValueError(f"`cluster` must use every number from 0 to {clusters - 1}, but no node has {number}.")


def clusters_within_graphs(crossing: Tensor) -> None:
    """Refuse clusters that hold nodes of two graphs; ``crossing`` is a mask over nodes."""
    if bool(crossing.any()):
        node = int(crossing.nonzero()[0])
        raise ValueError(f"`cluster` must not join nodes of two graphs of the batch, but that of node {node} does.")


def finite_weights(values: Tensor | None) -> None:
    """Refuse edge weights that are infinite or NaN."""
    if values is not None and not bool(values.detach().isfinite().all()):
        raise ValueError("`edge_weight` must be finite, but some weights are NaN or infinite; leave such edges out.")


def weights_of_frequencies(values: Tensor) -> bool:
    """Return true, or refuse edge weights that give a Laplacian no frequencies: negative, infinite or NaN."""
    finite_weights(values)
    values = values.detach()
    if values.numel() and float(values.min()) < 0:
        raise ValueError(
            f"`edge_weight` must be 0 or above for a Laplacian to have frequencies, got {float(values.min()):.4g}; "
            "leave negative edges out: signed graphs need a signed Laplacian."
        )
    return True


def places(argument: str, index: object, items: int) -> Tensor:
    """Return places among ``items`` as int64 ``[places]``, of integers (negative ones from the end) or of a mask.

    Raises:
        TypeError: for what holds neither integers nor booleans.
        ValueError: for another shape than ``[places]``, a mask of another length, and places that are not there.
    """
    import numpy as np
    import torch

    try:
        given = index if isinstance(index, torch.Tensor) else np.asarray(index)
    except ValueError:  # rows of several lengths
        raise ValueError(f"`{argument}` must have shape [places], got {index!r}.") from None
    if isinstance(given, np.ndarray) and given.dtype.kind not in "biu" and given.size:
        raise TypeError(f"`{argument}` must hold integers or a mask, got {str(index)[:60]}.")
    if given.ndim != 1:
        raise ValueError(f"`{argument}` must have shape [places], got {list(given.shape)}.")
    if not len(given):
        return torch.empty(0, dtype=torch.long)
    if isinstance(given, torch.Tensor) and (given.is_floating_point() or given.is_complex()):
        raise TypeError(f"`{argument}` must hold integers or a mask, got {given.dtype}; convert it with `.long()`.")
    if given.dtype in (np.bool_, torch.bool):
        if len(given) != items:
            raise ValueError(f"`{argument}` is a mask and must have length {items:,}, got {len(given):,}.")
        return torch.as_tensor(given).nonzero().squeeze(1)
    lowest, highest = int(given.min()), int(given.max())
    if lowest < -items or highest >= items:
        wrong = lowest if lowest < -items else highest
        raise ValueError(f"`{argument}` must hold places from {-items:,} to {items - 1:,}, got {wrong:,}.")
    found = torch.as_tensor(given.astype(np.int64) if isinstance(given, np.ndarray) else given.long())
    return torch.where(found < 0, found + items, found) if lowest < 0 else found


def classes(argument: str, y: Tensor, known: int = 0) -> int:
    """Return the number of classes of labels 0, 1, ...; negative ones are none. A model has an output for each class.

    Args:
        argument: what holds the labels.
        y: integers, of any shape.
        known: how many classes there are, of which some may be missing; 0 if only the labels tell.

    Raises:
        ValueError: for labels between which numbers are left out: outputs would stand for nothing.
    """
    largest = int(y.max()) if y.numel() else -1
    if largest < known:
        return max(largest + 1, 0)
    found = y[y >= 0].unique() if largest >= y.numel() else (y[y >= 0].long().bincount() > 0).nonzero().flatten()
    if len(found) <= largest:
        raise ValueError(
            f"`{argument}` must number its classes from 0 without a gap, but the largest of {len(found):,} different "
            f"labels is {largest:,}; `torch.unique(y, return_inverse=True)[1]` numbers them anew (leave -1 out)."
        )
    return largest + 1


def weights_of_degrees(values: Tensor) -> None:
    """Refuse edge weights below 0 where nodes are scaled by the roots of their degrees, which are sums of weights."""
    if values.numel() and float(values.min()) < 0:
        raise ValueError(
            f"`edge_weight` must be 0 or above, got {float(values.min()):.4g}: what is learnt is scaled by the root of "
            "a node's degree, its sum of weights; leave negative edges out, or write the loop with a signed layer."
        )


def extent(places: Any) -> tuple[int, int]:
    """Return the least and the largest of some integers, (0, -1) where there are none; on the CPU NumPy is faster."""
    if not len(places):
        return 0, -1
    if not hasattr(places, "device") or str(places.device) == "cpu":
        array = places.detach().numpy() if hasattr(places, "detach") else places
        return int(array.min()), int(array.max())
    import torch

    low, high = torch.stack(places.detach().aminmax()).tolist()
    return low, high


def integers(argument: str, places: np.ndarray | Tensor) -> None:
    """Refuse what are no integers along one axis."""
    kind = str(places.dtype).removeprefix("torch.")
    if kind not in ("int64", "int32", "int16", "int8", "uint8") or places.ndim != 1:
        raise TypeError(f"`{argument}` must hold integers along one axis, got {kind} {list(places.shape)}.")


def rising_pointers(argument: str, pointers: np.ndarray | Tensor, rows: int, entries: int) -> None:
    """Refuse pointers of compressed rows that do not lead from 0 to the number of entries without a step back."""
    integers(argument, pointers)
    if not len(pointers) or len(pointers) != rows + 1:
        raise ValueError(
            f"`{argument}` must have {max(rows, 0) + 1:,} numbers, one more than rows, got {len(pointers):,}."
        )
    first, last = int(pointers[0]), int(pointers[-1])
    if first != 0 or last != entries or bool((pointers[1:] < pointers[:-1]).any()):
        raise ValueError(
            f"`{argument}` must rise from 0 to {entries:,}, the number of entries, got "
            f"{'a step back' if (first, last) == (0, entries) else f'{first:,} to {last:,}'}."
        )


def categories(argument: str, features: Tensor, counts: tuple[int, ...]) -> None:
    """Refuse rows that do not hold one category for each column, from 0 to the column's ``counts`` less 1."""
    import torch

    integers = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
    if tensor(argument, features).dtype not in integers or features.shape[1:] != (len(counts),):
        raise ValueError(
            f"`{argument}` must hold {len(counts)} integer categories in each row, as OGB's molecules have, got "
            f"{features.dtype} {list(features.shape)}."
        )
    if torch.compiler.is_compiling():  # the numbers cannot be read while they are traced
        fits = (features >= 0) & (features < torch.tensor(counts, device=features.device))
        torch._assert_async(fits.all(), f"`{argument}` holds a category that there is not.")
        return
    if not len(features):
        return
    lowest, highest = torch.stack(features.detach().aminmax(dim=0)).tolist()
    for column, (low, high, count) in enumerate(zip(lowest, highest, counts, strict=True)):
        if low < 0 or high >= count:
            raise ValueError(
                f"`{argument}` must hold categories from 0 to {count - 1} in column {column}, as OGB numbers them, got "
                f"{low if low < 0 else high}."
            )


def sources_there(sources: np.ndarray, num_nodes: int) -> None:
    """Refuse edges out of nodes that are not there, as a damaged file has them."""
    low, high = extent(sources)
    if low < 0 or high >= num_nodes:
        raise ValueError(
            f"`edge_index` has an edge from node {low if low < 0 else high}, but nodes go from 0 to {num_nodes - 1}; a "
            "stored graph is damaged then: `stored(folder, verify=True)` compares its checksums."
        )


def node_counts(argument: str, counts: Tensor) -> None:
    """Refuse what does not hold one count for each node, an integer of 0 or more."""
    if tensor(argument, counts).is_floating_point() or counts.is_complex():
        raise TypeError(f"`{argument}` must hold integers, got {counts.dtype}.")
    if counts.dim() != 1 or extent(counts)[0] < 0:
        raise ValueError(f"`{argument}` must hold one number of 0 or more for each node, got {list(counts.shape)}.")


def features_per_item(argument: str, x: Tensor, width: int) -> None:
    """Refuse features of another width than a layer was made for; any fits where that is unknown, below 1."""
    if 0 < width != x.shape[-1]:
        raise ValueError(f"`{argument}` must have {width} features, got {list(x.shape)}.")


def dense(argument: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a dense tensor that holds its numbers, else raise ``TypeError``."""
    import torch

    if tensor(argument, value).layout != torch.strided or value.device.type == "meta":
        raise TypeError(
            f"`{argument}` must be a dense tensor with numbers in it, got {value.layout} on {value.device}; "
            "`to_dense()` makes one of a sparse tensor."
        )
    return value


def class_labels(argument: str, y: Tensor, items: int) -> Tensor:
    """Return ``y`` if it holds one class per item: an integer from 0 upwards, or -1 where it has no label.

    Numbers are not looked at inside a ``torch.func`` transform, which hides them.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another shape, and for labels below -1.
    """
    import torch

    integer_labels(argument, y, items)
    if not torch._C._functorch.is_functorch_wrapped_tensor(y) and y.numel() and int(y.min()) < -1:
        row = int((y < -1).nonzero()[0])
        raise ValueError(
            f"`{argument}` must hold classes from 0 upwards, or -1 for items without a label, got {int(y[row])} in row "
            f"{row}."
        )
    return y


def printable_name(argument: str, name: object) -> str:
    """Return ``name`` if it can be printed, drawn as a title and written to a record as it is.

    Raises:
        TypeError: for what is no text.
        ValueError: for no name, control characters, and the ``$`` and ``\\`` of mathematics that pictures would set.
    """
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be a name, got {name!r}.")
    if not name.strip() or not name.isprintable() or set(name) & set("$\\"):
        raise ValueError(f"`{argument}` must be a name of printable characters, without $ and \\, got {name!a}.")
    return name


def instance(argument: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> Any:
    """Return ``value`` if it is of a class, else raise ``TypeError``, which says what is ``wanted``."""
    if not isinstance(value, kinds):
        given = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"`{argument}` must be {wanted}, got {given}.")
    return value


def not_negative(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number of 0 or more, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise ValueError(f"`{argument}` must be a number of 0 or more, got {value!r}.")
    return float(value)


def fraction(argument: str, value: float) -> float:
    """Return ``value`` as a float if it lies in [0, 1], else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"`{argument}` must lie in [0, 1], got {value!r}.")
    return float(value)


def whole_numbers(argument: str, values: Iterable[int]) -> tuple[int, ...]:
    """Return whole numbers, of Python, NumPy or a tensor, as ``int``, else raise ``TypeError``."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    listed = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else [listed, None]
    if any(isinstance(each, bool) or not isinstance(each, numbers.Integral) for each in listed):
        raise TypeError(f"`{argument}` must be a list of whole numbers, got {_short(values)}.")
    return tuple(int(each) for each in listed)


def _short(value: Any) -> str:
    """Return a value in one line of at most 60 letters."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def item_numbers(argument: str, value: Tensor, axes: str, items: int | None = None) -> Tensor:
    """Return ``value`` if it holds numbers of items, from 0 to ``items - 1``.

    Args:
        argument: its name.
        value: integers with as many axes as are named.
        axes: such as "ways, shots".
        items: how many there are, where that is known.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another number of axes, none at all, and numbers of items that are not there.
    """
    import torch

    if tensor(argument, value).dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`{argument}` must hold numbers of items (torch.int64), got {value.dtype}.")
    if value.dim() != axes.count(",") + 1 or not value.numel():
        raise ValueError(f"`{argument}` must have shape [{axes}], none of them 0, got {list(value.shape)}.")
    lowest, highest = (int(each) for each in value.aminmax())
    if lowest < 0 or (items is not None and highest >= items):
        most = "upwards" if items is None else f"to {items - 1:,}"
        raise ValueError(
            f"`{argument}` must hold numbers of items from 0 {most}, got {lowest if lowest < 0 else highest:,}."
        )
    return value


def path(argument: str, value: Any) -> Path:
    """Return ``value`` as a path if it is one or a text that is not empty."""
    instance(argument, value, (str, os.PathLike), "a path")
    if not os.fspath(value):
        raise ValueError(f"`{argument}` must be a path, got an empty text.")
    return Path(value)


def share(argument: str, value: Any) -> float:
    """Return ``value`` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"`{argument}` must be a share from 0 to 1, got {str(value)[:60]!a}.")
    return float(value)


def finite(argument: str, value: Any) -> float:
    """Return ``value`` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"`{argument}` must be a finite number, got {str(value)[:60]!a}.")
    return float(value)


def seed(argument: str, value: Any) -> int:
    """Return ``value`` if it is an integer that PyTorch's generators take."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not -(2**63) <= int(value) < 2**64:
        raise ValueError(f"`{argument}` must be an integer of 64 bits, got {str(value)[:60]!a}.")
    return int(value)


def generator(argument: str, value: Any) -> None:
    """Refuse what is neither nothing nor a generator."""
    import torch

    if value is not None:
        instance(argument, value, torch.Generator, "a torch.Generator or None")


def count(argument: str, value: Any) -> int:
    """Return ``value`` if it is an integer from 0 that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= int(value) < 2**63:
        raise ValueError(f"`{argument}` must be an integer of at least 0 and of 64 bits, got {str(value)[:60]!a}.")
    return int(value)


MOST_NODES = 2**40
"""Nodes, or clusters, beyond which no machine has room for a number of each."""


def of_class(argument: str, value: object, kind: type, way_out: str = "") -> None:
    """Refuse anything but a ``kind``; ``way_out`` says how one is made."""
    if not isinstance(value, kind):
        given = "a tensor" if type(value).__name__ == "Tensor" else type(value).__name__
        raise TypeError(f"`{argument}` must be a {kind.__name__}, got {given}{f'; {way_out}' if way_out else ''}.")


def number(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number, else raise ``TypeError`` or ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{argument}` must be a number, got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"`{argument}` must be finite, got {value!r}.")
    return float(value)


def switch(argument: str, value: object) -> None:
    """Refuse anything but true or false, for which 1 and 0 may stand."""
    if not isinstance(value, numbers.Integral | bool) or int(value) not in (0, 1):
        raise TypeError(f"`{argument}` must be true or false, got {type(value).__name__}.")


def function(argument: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise TypeError(f"`{argument}` must be a function, got {type(value).__name__}.")


def floating_type(argument: str, dtype: object) -> None:
    """Refuse anything but a type of floating-point or complex numbers."""
    import torch

    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"`{argument}` must be a type of floating-point numbers, such as torch.float32, got {dtype!r}.")


def node_count(num_nodes: int | tuple[int, int] | None) -> None:
    """Refuse what is no number of nodes, nor one of source and one of target nodes."""
    if num_nodes is None:
        return
    given = num_nodes if isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if len(given) != 2:
        raise ValueError(f"`num_nodes` must be one number or a pair, of source and target nodes, got {num_nodes!r}.")
    for count in given:
        if at_least("num_nodes", count, 0) > MOST_NODES:
            raise ValueError(f"`num_nodes` must be at most 2**40, for which no memory has room, got {count:,}.")


def graph_numbers(argument: str, batch: Tensor | None, nodes: int) -> None:
    """Refuse what does not give each node the number of its graph; numbers themselves are looked at where they lie."""
    if batch is None:
        return
    if tensor(argument, batch).is_floating_point() or batch.is_complex() or batch.dtype.itemsize < 4:
        raise TypeError(f"`{argument}` must hold integers, got {batch.dtype}.")
    if batch.shape != (nodes,):
        raise ValueError(f"`{argument}` must have one number per node, [{nodes}], got {list(batch.shape)}.")


def one_of_counts(argument: str, value: int, least: int, most: int) -> int:
    """Return ``value`` as ``int`` if it is an integer from ``least`` to ``most``, else raise ``ValueError``."""
    if at_least(argument, value, least) > most:
        raise ValueError(f"`{argument}` must be at most {most:,}, got {value:,}.")
    return int(value)


def some(argument: str, values: Any, kind: type) -> None:
    """Refuse anything but a list or tuple, not empty, of objects of one class."""
    several = isinstance(values, list | tuple)
    if not several or not values or not all(isinstance(each, kind) for each in values):
        given = ", ".join(sorted({type(each).__name__ for each in values})) if several else type(values).__name__
        raise TypeError(
            f"`{argument}` must hold one {kind.__name__} or more, in a list or tuple, got {given or 'none'}."
        )


def features(argument: str, x: Any, width: int = 0, weight: Tensor | None = None) -> None:
    """Refuse what are not features that a layer can multiply by its weights.

    Args:
        argument: name of ``x``.
        x: a tensor or a ``SparseOperator``, ``[..., nodes, features]``.
        width: how many features the layer was made for; any where that is not above 0.
        weight: of the layer, whose place and type a dense ``x`` must have; autocast sees to types itself.
    """
    import torch

    operator = hasattr(x, "pattern")
    if not operator:
        tensor(argument, x)
    if x.dim() < 2:
        raise ValueError(f"`{argument}` must have shape [..., nodes, features], got {list(x.shape)}.")
    features_per_item(argument, x, width)
    if weight is None or torch.overrides.has_torch_function_unary(weight):  # made later, or of each task its own
        return
    if x.device != weight.device:
        raise ValueError(f"`{argument}` must be on {weight.device}, where the layer's weights are, got {x.device}.")
    if operator or x.dtype == weight.dtype or x.layout != torch.strided:
        return
    if x.device.type == "meta" or not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"`{argument}` must have the type of the layer's weights, {weight.dtype}, got {x.dtype}; convert one of "
            f"them, such as by `{argument}.to({weight.dtype})`."
        )


def pair_of_features(argument: str, x: Any) -> None:
    """Refuse a list or tuple that is not (features of sources, features of targets or ``None``)."""
    if len(x) != 2 or x[0] is None or any(isinstance(end, list | tuple) for end in x):
        raise TypeError(
            f"`{argument}` must be a tensor or a pair (x_source, x_target) of them, got a {type(x).__name__} of "
            f"{len(x)}; `torch.as_tensor` makes a tensor."
        )


def same_device(argument: str, x: Tensor, other: Tensor) -> None:
    """Refuse features that do not lie where what they are used with does."""
    if x.device != other.device:
        raise ValueError(f"`{argument}` must be on {other.device}, as the rest of the call, got {x.device}.")


def dense_features(argument: str, x: Any, other: Tensor) -> None:
    """Refuse what are not features in a dense tensor of floating-point numbers, on the device of ``other``."""
    import torch

    features(argument, x)
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided:
        raise TypeError(f"`{argument}` must be a dense tensor here; `{argument}.to_dense()` makes one.")
    if not x.is_floating_point():
        raise TypeError(
            f"`{argument}` must hold floating-point numbers, got {x.dtype}; `{argument}.float()` makes them."
        )
    same_device(argument, x, other)


def not_mapped(argument: str, mapped: bool) -> None:
    """Refuse a graph that ``torch.vmap`` runs over: what is prepared of it cannot be made for many at once."""
    if mapped:
        raise ValueError(
            f"`{argument}` cannot be mapped over by `torch.vmap`; give it `in_dims=None`, or put the graphs side by "
            "side in one (torch_geometric.data.Batch)."
        )


FLOWS = ("source_to_target", "target_to_source")


def flow_of_messages(flow: str) -> None:
    """Refuse any other direction of messages than PyG's two."""
    if flow not in FLOWS:
        member("flow", flow, FLOWS)


def graph_of_each_node(argument: str, batch: Tensor, nodes: int) -> None:
    """Refuse what has not the number of a graph for each node."""
    if tensor(argument, batch).dim() != 1 or len(batch) != nodes:
        raise ValueError(f"`{argument}` must have shape [nodes] = [{nodes}], got {list(batch.shape)}.")
    if batch.is_floating_point() or batch.is_complex():
        raise TypeError(f"`{argument}` must hold integers, got {batch.dtype}.")


def one_number_or_one_per_graph(argument: str, value: Tensor, batch: Tensor | None) -> None:
    """Refuse another shape than one number, or one for each graph of a ``batch`` that is given."""
    fits = value.numel() == 1 or (batch is not None and value.dim() == 1 and len(value) >= min(1, len(batch)))
    if not fits:
        raise ValueError(
            f"`{argument}` must be one number, or [graphs] numbers beside `batch`, got {list(value.shape)}."
        )


def largest_eigenvalues(argument: str, value: Any, graphs: int = 1) -> None:
    """Refuse what is not the largest eigenvalue of a Laplacian, of each of so many graphs: NaN, infinite, negative."""
    import torch

    found = torch.as_tensor(value).detach().reshape(-1)
    if 1 < len(found) < graphs:
        raise ValueError(f"`{argument}` must have a number for each of {graphs} graphs, got {len(found)}.")
    if len(found) and not bool(((found >= 0) & (found < math.inf)).all()):
        wrong = found[~((found >= 0) & (found < math.inf))][0]
        raise ValueError(f"`{argument}` must be finite and 0 or above, got {float(wrong):.4g}.")


def degrees_with_roots(degree: Tensor) -> None:
    """Refuse degrees below 0, of which a symmetric normalisation takes roots."""
    if degree.numel() and float(degree.min()) < 0:
        node = int(degree.argmin())
        raise ValueError(
            f"`edge_weight` must give every node a degree of 0 or above, whose root divides, but node {node} has "
            f"{float(degree[node]):.4g}; leave negative edges out, or take no symmetric normalisation."
        )


def restart(teleport: float) -> None:
    """Refuse what is no chance of a restart."""
    if not 0 < number("teleport", teleport) < 1:
        raise ValueError(f"`teleport` must lie in (0, 1), got {teleport}.")


def require_finite_logits(accuracies: Sequence[float]) -> None:
    """Refuse accuracies of tasks of which some have none, NaN: their logits were not finite."""
    lost = sum(map(math.isnan, accuracies))
    if lost:
        raise ValueError(
            f"`learner` gave NaN or infinite logits in {lost:,} of {len(accuracies):,} tasks, which therefore have no "
            "accuracy: its inner loop diverged (take a smaller `inner_lr`), or parameters or features hold such values."
        )
