"""What a run will take, before anything runs: tiles, bytes, files, memory, time.

What can be known is counted (``plan_size.py``); what cannot is measured on sample tiles
(``plan_sampling.py``), brought to all tiles with an interval (``plan_estimate.py``), and replayed
with any number of workers (``plan_replay.py``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dask.utils import parse_bytes
from numpy.typing import NDArray

from .boundary import bounded
from .cluster import ClusterSpec
from .cube.cube import Cube
from .errors import EdaphosError
from .grid import Grid
from .land import load_index
from .models.protocol import Model
from .place import Place
from .plan_estimate import Estimate
from .plan_replay import Limit, Site, Work, draw_work, limit, wall_seconds, workers_until
from .plan_sampling import Sample, sample_tiles
from .plan_size import (
    Size,
    check_disk,
    check_job_memory,
    check_memory,
    human_bytes,
    human_seconds,
    peak_memory,
    size_of,
    soil_counts,
)
from .products.cog_disk import check_disk as check_room_for_drafts
from .products.cog_disk import temporary_bytes
from .progress import QUIET, Reporter
from .run import GridSpec, Run
from .scratch import scratch_folder

#: Numbers of workers that the replay is told for, beside the recipe's own.
WORKERS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Replayed:
    """Wall time of mapping with some workers, and what keeps it from being shorter."""

    workers: int
    seconds: Estimate
    limit: Limit


@dataclass(frozen=True)
class Timing:
    """What sample tiles say of the whole; totals with their 90 % intervals.

    Parameters
    ----------
    worker_seconds
        Seconds of all tiles' reading, predicting and writing, as the ledger will sum them.
    phases
        Their parts.
    core_hours
        What one worker is kept for: tiles that overlap in it are counted once.
    on_gpu
        Whether the model asks for a GPU, so that the hours are a GPU's.
    stored_read, stored_written
        Bytes from the cube's store and to the map's, compressed.
    tiles, share, crowding, start_seconds, spent
        Of the sample: tiles measured, their share of the cells, the share of their time in which
        other work had the cores, what a worker's first tile takes more than later ones, and how
        long measuring took.
    scheduler_seconds, store_bytes_s, store_given
        Of the replay: the scheduler's time for a tile; the store's rate, and whether it was given
        or measured from this machine.
    replayed
        Wall times.
    scheduler_from, store_from
        Workers beyond which the scheduler or the store is the limit; None where never.
    """

    worker_seconds: Estimate
    phases: dict[str, Estimate]
    core_hours: Estimate
    on_gpu: bool
    stored_read: Estimate
    stored_written: Estimate
    tiles: int
    share: float
    crowding: float
    start_seconds: float
    spent: float
    scheduler_seconds: float
    store_bytes_s: float
    store_given: bool
    replayed: tuple[Replayed, ...]
    scheduler_from: int | None
    store_from: int | None

    def lines(self) -> list[str]:
        """Return it as a person reads it."""
        hours = "GPU-hours" if self.on_gpu else "core-hours"
        seconds = self.worker_seconds
        phases = ", ".join(f"{name} {_share(e, seconds)}" for name, e in self.phases.items())
        rate = f"{self.store_bytes_s / 1e6:,.0f} MB/s"
        told = "as given" if self.store_given else "measured from this machine; --store-mb-s"
        return [
            f"compressed     {_range(self.stored_written, human_bytes)} written, "
            f"{_range(self.stored_read, human_bytes)} read",
            f"work           {_range(seconds, human_seconds)} of one tile after another ({phases})",
            f"{hours:14} {_range(self.core_hours, _hours)}",
            f"sample         {self.tiles} tile(s), {100 * self.share:.1f} % of the cells, in "
            f"{human_seconds(self.spent)}; other work had the cores in "
            f"{100 * self.crowding:.0f} % of their time",
            *(
                f"{one.workers:5,} worker(s) {_range(one.seconds, human_seconds)}, limited by the "
                f"{one.limit}"
                for one in self.replayed
            ),
            f"scheduler      {1000 * self.scheduler_seconds:.1f} ms a tile: the limit "
            f"{_from(self.scheduler_from)}",
            f"store          {rate} ({told}): the limit {_from(self.store_from)}",
        ]


@dataclass(frozen=True)
class Plan:
    """The cost of a run.

    Parameters
    ----------
    tiles, tiles_with_soil, cells
        Tiles of the grid, those to be mapped, and cells to be mapped.
    bytes_read, bytes_written
        Covariate bytes handed to the model, and map bytes before compression, over all tiles.
    peak_memory
        Of one worker, bytes.
    workers, tiles_at_once
        What this holds for.
    map_objects, ledger_records, cogs
        Files and objects at most (:class:`Size`).
    temporary_bytes
        Disk that exporting needs besides what it leaves; below ``TMPDIR`` for a bucket.
    seconds
        Wall time of mapping with these workers (None where there is no soil).
    sampled_cells_per_second
        What one worker makes (None where there is no soil).
    timing
        All that was measured, with intervals (None where there is no soil).
    """

    tiles: int
    tiles_with_soil: int
    cells: int
    bytes_read: int
    bytes_written: int
    peak_memory: int
    workers: int
    tiles_at_once: int
    map_objects: int = 0
    ledger_records: int = 0
    cogs: int = 0
    temporary_bytes: int = 0
    seconds: float | None = None
    sampled_cells_per_second: float | None = None
    timing: Timing | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain numbers."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as a person reads it."""
        exports = (
            f", {self.cogs:,} files of products ({human_bytes(self.temporary_bytes)} more "
            "on a disk while exporting)"
            if self.cogs
            else ""
        )
        lines = [
            f"tiles          {self.tiles_with_soil:,} of {self.tiles:,} hold soil",
            f"cells          {self.cells:,} to map",
            f"reads          {human_bytes(self.bytes_read)} of covariates",
            f"writes         {human_bytes(self.bytes_written)} before compression",
            f"files          up to {self.map_objects:,} objects of the map, "
            f"{self.ledger_records:,} of the ledger{exports}",
            f"memory         up to {human_bytes(self.peak_memory)} a worker; {self.workers} "
            f"worker(s), {self.tiles_at_once} tile(s) at once in each",
        ]
        if self.timing is not None and self.seconds is not None:
            lines += self.timing.lines()
            lines.append(
                f"time           about {human_seconds(self.seconds)} for mapping with "
                f"{self.workers} worker(s) ({self.sampled_cells_per_second:,.0f} cells/s each); "
                "brackets hold the truth in 9 of 10 cases, where each worker has a core"
            )
        return "\n".join(lines)


def plan(
    cube: Cube,
    grid: Grid,
    model: Model,
    years: tuple[int, ...],
    cluster: ClusterSpec,
    training_rows: int = 0,
    *,
    kind: str | None = None,
    out: Place | None = None,
    cogs: bool = False,
    store_mb_s: float | None = None,
    reporter: Reporter = QUIET,
) -> Plan:
    """Work out what mapping will take; the fitted model is timed on sample tiles.

    Parameters
    ----------
    cube, grid, model, years, cluster
        What is mapped, and where; the model is fitted.
    training_rows
        Rows that workers fit models to in cross-validation, 0 where there is none.
    kind
        By which a worker finds the model's class, such as ``module:Class``; the model's own by
        default.
    out
        The output folder or bucket: samples are written beside it (and removed), and its room is
        checked.
    cogs
        Whether the map is to be exported.
    store_mb_s
        What the store gives all workers together, MB/s; measured from this machine by default.

    Raises
    ------
    InputError
        What workers need does not fit this machine's memory (local clusters) or that of a job
        (Slurm), or what is written does not fit the disk, with the numbers.
    """
    peak = peak_memory(cube, grid, model, years, cluster.tiles_at_once, training_rows)
    _check_memory(peak, cluster)
    counts = known_counts(out, cube, grid)
    if counts is None:
        counts = soil_counts(cube, grid, reporter)
    size = size_of(cube, grid, model, years, counts, cogs=cogs)
    temporary = temporary_bytes(grid) if cogs else 0
    timing = None
    if counts.any():
        sample = sample_tiles(
            cube,
            grid,
            model,
            years,
            counts,
            kind=kind or model.kind,
            tiles_at_once=cluster.tiles_at_once,
            near=out,
            reporter=reporter,
        )
        timing = _timing(sample, cluster, model, store_mb_s)
        peak = max(peak, sample.peak_memory)
        _check_memory(peak, cluster)
    if isinstance(out, Path):
        _check_room(out, timing, temporary)
    elif out is not None:
        check_room_for_drafts(scratch_folder(), temporary)
    return _plan(counts, size, peak, cluster, timing, temporary)


def _check_memory(peak: int, cluster: ClusterSpec) -> None:
    if cluster.kind == "local":
        check_memory(peak, cluster.processes)
    elif cluster.kind == "slurm":
        check_job_memory(peak, cluster.slurm.processes, parse_bytes(cluster.slurm.memory))


def _plan(
    counts: NDArray[np.int64],
    size: Size,
    peak: int,
    cluster: ClusterSpec,
    timing: Timing | None,
    temporary: int,
) -> Plan:
    cells = int(counts.sum())
    mine = {one.workers: one for one in timing.replayed} if timing else {}
    return Plan(
        tiles=counts.size,
        tiles_with_soil=int((counts > 0).sum()),
        cells=cells,
        bytes_read=size.bytes_read,
        bytes_written=size.bytes_written,
        peak_memory=peak,
        workers=cluster.planned_workers,
        tiles_at_once=cluster.tiles_at_once,
        map_objects=size.map_objects,
        ledger_records=size.ledger_records,
        cogs=size.cogs,
        temporary_bytes=temporary,
        seconds=mine[cluster.planned_workers].seconds.value if timing else None,
        sampled_cells_per_second=cells / (timing.core_hours.value * 3600) if timing else None,
        timing=timing,
    )


def known_counts(out: Place | None, cube: Cube, grid: Grid) -> NDArray[np.int64] | None:
    """Return the soil cells of each tile that a run of this cube, grid and boundary counted."""
    if out is None:
        return None
    try:
        run = Run.open(out)
    except EdaphosError:
        return None  # no run yet
    same = run.identity.get("cube", {}).get("digest") == cube.manifest.digest
    same &= run.identity.get("boundary") == bounded(cube.boundary).get("boundary")
    return load_index(out) if same and GridSpec.of(run.grid) == GridSpec.of(grid) else None


def _timing(
    sample: Sample,
    cluster: ClusterSpec,
    model: Model,
    store_mb_s: float | None,
) -> Timing:
    seconds = sample.total("seconds")
    work = draw_work(sample.cells, sample.strata, sample.chosen, sample.work)
    known = seconds.value + sample.total("record").value
    work = work.scaled(known / max(float(work.seconds.sum()), 1e-9))
    rate = sample.store_bytes_s if store_mb_s is None else store_mb_s * 1e6

    def site(workers: int) -> Site:
        return Site(
            workers, cluster.tiles_at_once, sample.scheduler_seconds, rate, sample.start_seconds
        )

    def wall(place: Site) -> Estimate:
        return Estimate(*(wall_seconds(work.scaled(f), place) for f in _factors(seconds)))

    bare = Site(1, cluster.tiles_at_once)
    return Timing(
        worker_seconds=seconds,
        phases={name: sample.total(name) for name in ("read", "predict", "write")},
        core_hours=wall(bare).scaled(1 / 3600),
        on_gpu=bool(getattr(model, "needs_gpu", False)),
        stored_read=sample.total("stored_read"),
        stored_written=sample.total("stored_written"),
        tiles=len(sample.tiles),
        share=sample.share,
        crowding=sample.crowding,
        start_seconds=sample.start_seconds,
        spent=sample.spent,
        scheduler_seconds=sample.scheduler_seconds,
        store_bytes_s=rate,
        store_given=store_mb_s is not None,
        replayed=tuple(
            Replayed(workers, wall(site(workers)), limit(work, site(workers)))
            for workers in sorted({*WORKERS, cluster.planned_workers})
        ),
        scheduler_from=_workers_from(work, site(1), "scheduler"),
        store_from=_workers_from(work, site(1), "store"),
    )


def _factors(seconds: Estimate) -> tuple[float, float, float]:
    return 1.0, seconds.low / seconds.value, seconds.high / seconds.value


def _workers_from(work: Work, site: Site, part: Limit) -> int | None:
    found = workers_until(work, site, part)
    return None if math.isinf(found) else max(1, math.ceil(found))


def _check_room(out: Path, timing: Timing | None, temporary: int) -> None:
    """Refuse what the disk cannot hold; products compress about as well as the map does."""
    written = timing.stored_written.high if timing else 0.0
    check_disk(out, written * (1 + 4 / 3 if temporary else 1), temporary)


def _range(found: Estimate, words: Any) -> str:
    return f"{words(found.value)} [{words(found.low)} to {words(found.high)}]"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _share(part: Estimate, whole: Estimate) -> str:
    return f"{100 * part.value / whole.value:.0f} %"


def _from(workers: int | None) -> str:
    return "never" if workers is None else f"beyond {workers:,} worker(s)"
