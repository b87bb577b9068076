"""A small map of a run's tiles for terminals: two tiles above each other in each character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.style import Style
from rich.text import Text

from edaphos.engine.run_progress import TileState, shrunk

_COLOURS = {
    TileState.NO_LAND: "#1d2b38",
    TileState.WAITING: "#7d868f",
    TileState.DONE: "#2f9e8f",
    TileState.RUNNING: "#e0b040",
    TileState.FAILED: "#d64545",
}
_LETTERS = {
    TileState.NO_LAND: " ",
    TileState.WAITING: ".",
    TileState.DONE: "#",
    TileState.RUNNING: ">",
    TileState.FAILED: "x",
}
_WORDS = {
    TileState.DONE: "done",
    TileState.RUNNING: "running",
    TileState.WAITING: "waiting",
    TileState.FAILED: "failed",
    TileState.NO_LAND: "no soil",
}
#: Lines that the map may take.
LINES = 24


def tile_map(states: NDArray[np.uint8], console: Console) -> Text:
    """Return the map and its key, as wide as the terminal at most.

    Where there are no colours each tile is a letter.
    """
    width = max(10, min(console.width - 1, 120))
    coloured = console.color_system is not None and not console.no_color
    small = shrunk(states, 2 * LINES if coloured else LINES, width)
    rows, cols = small.shape
    large = max(1, min(4, width // cols, (2 * LINES if coloured else LINES) // rows))
    small = small.repeat(large, axis=0).repeat(large, axis=1)
    return _coloured(small) if coloured else _lettered(small)


def _coloured(states: NDArray[np.uint8]) -> Text:
    if states.shape[0] % 2:
        states = np.vstack([states, np.zeros((1, states.shape[1]), np.uint8)])
    text = Text()
    for upper, lower in zip(states[::2], states[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            style = Style(color=_COLOURS[TileState(above)], bgcolor=_COLOURS[TileState(below)])
            text.append("▀", style)
        text.append("\n")
    for state, word in _WORDS.items():
        text.append("■ ", Style(color=_COLOURS[state]))
        text.append(f"{word}  ")
    return text


def _lettered(states: NDArray[np.uint8]) -> Text:
    lines = ("".join(_LETTERS[TileState(s)] for s in row).rstrip() for row in states)
    key = "  ".join(f"{_LETTERS[s]} {word}" for s, word in _WORDS.items() if s)
    return Text("\n".join([*lines, key]))
