"""List and run the benchmarks.

``python -m benchmarks``            run all of them
``python -m benchmarks --list``     name them
``python -m benchmarks produce``    run one; ``--json`` for one JSON object a line,
                                    ``--small`` for a quick look;
                                    ``--fraction 0.1`` for that share of a benchmark that can;
                                    ``--minutes 60`` to begin nothing more after an hour, of one
                                    that goes on another time;
                                    ``--write`` to write its table or picture, if it has one
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from pathlib import Path


def names() -> list[str]:
    """Return every benchmark: each file of this folder that measures; the others help them."""
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if "\ndef measure(" in p.read_text("utf-8"))


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(names())}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--small", action="store_true", help="a quick look, not a figure to quote")
    parser.add_argument("--fraction", type=float, help="share of a benchmark that can, 0 to 1")
    parser.add_argument("--minutes", type=float, help="begin nothing more after so many")
    parser.add_argument("--write", action="store_true", help="write its table or picture")
    parser.add_argument("--list", action="store_true", help="name the benchmarks")
    options = parser.parse_args()
    for name in options.names:
        if name not in names():
            parser.error(f'no benchmark "{name}"; there are {", ".join(names())}')
    for name in options.names or names():
        module = importlib.import_module(f"benchmarks.{name}")
        if options.list:
            print(f"{name:12} {(module.__doc__ or '').splitlines()[0]}")
            continue
        extra = {} if options.fraction is None else {"fraction": options.fraction}
        extra |= {} if options.minutes is None else {"minutes": options.minutes}
        extra |= {"write": True} if options.write else {}
        for option in extra:
            if option not in inspect.signature(module.measure).parameters:
                parser.error(f"{name} takes no --{option}")
        for result in module.measure(small=options.small, **extra):
            print(result.to_json() if options.json else result.to_text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
