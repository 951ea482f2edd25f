"""``python -m graphkit.cli`` is ``graphkit``."""

from __future__ import annotations

import sys

from graphkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
