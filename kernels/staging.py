"""Pieces of an array on a device, the next one copied while the last is worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def staged(pieces: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Yield each piece on `device`, in order.

    To a GPU they go through pinned memory and a stream of their own, one ahead of the reader: its
    work on a piece and the copy of the next overlap. Elsewhere they are handed on as they are.
    """
    if device.type != "cuda":
        yield from pieces
        return
    copying = torch.cuda.Stream(device)
    ahead = None
    for piece in pieces:
        pinned = piece.contiguous().pin_memory()
        with torch.cuda.stream(copying):
            sent = pinned.to(device, non_blocking=True)
            there = copying.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = (sent, there)
    if ahead is not None:
        yield _arrived(*ahead)


def _arrived(sent: Tensor, there: torch.cuda.Event) -> Tensor:
    reading = torch.cuda.current_stream(sent.device)
    reading.wait_event(there)
    sent.record_stream(reading)  # its memory is not given away before the reader is done
    return sent
