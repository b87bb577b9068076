"""Run the Python blocks of the README, in order, in one namespace and a scratch folder.

The gate calls this as a script: what the README shows must work. Blocks fenced as ``python`` run;
blocks of other languages are for reading.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def blocks(text: str) -> list[str]:
    """Return the Python code blocks of a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)


def main() -> int:
    """Run every block; the first error ends it."""
    found = blocks((ROOT / "README.md").read_text())
    if not found:
        sys.stderr.write("README.md holds no Python block\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        namespace: dict[str, object] = {"__name__": "readme"}
        for number, block in enumerate(found, 1):
            exec(compile(block, f"README.md, block {number}", "exec"), namespace)
    sys.stdout.write(f"{len(found)} blocks of README.md ran\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
