"""Measuring sample tiles: read, predicted and written as a run does it, and thrown away."""

from __future__ import annotations

import math
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from distributed import Client
from scipy.special import ndtri

from .boundary import bounded
from .cluster import ClusterSpec, connect
from .cube.cube import Cube
from .gpu import require_gpu, tile_resources
from .grid import Grid, Tile
from .map_store import create_map
from .models.protocol import Model
from .place import Place, S3Path
from .plan_estimate import CONFIDENCE, Estimate, Floats, Ints, neediest, strata_of, total
from .plan_replay import Work
from .plan_worker import Measured, measure_tile
from .progress import QUIET, Reporter
from .run import GridSpec, Run
from .store import remove_tree, write_atomically
from .whole_folder import whole_folder

#: Measuring goes on until the interval of the total is within this share of it, or so much of it as
#: more tiles can narrow …
CLOSE_ENOUGH, NARROWED = 0.20, 0.05
#: … or this share of the cells is measured; …
SHARE = 0.02
#: … but for so long at least, or until this share of the cells is measured: what else the machine
#: does changes from one second to the next.
SECONDS, MUCH = 3.0, 0.3
#: Tiles of each stratum that are measured in any case, where it has them.
AT_LEAST = 3
#: Trivial tasks by which the scheduler is timed.
TRIVIAL_TASKS = 200
#: Objects written and read at once to time the store, and the bytes of each.
PROBES, PROBE_BYTES = 4, 4 * 2**20
#: Relative standard deviation of the same work on the same machine at another time, assumed where
#: nothing else keeps its cores busy: clocks, caches and neighbours differ.
LEAST_DRIFT = 0.06


@dataclass(frozen=True)
class Sample:
    """Measured tiles, and what they say of all tiles.

    Parameters
    ----------
    cells, strata
        Soil cells and stratum of every tile with soil, shape ``(n,)``.
    chosen, tiles
        Positions of the measured tiles, and what each took.
    start_seconds
        What the first tile took more than it does later: compiling, opening, warming up.
    spent
        Seconds of wall time that measuring took.
    scheduler_seconds
        What the scheduler and the client take for a task that does nothing.
    store_bytes_s
        Bytes a second that this machine gets of the map's store, :data:`PROBES` objects at once.
    """

    cells: Ints
    strata: Ints
    chosen: Ints
    tiles: tuple[Measured, ...]
    start_seconds: float
    spent: float
    scheduler_seconds: float
    store_bytes_s: float

    def of(self, name: str) -> Floats:
        """Return one figure of every measured tile."""
        return np.array([getattr(tile, name) for tile in self.tiles], np.float64)

    def total(self, name: str, drift: float | None = None) -> Estimate:
        """Return the total of a figure over all tiles; by default, seconds drift and bytes do not.

        `drift` is the relative standard deviation of measuring all of it at another time.
        """
        if drift is None:
            timed = name in ("seconds", "read", "predict", "write", "record")
            drift = self.drift if timed else 0.0
        return total(self.cells, self.strata, self.chosen, self.of(name), drift)

    @property
    def crowding(self) -> float:
        """Share of the tiles' time in which they waited for a core that other work had."""
        return float(self.of("delayed").sum() / self.of("seconds").sum())

    @property
    def drift(self) -> float:
        """Relative standard deviation of the same work on this machine at another time.

        Other work may end, or grow as much again: that is taken for the ends of a 90 % interval.
        """
        return math.hypot(LEAST_DRIFT, self.crowding / float(ndtri((1 + CONFIDENCE) / 2)))

    @property
    def share(self) -> float:
        """Share of the cells that was measured."""
        return float(self.cells[self.chosen].sum() / self.cells.sum())

    @property
    def peak_memory(self) -> int:
        """Largest resident memory of the worker that made the tiles, bytes."""
        return max(tile.peak_memory for tile in self.tiles)

    @property
    def work(self) -> Work:
        """The measured tiles as the replay takes them."""
        return Work(
            read=self.of("read"),
            predict=self.of("predict"),
            write=self.of("write") + self.of("record"),
            read_bytes=self.of("stored_read"),
            write_bytes=self.of("stored_written"),
        )


def sample_tiles(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: tuple[int, ...],
    counts: Ints,
    *,
    kind: str,
    tiles_at_once: int = 1,
    near: Place | None = None,
    reporter: Reporter = QUIET,
    seed: int = 0,
) -> Sample:
    """Measure tiles until the total of their seconds is known well enough.

    Tiles are drawn at random within each stratum, and made as a worker makes them, `tiles_at_once`
    beside each other, on a worker that is started like a run's; one is made before any counts, to
    warm up.

    Parameters
    ----------
    cube, grid, model, years
        What is mapped; the model is fitted.
    counts
        Soil cells of each tile, ``(tile rows, tile columns)``; at least one tile has some.
    kind
        By which the worker finds the model's class.
    near
        The output folder or bucket: samples are written beside it, so that its own speed is
        measured; a temporary folder by default.
    """
    places = np.argwhere(counts > 0)
    cells = counts[counts > 0].astype(np.int64)
    strata = strata_of(cells)
    rng = np.random.default_rng(seed)
    # what is left to draw of each stratum, in random order
    left = [list(rng.permutation(np.flatnonzero(strata == s))) for s in np.unique(strata)]
    with _workshop(cube, grid, model, kind, years, tiles_at_once, near) as shop:
        reference = grid.tile(*(int(i) for i in places[np.argsort(cells)[cells.size // 2]]))
        first, second = (shop.make([reference])[0] for _ in range(2))
        rate, scheduler = shop.store_rate(), shop.scheduler_seconds()
        begun = time.perf_counter()
        chosen: list[int] = []
        tiles: list[Measured] = []
        todo = [left[s].pop() for s in range(len(left)) for _ in range(min(AT_LEAST, len(left[s])))]
        with reporter.task("Measuring sample tiles", cells.size) as progress:
            while todo:
                wanted = [grid.tile(*(int(i) for i in places[position])) for position in todo]
                # the reference keeps the last wanted tile company, as the next would in a run
                tiles += shop.make([*wanted, reference])[:-1]
                chosen += todo
                now = Sample(
                    cells,
                    strata,
                    np.array(chosen, np.int64),
                    tuple(tiles),
                    first.opened + max(0.0, first.seconds - second.seconds),
                    time.perf_counter() - begun,
                    scheduler,
                    rate,
                )
                progress.advance(len(todo), note=f"±{100 * now.total('seconds').relative:.0f} %")
                todo = _more(now, left, tiles_at_once)
    return now


def _more(sample: Sample, left: list[list[int]], tiles_at_once: int) -> list[int]:
    """Return the tiles to measure next, none if enough is known or all is measured."""
    close = sample.total("seconds").relative <= CLOSE_ENOUGH
    narrow = sample.total("seconds", drift=0.0).relative <= NARROWED
    steady = sample.spent >= SECONDS or sample.share >= MUCH
    if steady and (close or narrow or sample.share >= SHARE):
        return []
    found: list[int] = []
    stratum = neediest(sample.cells, sample.strata, sample.chosen, sample.of("seconds"))
    while len(found) < max(2, tiles_at_once) and stratum >= 0 and left[stratum]:
        found.append(left[stratum].pop())
    return found


# -- making tiles that nobody keeps ----------------------------------------------------------------


@dataclass(frozen=True)
class _Workshop:
    """Makes tiles of a run that lasts as long as the sampling, on a worker of its own."""

    run: Run
    client: Client
    resources: Mapping[str, float]

    def make(self, tiles: Sequence[Tile]) -> list[Measured]:
        """Return what tiles took; the worker makes as many beside each other as it has threads."""
        path, run_hash = str(self.run.path.absolute()), self.run.hash
        futures = [
            self.client.submit(
                measure_tile,
                path,
                run_hash,
                *tile.index,
                pure=False,
                resources=dict(self.resources) or None,
            )
            for tile in tiles
        ]
        made: list[Measured] = self.client.gather(futures)
        return made

    def scheduler_seconds(self) -> float:
        """Return the seconds of scheduler and client for a task that does nothing."""
        started = time.perf_counter()
        self.client.gather([self.client.submit(abs, i, pure=False) for i in range(TRIVIAL_TASKS)])
        return (time.perf_counter() - started) / TRIVIAL_TASKS

    def store_rate(self) -> float:
        """Return the bytes a second of writing objects of no pattern and reading them again."""
        data = np.random.default_rng(0).bytes(PROBE_BYTES)
        probes = [self.run.path / f"probe-{i}" for i in range(PROBES)]
        started = time.perf_counter()
        with ThreadPoolExecutor(PROBES) as threads:
            list(threads.map(lambda probe: write_atomically(probe, data), probes))
            list(threads.map(lambda probe: probe.read_bytes(), probes))
        return 2 * PROBES * PROBE_BYTES / (time.perf_counter() - started)


@contextmanager
def _workshop(
    cube: Cube,
    grid: Grid,
    model: Model,
    kind: str,
    years: tuple[int, ...],
    tiles_at_once: int,
    near: Place | None,
) -> Iterator[_Workshop]:
    """Yield a workshop whose run lies beside `near`, and clear it away."""
    folder = _beside(near)
    try:
        identity = {
            "grid": asdict(GridSpec.of(grid)),
            "years": list(years),
            "model": {"kind": kind},
            "cube": {"digest": cube.manifest.digest},
            **bounded(cube.boundary),
        }
        run = Run.start(folder, identity, {"cube": str(cube.path.absolute())})
        if cube.boundary is not None:
            cube.boundary.save(folder)
        with whole_folder(run.model_folder) as filled:
            model.save(filled)
        create_map(folder, grid, model.emits, years, {"title": "a sample"})
        spec = ClusterSpec(workers=1, tiles_at_once=tiles_at_once)
        with connect(spec) as client:
            require_gpu(client, model, spec)
            yield _Workshop(run, client, tile_resources(model, spec))
    finally:
        remove_tree(folder)


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _beside(near: Place | None) -> Place:
    name = f".edaphos-plan-{uuid.uuid4().hex}"
    if isinstance(near, S3Path):
        return near.with_name(name) if near.key else near / name
    if near is not None:
        try:
            folder = existing(near.absolute().parent) / name
            folder.mkdir()
        except OSError:
            pass  # nothing may be written there before the run makes its folder
        else:
            return folder
    return Path(tempfile.mkdtemp(prefix="edaphos-plan-"))
