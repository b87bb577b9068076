"""The page that stands in a report's place while the map is being made, and loads itself again."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ..run_progress import PRODUCT_STAGES, Progress, TileState
from .tables import duration

#: Seconds after which the page loads itself again.
REFRESH = 30
#: Failed tiles whose tracebacks are shown.
SHOWN = 20

#: What tiles are called, and the classes that colour them in ``report.css``.
WORDS = {
    TileState.DONE: "done",
    TileState.RUNNING: "running",
    TileState.WAITING: "waiting",
    TileState.FAILED: "failed",
    TileState.NO_LAND: "no soil",
}
_CLASSES = {
    TileState.DONE: "done",
    TileState.RUNNING: "running",
    TileState.WAITING: "waiting",
    TileState.FAILED: "failed",
    TileState.NO_LAND: "none",
}


def progress_page(
    title: str, progress: Progress, states: NDArray[np.uint8], errors: Mapping[str, str]
) -> str:
    """Return the page: one file, that needs nothing else.

    Parameters
    ----------
    title
        Of the map.
    progress
        How far the run is. A page of a run that is over does not load itself again.
    states
        A :class:`~edaphos.engine.run_progress.TileState` for each tile, as the map shows them.
    errors
        Traceback of each failed tile.
    """
    css = (resources.files(__package__) / "report.css").read_text(encoding="utf-8")
    running = progress.state == "running"
    again = f'<meta http-equiv="refresh" content="{REFRESH}">' if running else ""
    share = 100 * progress.done / progress.total if progress.total else 0.0
    numbers = "".join(
        f'<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd><dd class="about">{_text(about)}</dd>'
        "</div>"
        for name, value, about in _numbers(progress)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{again}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}: {share:.0f} %</title><style>{css}</style></head>
<body><main><header><p class="kicker">{_text(_state(progress))}</p><h1>{_text(title)}</h1>
<p class="lede">{_text(_lede(progress))}</p></header>
<div class="progress" role="progressbar" aria-valuenow="{share:.0f}" aria-valuemin="0"
aria-valuemax="100"><span style="width:{share:.1f}%"></span></div>
<dl class="key small">{numbers}</dl>
<section><h2>Tiles</h2>{tile_map(states)}</section>
{_failures(errors)}
<footer><p class="note">Written by process {progress.pid} on {_text(progress.host)} at
{_text(progress.time)} by its clock.</p></footer></main></body></html>
"""


def tile_map(states: NDArray[np.uint8]) -> str:
    """Return the map of tiles as HTML: an SVG of one path for each state, and its key."""
    rows, cols = states.shape
    if not states.size:
        return "<p>It is not known yet which tiles have soil.</p>"
    shapes = []
    for state, name in _CLASSES.items():
        path = "".join(f"M{c} {r}h{n}v1h-{n}z" for r, c, n in _spans(states == state))
        if path and state is not TileState.NO_LAND:
            shapes.append(f'<path class="t-{name}" d="{path}"/>')
    present = [s for s in WORDS if (states == s).any()]
    keys = "".join(
        f'<span><i class="t-{_CLASSES[s]}"></i>{WORDS[s]}: {int((states == s).sum()):,}</span>'
        for s in present
    )
    return (
        f'<div class="tiles"><svg viewBox="0 0 {cols} {rows}" role="img" '
        'aria-label="Map of the tiles by what became of them" shape-rendering="crispEdges">'
        f'<rect class="sea" width="{cols}" height="{rows}"/>{"".join(shapes)}</svg>'
        f'<p class="key-row">{keys}</p></div>'
    )


def _spans(mask: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Return row, first column and length of each unbroken run of true cells in a row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    begins, ends = np.argwhere(change == 1), np.argwhere(change == -1)
    return [(int(r), int(c), int(e - c)) for (r, c), (_, e) in zip(begins, ends, strict=True)]


def _state(progress: Progress) -> str:
    return {
        "running": f"being made: {progress.stage}" if progress.stage else "being made",
        "finished": "mapped",
        "stopped": "stopped",
        "failed": "failed",
    }[progress.state]


def _lede(progress: Progress) -> str:
    words = f"{progress.done:,} of {progress.total:,} tiles are finished."
    if progress.failed:
        words += f" {progress.failed:,} failed."
    if progress.reason:
        words += f" {progress.reason[:1].upper()}{progress.reason[1:].rstrip('.')}."
    if progress.state == "running":
        return f"{words} This page loads itself again; the report takes its place at the end."
    return words


def _numbers(progress: Progress) -> list[tuple[str, str, str]]:
    found = [("Tiles", f"{progress.done:,} / {progress.total:,}", "finished")]
    if progress.rate and progress.stage not in PRODUCT_STAGES:
        found.append(("Rate", f"{progress.rate:,.0f}", "land cells a second, of late"))
    if progress.eta is not None and progress.state == "running":
        found.append(("Left", duration(progress.eta), "for the tiles, at this rate"))
    found.append(("Running for", duration(progress.seconds), "since this process took it up"))
    if progress.workers:
        found.append(("Workers", f"{progress.workers:,}", "processes"))
    if progress.peak_memory:
        peak = f"{progress.peak_memory / 2**20:,.0f} MiB"
        found.append(("Peak memory", peak, "largest worker"))
    if progress.retries:
        found.append(("Retries", f"{progress.retries:,}", "of requests to the store"))
    total = sum(progress.phases.values())
    for name, seconds in progress.phases.items():
        about = f"{100 * seconds / total:.0f} % of the workers' time" if total else ""
        found.append((name.capitalize(), duration(seconds), about))
    return found


def _failures(errors: Mapping[str, str]) -> str:
    if not errors:
        return ""
    shown = list(errors.items())[:SHOWN]
    more = f"<p>and {len(errors) - SHOWN:,} more</p>" if len(errors) > SHOWN else ""
    return f"<section><h2>Failures</h2>{''.join(map(_failure, shown))}{more}</section>"


def _failure(item: tuple[str, str]) -> str:
    tile, error = item
    lines = error.strip().splitlines() or ["no traceback was recorded"]
    return (
        f"<details><summary>{_text(tile)}: {_text(lines[-1][:200])}</summary>"
        f"<pre>{_text(error.strip())}</pre></details>"
    )


def _text(text: str) -> str:
    return html.escape(str(text))
