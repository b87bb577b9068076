"""A model of the world: squares cut, nets trained, alone and by two processes; samples a second.

Squares of three windows around places of a made-up cube, beside reading the chunks that they lie
in once; training of the recipe's net, beside preparing its batches alone, and beside one batch
that is learned again and again; and one training over two worker processes beside one, all on the
CPU with a thread each. Training is on a GPU where there is one, and told so.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import zarr
from distributed import Client, LocalCluster

from edaphos.engine.branches.fitted import row_numbers
from edaphos.engine.branches.group_set import GroupSet, draw_set
from edaphos.engine.branches.groups import Group, GroupChannels, windows_of
from edaphos.engine.branches.settings import GsoilcpmSettings
from edaphos.engine.branches.source import GroupSource
from edaphos.engine.conv.jobs import Job, run_jobs
from edaphos.engine.cube.cube import Cube
from edaphos.engine.grid import Grid
from edaphos.engine.samples import Samples
from edaphos.engine.store import zarr_store
from edaphos.engine.training import Batch, TrainSpec, train
from edaphos.kernels.branch_shape import BranchShape, build

from .result import Result
from .worlds import DEGREES, make_cube

GROUPS = (
    Group("climate", ("t", "r", "s", "w")),
    Group("relief", ("elevation", "slope"), 5),
    Group("cover", ("soil_mask",), 3),
)
#: The largest window reaches so many cells beyond a place.
REACH = 2
#: Layers of a place.
LAYERS = 3
#: Places of a batch that two processes share: what is the same for each batch, its steps and the
#: sum of gradients, is done by both.
BATCHES = (256, 2048)


def measure(*, small: bool) -> Iterator[Result]:
    """Cut squares, train on them, and train by two processes."""
    fine, places, epochs = (512, 1_000, 2) if small else (4096, 20_000, 4)
    with tempfile.TemporaryDirectory(prefix="edaphos-gsoilcpm-") as folder:
        yield cutting(Path(folder), fine, places)
        held = Path(folder) / "set"
        yield from learning(held, epochs)
        yield from together(held, Path(folder) / "jobs", epochs)


def cutting(folder: Path, fine: int, places: int) -> Result:
    """Measure drawing a set, beside reading each chunk that it needs once."""
    cube = make_cube(folder / "cube.zarr", fine)
    grid = Grid.from_bounds("EPSG:4326", (0, 0, DEGREES, DEGREES), DEGREES / fine)
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(0, DEGREES, (2, places))
    samples = Samples(pd.DataFrame({"lon": lon, "lat": lat, "year": 2000.0}), ())

    def draw(some: Samples, into: str) -> Samples:
        return draw_set(some, cube, grid, windows_of(GROUPS), folder / into)

    draw(samples.take(np.arange(9)), "compiled")
    chunks, floor = _timed(lambda: _read_chunks(cube, lon, lat))
    _, seconds = _timed(lambda: draw(samples, "set"))
    held = GroupSet.open(folder / "set")
    return Result(
        "squares of groups cut",
        round(len(held) / seconds),
        "places/s",
        "each chunk read once and nothing else",
        round(floor / seconds, 3),
        {
            "places": len(held),
            "chunks": chunks,
            "seconds": round(seconds, 2),
            "seconds_reading_alone": round(floor, 2),
            "bytes": held.nbytes,
            "windows": {group.name: group.window for group in GROUPS},
            "load_of_the_machine": _load(),
        },
    )


def learning(held: Path, epochs: int) -> Iterator[Result]:
    """Measure training, beside its batches alone and beside its device alone."""
    source, rows = _source(held)
    spec = TrainSpec(epochs=epochs, schedule="constant")
    parts = np.array_split(rows, -(-len(rows) // spec.batch))
    rngs = [np.random.default_rng(k) for k in range(len(parts))]

    def load() -> None:
        for part, rng in zip(parts, rngs, strict=True):
            source.batch(part, rng)

    load()
    _, alone = _timed(load)
    device = _seconds(Same(source.batch(parts[0], rngs[0])), held, rows, spec)
    seconds = _seconds(source, held, rows, spec)
    gpu = torch.cuda.is_available()
    rate = len(rows) / seconds
    details = {
        "places": len(rows),
        "layers_of_a_place": LAYERS,
        "batch": spec.batch,
        "device": torch.cuda.get_device_name() if gpu else "CPU, 1 thread",
        "places_per_second_of_batches_alone": round(len(rows) / alone),
        "places_per_second_of_the_device_alone": round(len(rows) / device),
        "load_of_the_machine": _load(),
    }
    name = f"train net of branches, {'GPU' if gpu else 'CPU'}"
    peers = (("its batches prepared, no training", alone), ("one batch again and again", device))
    for peer, took in peers:
        yield Result(name, round(rate), "places/s", peer, round(took / seconds, 3), details)


def together(held: Path, folder: Path, epochs: int) -> Iterator[Result]:
    """Measure one training by two worker processes, beside the same by one."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        rate = partial(_rate, held, folder, client)
        for processes in (1, 2):
            rate(processes, BATCHES[0], 1)  # loads what is needed
        for batch in BATCHES:
            yield _compared({n: rate(n, batch, epochs) for n in (1, 2)}, batch)


def _rate(
    held: Path, folder: Path, client: Client, processes: int, batch: int, epochs: int
) -> dict[str, float]:
    job = Job({"processes": processes, "batch": batch, "epochs": epochs}, (held, epochs, batch))
    (place,) = run_jobs([job], _train, folder, client=client, processes=processes)
    told: dict[str, float] = json.loads((place / "rate.json").read_text())
    return told


def _compared(rates: dict[int, dict[str, float]], batch: int) -> Result:
    one, two = (rates[n]["places_per_second"] for n in (1, 2))
    details = {
        "places_per_second_of_one": round(one),
        # of each process, which others on the machine change less
        "cpu_seconds_an_epoch": {n: round(v["cpu_seconds_an_epoch"], 3) for n, v in rates.items()},
        "bytes_of_gradients": rates[2]["bytes_of_gradients"],
        "batch": batch,
        "threads_each": 1,
        "cores": len(os.sched_getaffinity(0)),
        "load_of_the_machine": _load(),
    }
    name = f"two processes, batch of {batch}"
    return Result(name, round(two), "places/s", "one process", round(two / one, 3), details)


class Same:
    """A source that always gives the same batch."""

    def __init__(self, batch: Batch) -> None:
        self.given = batch

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return as many rows as were asked for, whichever they are."""
        del rng, first
        n = len(rows)
        inputs = tuple(x[:n] for x in self.given.inputs)
        return Batch(inputs, self.given.target[:n], self.given.weight[:n])


def _train(task: tuple[Path, int, int], out: Path, begun: Any) -> None:
    """Train in a worker, alone or with another; leave the rate."""
    del begun
    held, epochs, batch = task
    source, rows = _source(held)
    source.batch(rows[:2], None)  # makes what is kept
    spec = TrainSpec(epochs=epochs, batch=batch, schedule="constant", device="cpu")
    net = _net(held)
    size = 4 * sum(p.numel() for p in net.parameters())
    cpu = time.process_time()
    seconds = train(net, source, rows, rows[:0], spec).seconds
    told = {
        "places_per_second": len(rows) * epochs / seconds,
        "cpu_seconds_an_epoch": (time.process_time() - cpu) / epochs,
        "bytes_of_gradients": size,
    }
    (out / "rate.json").write_text(json.dumps(told))


def _seconds(source: Any, held: Path, rows: np.ndarray, spec: TrainSpec) -> float:
    """Return the seconds of an epoch, its net and its device warm."""
    train(_net(held), source, rows, rows[:0], TrainSpec(epochs=1))
    return train(_net(held), source, rows, rows[:0], spec).seconds / spec.epochs


def _source(held: Path) -> tuple[GroupSource, np.ndarray]:
    """Return batches of all places with made-up targets, and the rows."""
    groups = GroupSet.open(held)
    n = len(groups)
    rng = np.random.default_rng(2)
    top = np.tile(np.array([0.0, 15.0, 40.0]), n)
    year = np.full(len(top), 2000.0)
    numbers = row_numbers(top, top + 15, year, plain=False, sees_year=False)
    layers = np.concatenate([numbers.reshape(n, LAYERS, -1), np.ones((n, LAYERS, 1))], axis=2)
    target, weight = rng.normal(size=(n, LAYERS)), np.ones((n, LAYERS))
    source = GroupSource(
        groups, _channels(groups), np.arange(n), target, weight, layers, augment=True
    )
    return source, np.arange(n)


def _channels(groups: GroupSet) -> GroupChannels:
    return GroupChannels.fit(groups, np.arange(len(groups)), GROUPS, plain=False)


def _net(held: Path) -> Any:
    """Return the net that the recipe's defaults give."""
    told = GsoilcpmSettings(GROUPS)
    shape = BranchShape(
        _channels(GroupSet.open(held)).branches(told.embedding, False),
        told.width,
        told.merged,
        told.dense,
        told.dropout,
        group_dropout=told.group_dropout,
    )
    numbers = row_numbers(*np.zeros((3, 1)), plain=False, sees_year=False)
    return build(shape, 1, numbers.shape[1], seed=0)


def _read_chunks(cube: Cube, lon: np.ndarray, lat: np.ndarray) -> int:
    """Read each chunk that a square of a place touches once; return how many there are."""
    read = 0
    for stack in cube.manifest.stacks.values():
        array = zarr.open_array(
            store=zarr_store(cube.path / f"stacks/{stack.name}/values"), mode="r"
        )
        side, chunk = stack.shape[0], array.chunks[-1]
        cell = DEGREES / side
        row, col = ((DEGREES - lat) / cell).astype(int), (lon / cell).astype(int)
        wanted = set()
        for y in (-REACH, REACH):
            for x in (-REACH, REACH):
                at = [np.clip(v, 0, side - 1) // chunk for v in (row + y, col + x)]
                wanted |= set(zip(*(a.tolist() for a in at), strict=True))
        for band in range(array.shape[0]):
            for y, x in sorted(wanted):
                array[band, y * chunk : (y + 1) * chunk, x * chunk : (x + 1) * chunk]
        read += array.shape[0] * len(wanted)
    return read


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def _load() -> float:
    return round(os.getloadavg()[0], 1)
