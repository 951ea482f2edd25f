"""What kind of thing an argument is: a switch, a text, a generator, a module; and how a text from data is shown.

As in ``_checks`` a user's mistake raises here, with the name of the argument in backticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# The command line is told names before torch is loaded, so no heavy import stands at the top.
if TYPE_CHECKING:
    import torch


def flag(argument: str, value: bool) -> bool:
    """Return ``value`` if it is true or false, else raise ``TypeError``: the text "no" would count as true."""
    if type(value).__name__ not in ("bool", "bool_"):  # Python's, and NumPy's
        raise TypeError(f"`{argument}` must be True or False, got {value!r}.")
    return bool(value)


def text(argument: str, value: str) -> str:
    """Return ``value`` if it is a text, else raise ``TypeError``."""
    if not isinstance(value, str):
        raise TypeError(f"`{argument}` must be a text, got {type(value).__name__}.")
    return value


def random_generator(argument: str, value: torch.Generator) -> torch.Generator:
    """Return ``value`` if it is a generator of random numbers, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.Generator):
        raise TypeError(
            f"`{argument}` must be a torch.Generator, got {type(value).__name__}; `torch.Generator().manual_seed(0)` "
            "makes one."
        )
    return value


def torch_module(argument: str, value: torch.nn.Module) -> torch.nn.Module:
    """Return ``value`` if it is a module, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.nn.Module):
        raise TypeError(f"`{argument}` must be a torch.nn.Module, got {type(value).__name__}.")
    return value


def printable(value: str, most: int | None = None) -> str:
    r"""Return a text as one line that a terminal or a picture shows letter by letter.

    What moves the cursor, colours, turns the direction of writing or is not seen stands as its escape code. A text of
    more than ``most`` letters is cut.

    Example:
        >>> print(printable("cora\x1b[31m\n"), printable("a long name", most=7))
        cora\x1b[31m\n a long…
    """
    if not value.isprintable():
        value = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in value
        )
    return value if most is None or len(value) <= most else f"{value[: most - 1]}…"
