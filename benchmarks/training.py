"""Training the default patch CNN: epochs a second, and what preparing batches takes of them.

20,000 random patches of 37 channels, 9 x 9 cells, with quarter turns; from channels kept in memory,
and from channels made of raw patches on the disk again in every epoch.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edaphos.engine.conv.channels import Channels
from edaphos.engine.conv.patches import PatchStore
from edaphos.engine.conv.source import BUDGET, PatchSource
from edaphos.engine.training import Batch, TrainSpec, train
from edaphos.kernels.conv_net import ConvShape, build

from .result import Result

PATCHES, CHANNELS, EPOCHS, THREADS = 20_000, 37, 4, 2


class Timed:
    """A source that notes how long it takes, by the clock of its own thread."""

    def __init__(self, source: PatchSource) -> None:
        self.source, self.seconds = source, 0.0

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None, first: int = 0) -> Batch:
        """Return what the source does."""
        started = time.thread_time()
        found = self.source.batch(rows, rng, first)
        self.seconds += time.thread_time() - started
        return found


def measure(*, small: bool) -> Iterator[Result]:
    """Train on one thread and on two, from memory and from the disk."""
    patches, epochs = (2_000, 2) if small else (PATCHES, EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        store = _store(Path(folder), patches)
        channels = Channels.fit(store, np.arange(patches))
        for threads in (1, THREADS):
            kept = _run(store, channels, epochs, threads, BUDGET)
            made = _run(store, channels, epochs, threads, 0)
            details = {
                "patches": patches,
                "channels": len(channels),
                "threads": threads,
                "cpu_seconds_an_epoch": round(kept[2], 3),
                "share_of_cpu_preparing": round(kept[1], 4),
                "epochs_per_second_from_disk": round(made[0], 3),
                "share_of_cpu_preparing_from_disk": round(made[1], 4),
                "cpu_seconds_an_epoch_from_disk": round(made[2], 3),
            }
            yield Result(
                f"train patch CNN, {threads} threads",
                kept[0],
                "epochs/s",
                "channels made in each epoch",
                kept[0] / made[0],
                details,
            )


def _run(
    store: PatchStore, channels: Channels, epochs: int, threads: int, budget: int
) -> tuple[float, float, float]:
    """Return epochs a second, the share of CPU time that prepares batches, CPU time an epoch."""
    n = len(store)
    rng = np.random.default_rng(1)
    source = PatchSource(
        store,
        channels,
        np.arange(n),
        rng.normal(size=(n, 1)),
        np.ones((n, 1)),
        augment=True,
        budget=budget,
    )
    rows, none = np.arange(n), np.arange(0)
    timed = Timed(source)
    source.batch(rows[:2], None)  # makes what is kept
    net = build(ConvShape(), len(channels), seed=0)
    train(net, timed, rows, none, TrainSpec(epochs=1, threads=threads))  # warms up
    timed.seconds, cpu, started = 0.0, time.process_time(), time.perf_counter()
    train(net, timed, rows, none, TrainSpec(epochs=epochs, threads=threads))
    took, used = time.perf_counter() - started, time.process_time() - cpu
    return epochs / took, timed.seconds / used, used / epochs


def _store(folder: Path, patches: int) -> PatchStore:
    """Write patches of amounts without gaps; the mask is one more channel."""
    planes = CHANNELS - 1
    shape = (patches, planes, ConvShape().patch, ConvShape().patch)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(folder / "values.npy", values)
    about = {
        "schema": 1,
        "planes": [(f"band_{k}", None) for k in range(planes)],
        "kinds": ["amount"] * planes,
        "directional": [False] * planes,
        "size": shape[-1],
        "patches": patches,
        "digest": "random",
        "variables": {},
        "seen_grid": {"crs": "EPSG:4326", "cell": 1.0},
    }
    (folder / "patches.json").write_text(json.dumps(about))
    return PatchStore.open(folder)
