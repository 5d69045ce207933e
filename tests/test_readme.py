"""The first example of the README gives the output that the README shows."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.tidy import ROOT


def test_the_first_example() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert found is not None
    example, shown = found.groups()
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    assert done.stdout == shown
