"""Reading a stack patch by patch so that each of its chunks is read once."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..place import Place
from .layout import Stack
from .stack_reader import Box, Planes, StackReader

#: Time, row and column of a chunk; the time is -1 in a static stack.
_Key = tuple[int, int, int]


class KeptChunks(StackReader):
    """A reader of some bands of a stack that keeps decoded chunks while there is room.

    What it returns is what its parent returns. Asked row of chunks by row of chunks for values that
    reach no further than the chunks around, it reads each chunk once if it may keep those asked for
    in three rows. Not safe to share between threads.

    Parameters
    ----------
    root, stack
        As its parent takes them.
    room
        Bytes of chunks to keep; those used longest ago are let go.
    """

    def __init__(self, root: Place, stack: Stack, room: int) -> None:
        super().__init__(root, stack)
        self._room = room
        self._held = 0
        self._kept: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
        self._bands: tuple[int, ...] = ()

    @property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        height, width = self.array.chunks[-2:]
        return height, width

    def _load(self, top: int, bottom: int, left: int, right: int, planes: Planes) -> NDArray[Any]:
        height, width = self.chunk
        bands, times = planes.shape
        out = np.empty((times, bands, bottom - top, right - left), self.array.dtype)
        for row in range(top // height, math.ceil(bottom / height)):
            for column in range(left // width, math.ceil(right / width)):
                up, low = max(top, row * height), min(bottom, (row + 1) * height)
                west, east = max(left, column * width), min(right, (column + 1) * width)
                down = slice(up - row * height, low - row * height)
                across = slice(west - column * width, east - column * width)
                target = out[:, :, up - top : low - top, west - left : east - left]
                for time, values in enumerate(self._chunks(row, column, planes)):
                    target[time] = values[:, down, across]
        return np.swapaxes(out, 0, 1).reshape(bands * times, bottom - top, right - left)

    def _chunks(self, row: int, column: int, planes: Planes) -> list[NDArray[Any]]:
        """Return one chunk at each time, ``(bands, y, x)``, reading those not kept."""
        if planes.bands != self._bands:
            self._kept.clear()
            self._bands, self._held = planes.bands, 0
        times = planes.times or (-1,)
        found = {time: self._kept.get((time, row, column)) for time in times}
        missing = tuple(time for time, values in found.items() if values is None)
        if missing:
            box = self._box(row, column)
            wanted = Planes(planes.bands, missing if planes.times else ())
            flat = super()._load(box.top, box.bottom, box.left, box.right, wanted)
            several = flat.reshape(*wanted.shape, *flat.shape[-2:])
            for k, time in enumerate(missing):
                found[time] = self._keep((time, row, column), several[:, k])
        for time in times:
            if (time, row, column) in self._kept:
                self._kept.move_to_end((time, row, column))
        return [values for time in times if (values := found[time]) is not None]

    def _box(self, row: int, column: int) -> Box:
        (height, width), (rows, columns) = self.chunk, self.stack.shape
        top, left = row * height, column * width
        return Box(top, min(top + height, rows), left, min(left + width, columns))

    def _keep(self, key: _Key, values: NDArray[Any]) -> NDArray[Any]:
        own = np.ascontiguousarray(values)
        self._kept[key] = own
        self._held += own.nbytes
        while self._held > self._room:
            _, old = self._kept.popitem(last=False)
            self._held -= old.nbytes
        return own
