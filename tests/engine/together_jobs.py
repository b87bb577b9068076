"""Jobs that several workers do together; a module of its own, that workers import fast."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from edaphos.engine.conv.jobs import Job, run_jobs
from edaphos.engine.training import TrainSpec, train
from edaphos.engine.training_group import current

from .small_nets import HELD, ROWS, Table, curved, small_net

SPEC = TrainSpec(epochs=8, batch=33, rate=0.01, patience=50, clip=1.0, weight_decay=0.01)


class Noted(Table):
    """Rows of different weights, some without; leaves who asked for how many, and may be killed."""

    def __init__(self, task: dict[str, Any]) -> None:
        plain = curved()
        weight = np.random.default_rng(2).choice([0.0, 0.5, 1.0, 4.0], size=(200, 1))
        super().__init__(plain.x, plain.y, weight, noise=0.05)
        self.task, self.times = task, 0

    def batch(self, rows: Any, rng: Any, first: int = 0) -> Any:
        if rng is not None:
            self.times += 1
            time.sleep(self.task.get("sleep", 0))
            with Path(self.task["log"]).open("a") as log:
                log.write(f"{os.getpid()} {len(rows)}\n")
            killed = Path(self.task["log"]).with_suffix(".killed")
            mine = bool(first) == self.task.get("second")
            if mine and self.times == self.task["kill"] and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(rows, rng, first)


def plain_net() -> Any:
    import torch

    first, _, *others = small_net()
    others[1] = torch.nn.Identity()  # dropout draws anew for each process
    return torch.nn.Sequential(first, *others)


def learn(task: dict[str, Any], out: Path, begun: Any) -> None:
    """Train, and leave weights and curve."""
    net = small_net() if task.get("normalised") else plain_net()
    curve = train(
        net, Noted(task), ROWS, HELD, SPEC,
        checkpoint=begun / "checkpoint.safetensors", checkpoint_seconds=0.0,
    )  # fmt: skip
    np.savez(out / "weights.npz", **{k: v.numpy() for k, v in net.state_dict().items()})
    (out / "curve.json").write_text(json.dumps(curve.to_json()))


def failing(task: Any, out: Path, begun: Any) -> None:
    """Fail in one process, while the other waits for it."""
    if current().rank == 1:
        raise KeyError("no such column")
    current().shared(None)
    current().shared(None)


def in_task(folder: str) -> int:
    """Return how many processes trained, as in a fold."""
    jobs = [Job({"net": 1}, {"log": f"{folder}/log"})]
    run_jobs(jobs, learn, Path(folder), hand_on="gpu", processes=2)
    return len({line.split()[0] for line in Path(folder, "log").read_text().splitlines()})
