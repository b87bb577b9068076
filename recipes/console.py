"""What the commands share: how errors end a command, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from edaphos.engine.errors import EdaphosError, RunError
from edaphos.engine.retry import store_failure


@contextmanager
def errors() -> Iterator[None]:
    """Turn our errors into one clear message and exit 2 (bad input) or 1 (failed run).

    So does a disk that is full, or that may not be written to.
    """
    try:
        yield
    except EdaphosError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        reason = store_failure(error)
        if reason is None:
            raise
        typer.echo(f"error: {reason}; what is finished is kept, mend it and run again", err=True)
        raise typer.Exit(RunError.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("stopped; what is finished is kept, run the same command to continue", err=True)
        raise typer.Exit(130) from None


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1))


def tell_problems(problems: list[str], fine: str) -> None:
    """Raise the problems as one error, or print that all is fine."""
    if problems:
        raise RunError("\n".join(problems))
    typer.echo(fine)
