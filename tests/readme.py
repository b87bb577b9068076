"""Run the Python blocks of the README and of the recipes' pages, each in a scratch folder.

The gate calls this as a script: what they show must work. Blocks fenced as ``python`` run, those of
a page in order and in one namespace; blocks of other languages are for reading. Links between pages
must lead somewhere.
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


def dead_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead to no file."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    return [link for link in links if not (page.parent / link).exists()]


def main() -> int:
    """Run every block; the first error ends it."""
    ran = 0
    for page in (ROOT / "README.md", *sorted((ROOT / "recipes").glob("*.md"))):
        text, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
        dead = dead_links(page, text)
        if dead:
            sys.stderr.write(f"{name}: no such file: {', '.join(dead)}\n")
            return 1
        namespace: dict[str, object] = {"__name__": "readme"}
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            for number, block in enumerate(blocks(text), 1):
                exec(compile(block, f"{name}, block {number}", "exec"), namespace)
                ran += 1
            os.chdir(ROOT)
    if not ran:
        sys.stderr.write("no page holds a Python block\n")
        return 1
    sys.stdout.write(f"{ran} blocks of README.md and recipes/*.md ran\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
