"""`python -m fluke_async` is the command `fluke`."""

from __future__ import annotations

import sys

from fluke_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
