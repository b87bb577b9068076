"""How a tile is predicted: read, predict, write.

:func:`produce_tile` is the whole life of one Dask task. Everything else about production
(which tiles, when, what is already done) lies in ``produce.py``.
"""

from __future__ import annotations

import inspect
import os
import resource
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .boundary import Boundary
from .cube.cube import Cube
from .errors import InputError
from .grid import Grid, Tile, Window, tile_name
from .ledger import Ledger, Record
from .map_store import MAP, write_tile
from .models.protocol import Model, TileInputs, model_class
from .place import Place
from .retry import store_failure
from .run import Run, differences, files_digest, versions
from .run_log import blot
from .status import MAPPED, Status
from .store import RecordingStore, zarr_store

#: Content (g/kg) from which a soil counts as organic (spec of the field: 12 % carbon).
ORGANIC_G_KG = 120.0

#: One tile computes while its neighbours in the same process read and write.
_COMPUTE = threading.Semaphore(1)


@dataclass(frozen=True)
class RunContext:
    """What a worker opens once for a run, and keeps."""

    run: Run
    cube: Cube
    model: Model
    grid: Grid

    @classmethod
    def open(cls, path: str | Place) -> RunContext:
        """Open cube, model and grid of a run; refuse a cube that changed since the run began."""
        run = Run.open(path)
        cube = Cube.open(run.cube_path)
        expected = run.identity["cube"]["digest"]
        if cube.manifest.digest != expected:
            raise InputError(
                f"{run.cube_path}: the cube changed since the run in {path} began "
                f"(digest {cube.manifest.digest[:12]}, expected {expected[:12]}); "
                "restore the cube or start a new run (--out)"
            )
        digest = run.identity.get("boundary")
        boundary = None if digest is None else Boundary.load(run.path, digest)
        return cls(run, cube.within(boundary), run.load_model(), run.grid)


@lru_cache(maxsize=4)
def run_context(path: str, run_hash: str) -> RunContext:  # noqa: ARG001
    """Open a run once for each process; the hash tells apart runs that follow in one folder.

    Raises
    ------
    InputError
        This process has other versions of the packages that decide the map's bytes than the run,
        or another text of the user's own model.
    """
    context = RunContext.open(path)
    _check_source(context.run)
    held = context.run.identity.get("versions", versions())
    apart = differences(held, versions(held))
    if apart:
        raise InputError(
            f"the worker {_worker()} has other packages than the run in {path}: {'; '.join(apart)} "
            "(there: the run, here: the worker). Give workers and client the same environment"
        )
    return context


#: Digest of the file of each model of a user's own, as it was when this process read the class.
_SOURCES: dict[str, str] = {}


def _check_source(run: Run) -> None:
    """Refuse a model whose class this process read from another text than the run's.

    A worker that stood before the file was changed still has the old class.
    """
    kind = run.identity["model"]["kind"]
    wanted = run.identity["model"].get("source")
    if not wanted:
        return
    if kind not in _SOURCES:
        _SOURCES[kind] = files_digest([Path(inspect.getfile(model_class(kind)))])
    if _SOURCES[kind] != wanted:
        raise InputError(
            f'the worker {_worker()} has another text of the model "{kind}" than the run in '
            f"{run.path}; give it the same file, and start it again where the file was changed"
        )


@dataclass
class Stopwatch:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def produce_tile(run: str, run_hash: str, row: int, col: int) -> Record:
    """Read, predict and write one tile of a run, and enter it in the ledger.

    A failure is recorded with its traceback, not raised, so that one bad tile cannot stop a run.
    Where the store failed, that is told and nothing is recorded: the tile may be as good as any.
    """
    name = tile_name(row, col)
    try:
        with _active(name):
            context = run_context(run, run_hash)
            tile = context.grid.tile(row, col)
            try:
                record = make_tile(context, tile)
            except Exception as error:
                if store_failure(error):
                    raise
                record = failed_tile(tile, traceback.format_exc(), _worker())
            Ledger(context.run.path).write(record)
            return record
    except Exception as error:
        reason = store_failure(error)
        if reason is None:
            raise
        return Record(name, "failed", worker=_worker(), error=traceback.format_exc(), store=reason)


def failed_tile(tile: Tile, error: str, worker: str = "") -> Record:
    """Return the record of a failed attempt, with what was asked of the tile.

    Credentials in the error's text are blotted out.
    """
    w = tile.window
    where = (w.row0, w.col0, w.height, w.width)
    return Record(tile.name, "failed", worker=worker, error=blot(error), window=where)


_ACTIVE: set[str] = set()


@contextmanager
def _active(name: str) -> Iterator[None]:
    _ACTIVE.add(name)
    try:
        yield
    finally:
        _ACTIVE.discard(name)


def active_tiles() -> list[str]:
    """Return the tiles that this process works on."""
    return sorted(_ACTIVE)


def make_tile(context: RunContext, tile: Tile) -> Record:
    """Read, predict and write one tile; return its record without entering it anywhere."""
    watch = Stopwatch()
    with threadpool_limits(1):
        with watch.phase("read"):
            inputs, status = read_inputs(context, tile.window)
        with watch.phase("wait"):
            _COMPUTE.acquire()
        try:
            with watch.phase("predict"):
                values = context.model.predict(inputs)
                status = judge_outputs(status, inputs, values, context.model)
        finally:
            _COMPUTE.release()
        bytes_read = sum(a.nbytes for a in inputs.values.values())
        with watch.phase("write"):
            store = RecordingStore(zarr_store(context.run.path / MAP))
            clipped = write_tile(store, tile.window, context.model.emits.outputs, values, status)
    return Record(
        tile=tile.name,
        outcome="done",
        objects=tuple(store.written()),
        cells=int(inputs.wanted.sum()),
        status=count_status(status),
        clipped=clipped,
        seconds={k: round(v, 4) for k, v in watch.seconds.items()},
        bytes_read=bytes_read,
        worker=_worker(),
        peak_memory=peak_memory(),
        retries=store.retries,
    )


def read_inputs(context: RunContext, window: Window) -> tuple[TileInputs, NDArray[np.uint8]]:
    """Read a tile's covariates and decide which cells can be mapped.

    A soil cell lacking any covariate is ``INVALID_INPUT``, unless what is missing is a declared
    seasonal gap: the model then sees NaN, and the cell counts as ``IMPUTED_INPUT``.
    """
    cube, reads = context.cube, context.model.reads
    status = cube.status(window)
    years = reads.years_for(context.run.years)
    values = cube.read(window, reads.variables, years, reads.halo, year_policy="nearest")
    if reads.judges_missing:
        wanted = status == Status.SOIL
        return TileInputs(window, values, wanted, context.run.years, reads.halo), status
    core = (
        slice(reads.halo, reads.halo + window.height),
        slice(reads.halo, reads.halo + window.width),
    )
    lacking, gaps = np.zeros(window.shape, bool), np.zeros(window.shape, bool)
    for name, array in values.items():
        missing = np.isnan(array[..., core[0], core[1]])
        missing = np.asarray(missing.reshape(-1, *window.shape).any(axis=0))
        if cube.variable(name).seasonal_gap:
            gaps |= missing
        else:
            lacking |= missing
    soil = status == Status.SOIL
    status[soil & gaps] = Status.IMPUTED_INPUT
    status[soil & lacking] = Status.INVALID_INPUT
    return TileInputs(window, values, soil & ~lacking, context.run.years, reads.halo), status


def judge_outputs(
    status: NDArray[np.uint8],
    inputs: TileInputs,
    values: Mapping[str, NDArray[Any]],
    model: Model,
) -> NDArray[np.uint8]:
    """Blank what was not wanted; mark cells the model could not tell, and those it has a word for.

    A model's own ``"status"`` has the last say on a wanted cell: its values are blanked where that
    code carries no prediction, and a code that does is taken only where there are values.
    """
    for output in model.emits.outputs:
        if output.name not in values:
            raise InputError(
                f'model "{model.kind}" declares the output "{output.name}" but returned '
                f"only {sorted(values)}"
            )
        expected = inputs.out_shape(len(model.emits.depths) if output.by_depth else 1)
        if values[output.name].shape != expected:
            raise InputError(
                f'model "{model.kind}" returned "{output.name}" with shape '
                f"{values[output.name].shape}, expected (depth, year, y, x) = {expected}"
            )
        values[output.name][..., ~inputs.wanted] = np.nan
    first = values[model.emits.outputs[0].name]
    blank = np.isnan(first).all(axis=(0, 1))
    status[inputs.wanted & blank] = Status.INVALID_INPUT
    if "soc_mean" in values:
        topsoil = values["soc_mean"][0, 0]
        status[inputs.wanted & (topsoil >= ORGANIC_G_KG)] = Status.ORGANIC
    if "status" in values:
        said = _said(values["status"], inputs, model)
        mapped = np.isin(said, list(MAPPED))
        told = (said != 0) & (~mapped | ~blank)
        status[told] = said[told]
        for output in model.emits.outputs:
            values[output.name][..., told & ~mapped] = np.nan
    return status


def _said(said: NDArray[Any], inputs: TileInputs, model: Model) -> NDArray[np.uint8]:
    """Return a model's status codes, 0 where the cell was not wanted; refuse what is no code."""
    if said.shape != inputs.window.shape or said.dtype != np.uint8:
        raise InputError(
            f'model "{model.kind}" returned "status" as {said.dtype} of shape {said.shape}, '
            f"expected uint8 of shape (y, x) = {inputs.window.shape}"
        )
    unknown = sorted({int(code) for code in np.unique(said)} - {int(s) for s in Status})
    if unknown:
        raise InputError(
            f'model "{model.kind}" returned the status codes {unknown}, which engine/status.py '
            "does not know; use its codes, 0 to leave a cell as it is"
        )
    return np.where(inputs.wanted, said, 0).astype(np.uint8)


def count_status(status: NDArray[np.uint8]) -> dict[str, int]:
    """Return the number of cells of each status present."""
    codes, counts = np.unique(status, return_counts=True)
    return {Status(int(c)).name.lower(): int(n) for c, n in zip(codes, counts, strict=True)}


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    Linux's own high-water mark where there is one: ``getrusage`` also counts what the parent held
    when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _worker() -> str:
    return f"{os.uname().nodename}:{os.getpid()}"
