"""What PyTorch Geometric leaves in the temporary folder: the code it writes for each kind of layer, and imports."""

from __future__ import annotations

import atexit
import sys
import tempfile
from functools import cache
from pathlib import Path


@cache
def sweep_at_exit() -> None:
    """Remove at the end what this process has written, and nothing of another one."""
    atexit.register(sweep)


def sweep() -> None:
    """Remove the files that modules of this process were made of, as ``torch_geometric.template`` makes them.

    They are known by the module that was read from them; a file with the same name of another process is not there.
    """
    folder = Path(tempfile.gettempdir())
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.parent == folder and file.suffix == ".py" and file.name.startswith(f"{name}_"):
            file.unlink(missing_ok=True)
