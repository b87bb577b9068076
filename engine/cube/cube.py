"""Reading a cube: covariates at their native resolution, resampled onto the cells asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..boundary import Boundary, mask_of
from ..errors import InputError, did_you_mean
from ..grid import Grid, Window
from ..place import Place, place
from ..status import Status
from ..store import StoredObject, checksum, list_objects
from .layout import CubeManifest, Variable, read_manifest
from .points import located, neighbouring, patch_cells, unique_cells
from .stack_reader import Planes, StackReader

YearPolicy = Literal["error", "nearest"]
Values = dict[str, NDArray[np.float32]]

#: Patch cells evaluated at once.
_PATCH_CELLS = 2**20
#: Objects verified at once; each is held in memory whole.
_VERIFIERS = 4


class Cube:
    """A cube on disk or in a bucket, read onto any grid.

    What :meth:`read`, :meth:`at` and :meth:`patches` return for a cell of a grid is one and the
    same value, bit for bit, whatever window, tile or point it is asked through. How values are
    resampled is told in :mod:`edaphos.engine.cube.resampling`. Safe to share between threads;
    sent to another process it travels as its path.

    Parameters
    ----------
    path
        The cube's folder, or its place in a bucket.
    manifest
        What it holds.
    boundary
        Outside which no cell counts as soil; its values are there all the same.
    """

    def __init__(
        self, path: Place, manifest: CubeManifest, boundary: Boundary | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.boundary = boundary
        self._readers: dict[str, StackReader] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: str | Place) -> Cube:
        """Open a cube and check that every object it was built of is there with its size.

        Raises
        ------
        InputError
            No cube, an unfinished one, or one that was changed since it was built.
        """
        path = place(path)
        cube = cls(path, read_manifest(path))
        problems = cube._changed_sizes()
        if problems:
            raise InputError(
                f"{path}: cube changed since it was built: {_some(problems)}; "
                "build it again with `edaphos cube build`"
            )
        return cube

    def within(self, boundary: Boundary | None) -> Cube:
        """Return the same cube, with soil inside a boundary alone."""
        return self if boundary is None else Cube(self.path, self.manifest, boundary)

    @classmethod
    def _attach(cls, path: Place, boundary: Boundary | None) -> Cube:
        return cls(path, read_manifest(path), boundary)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Cube._attach, (self.path, self.boundary))

    def __repr__(self) -> str:
        return f"Cube({str(self.path)!r}, {len(self.manifest.variables)} variables)"

    # -- what it holds --------------------------------------------------------------------------

    def variable(self, name: str) -> Variable:
        """Return a variable's description; an unknown name raises `InputError`."""
        return self.manifest.variable(name)

    def times(self) -> dict[str, str]:
        """Return ``static``, ``monthly`` or ``yearly`` for each variable."""
        return {name: v.time for name, v in self.manifest.variables.items()}

    def resolution(self, name: str) -> tuple[float, float, str]:
        """Return a variable's own cell size along x and y and the CRS they are in."""
        stack = self.manifest.stacks[self.variable(name).stack]
        return stack.transform[0], -stack.transform[4], stack.crs

    def missing_bands(self, variables: Sequence[str]) -> None:
        """Check that the cube has all `variables`.

        Raises
        ------
        InputError
            Names each one it lacks and the nearest one it has.
        """
        known = self.manifest.variables
        missing = [name for name in variables if name not in known]
        if missing:
            hints = "; ".join(f'"{name}" ({did_you_mean(name, known)})' for name in missing)
            raise InputError(
                f"{self.path}: the cube has no variable {hints}; "
                "add it to the cube's sources and build it again, or correct the name"
            )

    # -- values ---------------------------------------------------------------------------------

    def read(
        self,
        where: Window | GeoBox,
        variables: Sequence[str],
        years: Sequence[int] = (),
        halo: int = 0,
        year_policy: YearPolicy = "error",
    ) -> Values:
        """Return the values of a rectangle of cells.

        Parameters
        ----------
        where
            A window of a grid, or a whole GeoBox.
        variables
            Names of cube variables.
        years
            Years wanted of yearly variables.
        halo
            Cells to add on each side. On global grids columns go around and rows beyond a pole
            repeat the last one; elsewhere cells outside the grid are read like any other.
        year_policy
            What to do with a year that a variable lacks: ``error``, or take the ``nearest`` held
            (the earlier of two).

        Returns
        -------
        dict
            float32, NaN for missing, classes as codes: static ``(y, x)``, monthly
            ``(12, y, x)``, yearly ``(len(years), y, x)``.

        Raises
        ------
        InputError
            Unknown variable, no years for a yearly one, or years that it lacks.
        """
        window = _window(where).padded(halo)
        found: Values = {}
        for reader, planes, names in self._requests(variables, years, year_policy):
            _share(found, names, planes, reader.window(window, planes))
        return {name: found[name] for name in variables}

    def at(
        self,
        lon: NDArray[np.float64],
        lat: NDArray[np.float64],
        grid: Grid,
        variables: Sequence[str],
        years: Sequence[int] = (),
        year_policy: YearPolicy = "error",
    ) -> Values:
        """Return for each point the value that :meth:`read` gives in the cell that holds it.

        Parameters
        ----------
        lon, lat
            WGS 84 degrees, shape ``(n,)``.
        grid
            The grid of the map.
        variables, years, year_policy
            As in :meth:`read`.

        Returns
        -------
        dict
            float32: static ``(n,)``, monthly ``(n, 12)``, yearly ``(n, len(years))``; NaN for
            missing values and for points off the grid.
        """
        rows, cols, inside = located(grid, lon, lat)
        found: Values = {}
        for reader, planes, names in self._requests(variables, years, year_policy):
            values = np.full((*planes.shape, inside.size), np.nan, np.float32)
            values[:, :, inside] = unique_cells(reader, grid, rows[inside], cols[inside], planes)
            _share(found, names, planes, values, time_last=True)
        return {name: found[name] for name in variables}

    def patches(
        self,
        lon: NDArray[np.float64],
        lat: NDArray[np.float64],
        grid: Grid,
        variables: Sequence[str],
        size: int,
        years: Sequence[int] = (),
        year_policy: YearPolicy = "error",
    ) -> Values:
        """Return for each point the square of cells around its cell, as :meth:`read` gives them.

        Cells of a patch beyond the grid are what :meth:`read` gives in a halo there, so that a
        model sees the same in training as on the map.

        Parameters
        ----------
        lon, lat, grid, variables, years, year_policy
            As in :meth:`at`.
        size
            Cells along a side, odd; the point's cell is in the middle.

        Returns
        -------
        dict
            float32: static ``(n, size, size)``, else ``(n, time, size, size)``; NaN for missing
            values and for points off the grid.

        Raises
        ------
        InputError
            `size` is not a positive odd number, or as in :meth:`read`.
        """
        if size < 1 or size % 2 == 0:
            raise InputError(f"patch size must be a positive odd number of cells, found {size}")
        rows, cols, inside = located(grid, lon, lat)
        found: Values = {}
        for reader, planes, names in self._requests(variables, years, year_policy):
            values = np.full((*planes.shape, inside.size, size, size), np.nan, np.float32)
            for chosen in neighbouring(rows, cols, inside, max(1, _PATCH_CELLS // size**2)):
                down, across = patch_cells(grid, rows[chosen], cols[chosen], size)
                flat = unique_cells(reader, grid, down, across, planes)
                values[:, :, chosen] = flat.reshape(*planes.shape, chosen.size, size, size)
            _share(found, names, planes, values, time_last=True)
        return {name: found[name] for name in variables}

    def status(self, window: Window) -> NDArray[np.uint8]:
        """Return the soil mask's :class:`~edaphos.engine.status.Status` codes, ``(y, x)``.

        All soil where the cube has no mask; cells that the mask does not cover are sea. Soil whose
        cell has its centre outside the boundary is told as such.
        """
        name = self.manifest.masks.soil_mask
        found = np.full(window.shape, Status.SOIL, np.uint8)
        if name:
            codes = self.read(window, [name])[name]
            found = np.where(np.isnan(codes), Status.SEA, codes).astype(np.uint8)
        if self.boundary is not None:
            outside = ~mask_of(self.boundary, window.grid).inside(window)
            found[outside & (found == Status.SOIL)] = Status.OUTSIDE_BOUNDARY
        return found

    # -- checks and plans -----------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Read every object and compare it with what was recorded at build; return the problems."""
        with ThreadPoolExecutor(_VERIFIERS) as pool:
            found = pool.map(self._problem, self.manifest.objects)
            problems = [problem for problem in found if problem]
        return problems + self._unexpected(list_objects(self.path / "stacks"))

    def _problem(self, item: StoredObject) -> str:
        try:
            data = (self.path / item.key).read_bytes()
        except FileNotFoundError:
            return f"{item.key}: missing"
        if len(data) != item.size:
            return f"{item.key}: expected {item.size} bytes, found {len(data)}"
        if checksum(data) != item.crc32c:
            return f"{item.key}: expected CRC-32C {item.crc32c}, found {checksum(data)}"
        return ""

    def nbytes_for(
        self, window: Window, variables: Sequence[str], years: Sequence[int] = (), halo: int = 0
    ) -> int:
        """Return an upper estimate of the bytes that :meth:`read` holds at its peak."""
        padded = window.padded(halo)
        cells, output, scratch = padded.height * padded.width, 0, 0
        for reader, planes, _ in self._requests(variables, years, "nearest"):
            output += 4 * len(planes) * cells
            scratch = max(scratch, reader.scratch_bytes(padded, planes))
        return output + scratch

    def _changed_sizes(self) -> list[str]:
        held = {f"stacks/{key}": size for key, size in list_objects(self.path / "stacks").items()}
        problems = []
        for item in self.manifest.objects:
            size = held.get(item.key)
            if size is None:
                problems.append(f"{item.key}: missing")
            elif size != item.size:
                problems.append(f"{item.key}: expected {item.size} bytes, found {size}")
        return problems

    def _unexpected(self, held: dict[str, int]) -> list[str]:
        """Name chunks that were not written at build: an absent chunk means missing values.

        Metadata of enclosing groups is left out, it holds no values.
        """
        known = {item.key for item in self.manifest.objects}
        keys = (f"stacks/{key}" for key in sorted(held) if not key.endswith("zarr.json"))
        return [f"{key}: not in the manifest" for key in keys if key not in known]

    # -- requests -------------------------------------------------------------------------------

    def _reader(self, stack: str) -> StackReader:
        with self._lock:
            if stack not in self._readers:
                self._readers[stack] = StackReader(self.path, self.manifest.stacks[stack])
            return self._readers[stack]

    def _requests(
        self, variables: Sequence[str], years: Sequence[int], policy: YearPolicy
    ) -> Iterator[tuple[StackReader, Planes, list[str]]]:
        """Group variables that are read together: one stack, the same months or years."""
        self.missing_bands(variables)
        groups: dict[tuple[str, tuple[int, ...]], list[Variable]] = {}
        for name in dict.fromkeys(variables):
            variable = self.variable(name)
            times = self._times(variable, years, policy)
            groups.setdefault((variable.stack, times), []).append(variable)
        for (stack, times), members in groups.items():
            members.sort(key=lambda v: v.band)
            planes = Planes(tuple(v.band for v in members), times)
            yield self._reader(stack), planes, [v.name for v in members]

    def _times(
        self, variable: Variable, years: Sequence[int], policy: YearPolicy
    ) -> tuple[int, ...]:
        if variable.time == "static":
            return ()
        if variable.time == "monthly":
            return tuple(range(12))
        stack_years = self.manifest.stacks[variable.stack].years
        held = variable.years or stack_years
        if not years:
            raise InputError(
                f'{self.path}: variable "{variable.name}" is yearly and no years were asked for; '
                f"it holds {_ranges(held)}"
            )
        absent = [year for year in years if year not in held]
        if absent and policy == "error":
            raise InputError(
                f'{self.path}: variable "{variable.name}" has no {_ranges(absent)}; it holds '
                f'{_ranges(held)}: ask for those, or use the year policy "nearest"'
            )
        nearest = (min(held, key=lambda h: (abs(h - year), h)) for year in years)
        return tuple(stack_years.index(year) for year in nearest)


def _window(where: Window | GeoBox) -> Window:
    return where if isinstance(where, Window) else Grid(where).whole


def _share(
    found: Values,
    names: list[str],
    planes: Planes,
    values: NDArray[np.float32],
    time_last: bool = False,
) -> None:
    """Give each variable its part of ``(band, time, …)``, or ``(n, time, …)`` of points."""
    for band, name in enumerate(names):
        part = values[band] if planes.times else values[band, 0]
        if planes.times and time_last:
            part = np.ascontiguousarray(np.swapaxes(part, 0, 1))
        found[name] = part


def _ranges(years: Sequence[int]) -> str:
    """Return years as people write them.

    >>> _ranges([1990, 1991, 1992, 2000])
    '1990-1992, 2000'
    """
    runs: list[list[int]] = []
    for year in sorted(set(years)):
        if runs and year == runs[-1][1] + 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in runs) or "none"


def _some(problems: list[str], most: int = 3) -> str:
    more = f" and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more
