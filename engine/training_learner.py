"""One net while it learns: its steps, its best weights, and what it computes with."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import InputError, RunError
from .need_torch import torch_threads
from .training_checkpoint import Checkpoint
from .training_curve import Curve
from .training_group import ALONE, Group
from .training_spec import Batch, Device, IntArray, Source, Tensor, TrainSpec, laid

_ONE_AT_A_TIME = threading.Lock()


class Learner:
    """A net with its optimizer, and the best that it was."""

    def __init__(
        self,
        torch: Any,
        net: Any,
        source: Source,
        spec: TrainSpec,
        loss: Any,
        device: Any,
        group: Group,
    ) -> None:
        self.torch, self.source, self.spec, self.loss = torch, source, spec, loss
        self.device, self.net, self.group = device, net, group
        trained = {k: p for k, p in net.named_parameters() if p.requires_grad}
        if not trained:
            raise InputError("every parameter of the net is frozen; there is nothing to train")
        self.names = [
            *(k for k, p in trained.items() if p.ndim > 1),
            *(k for k, p in trained.items() if p.ndim <= 1),
        ]
        self.first = _digest_of(net)
        self.parameters = trained
        if group.size > 1 and any(_sees_batch(module) for module in net.modules()):
            raise InputError(
                f"training.processes = {spec.processes}: the net normalises by what is in a batch, "
                "of which each process has a part; set batch_norm = false or processes = 1"
            )
        laid(net.to(device))
        self.optimizer = torch.optim.AdamW(
            [
                # biases and scales are not drawn towards 0
                {"params": [p for p in trained.values() if p.ndim > 1]},
                {"params": [p for p in trained.values() if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=spec.rate,
            weight_decay=spec.weight_decay,
        )
        self.best = self._state()

    def identity(self) -> dict[str, Any]:
        """Return what tells this net from others: its trained parameters and first weights."""
        return {"trained parameters": self.names, "first weights": self.first}

    def learn(self, rows: IntArray, epoch: int, rate: float) -> float:
        """Go through the rows once, in an order of this epoch; return the mean loss."""
        order, dropout, augment = np.random.SeedSequence(self.spec.seed, spawn_key=(epoch,)).spawn(
            3
        )
        parts = cut(np.random.default_rng(order).permutation(rows), self.spec.batch)
        if len(parts[-1]) < self.group.size:
            raise InputError(
                f"training.processes = {self.group.size}, and a batch has {len(parts[-1])} row(s); "
                "set processes lower or batch higher"
            )
        rngs = [np.random.default_rng(s) for s in augment.spawn(len(parts))]
        rank = self.group.rank
        self.torch.manual_seed(int(dropout.generate_state(rank + 1, np.uint64)[rank]))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._training_mode()
        return self._mean("training", epoch, parts, rngs, self._step)

    def judge(self, rows: IntArray, epoch: int) -> float:
        """Return the mean loss over rows as the net is now; NaN without rows."""
        if not len(rows):
            return math.nan
        self.net.eval()
        with self.torch.no_grad():
            return self._mean("validation", epoch, cut(rows, self.spec.batch), None, self._loss)

    def _mean(
        self,
        what: str,
        epoch: int,
        parts: Sequence[IntArray],
        rngs: Sequence[np.random.Generator] | None,
        one: Any,
    ) -> float:
        # summed where they are: asking a GPU for a number after each batch would halt it
        total = self.torch.zeros(2, dtype=self.torch.float64, device=self.device)
        for batch in batches(self.source, parts, rngs, self.group):
            here = batch.to(self.device)
            weight = here.weight.sum()
            total += self.torch.stack([one(here).detach() * weight, weight])
        summed, weight = (float(v) for v in self.group.summed(total).cpu())
        if weight == 0:
            raise InputError(f"no {what} row has a target with a weight above 0")
        if not math.isfinite(summed):
            raise RunError(
                f"the {what} loss is not a number in epoch {epoch + 1}: "
                f"{_culprit(self.torch, self.source, parts)}"
            )
        return summed / weight

    def _loss(self, batch: Batch) -> Tensor:
        with autocast(self.torch, self.spec, self.device):
            said = self.net(*batch.inputs)
        return self.loss(said.float(), batch.target, batch.weight)

    def _step(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        if self.group.size > 1:
            weight = batch.weight.sum()
            (loss * weight).backward()
            self._sum_gradients(weight)
        else:
            loss.backward()
        if self.spec.clip is not None:
            self.torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.spec.clip)
        self.optimizer.step()
        return loss

    def _sum_gradients(self, weight: Tensor) -> None:
        """Give all processes the gradients of the whole batch, from those times weights."""
        torch, held = self.torch, list(self.parameters.values())
        for p in held:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([*(p.grad.reshape(-1) for p in held), weight.reshape(1)])
        self.group.summed(flat)
        # where nothing is there the gradients are 0
        mean = flat[:-1] / torch.where(flat[-1] > 0, flat[-1], torch.ones_like(flat[-1]))
        for p, gradient in zip(held, mean.split([p.numel() for p in held]), strict=True):
            p.grad.copy_(gradient.view_as(p))

    def _training_mode(self) -> None:
        self.net.train()
        for module in self.net.modules():
            if hasattr(module, "running_mean") and not _sees_batch(module):
                module.eval()

    def _state(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def keep(self) -> None:
        """Remember the net as it is: it was never better."""
        self.best = self._state()

    def finish(self) -> None:
        """Give the net its best weights, on the CPU, ready to be asked."""
        self.net.load_state_dict(self.best)
        plain(self.net)

    def checkpoint(self, curve: Curve) -> Checkpoint:
        """Return all that the next epoch depends on."""
        held = self.optimizer.state_dict()["state"]
        tensors = {
            f"{name}/{key}": value
            for i, name in enumerate(self.names)
            for key, value in held.get(i, {}).items()
        }
        return Checkpoint(self._state(), self.best, tensors, curve)

    def restore(self, found: Checkpoint) -> Curve:
        """Be as at a checkpoint; return the curve so far."""
        empty_like = self.torch.empty_like  # laid out in memory as it was, for the last bits
        self.net.load_state_dict(found.net)
        self.best = {k: v.to(self.device) for k, v in found.best.items()}
        state: dict[int, dict[str, Tensor]] = {}
        for full, value in found.optimizer.items():
            name, _, key = full.rpartition("/")
            of = self.parameters[name]
            held = value if value.shape != of.shape else empty_like(of).copy_(value)
            state.setdefault(self.names.index(name), {})[key] = held
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return found.curve


def plain(net: Any) -> None:
    """Have a net on the CPU, laid out as it is made, ready to be asked."""
    from torch import contiguous_format

    net.to("cpu", memory_format=contiguous_format).eval()


def batches(
    source: Source,
    parts: Sequence[IntArray],
    rngs: Sequence[np.random.Generator] | None,
    group: Group = ALONE,
) -> Iterator[Batch]:
    """Yield each part as a batch, while another thread prepares the next one.

    Of a `group`, what is this process's of each; nothing of those that it has nothing of.
    """
    drawn: Sequence[np.random.Generator | None] = rngs or [None] * len(parts)
    mine = [(*group.part(part), rng) for part, rng in zip(parts, drawn, strict=True)]
    asked = [(rows, rng, first) if first else (rows, rng) for rows, first, rng in mine if len(rows)]
    if not asked:
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(source.batch, *asked[0])
        for one in asked[1:]:
            now, ahead = ahead.result(), pool.submit(source.batch, *one)
            yield now
        yield ahead.result()


def _sees_batch(module: Any) -> bool:
    """Whether it normalises by the statistics of a batch while it learns."""
    own = list(module.parameters(recurse=False))
    return hasattr(module, "running_mean") and (not own or any(p.requires_grad for p in own))


def cut(rows: IntArray, batch: int) -> list[IntArray]:
    """Cut rows into batches of nearly equal size, so that none is left with a single row."""
    return np.array_split(rows, max(1, -(-len(rows) // batch))) if len(rows) else []


def _culprit(torch: Any, source: Source, parts: Sequence[IntArray]) -> str:
    """Say what makes a loss NaN, and what to do."""
    for part in parts:
        batch = source.batch(part, None)
        for tensor in (*batch.inputs, torch.where(batch.weight > 0, batch.target, 0.0)):
            bad = ~torch.isfinite(tensor).reshape(len(part), -1).all(1)
            if bad.any():
                row = int(part[int(bad.nonzero()[0, 0])])
                return f"row {row} holds values that are not finite; mask them"
    return "its rows are finite, so the weights grew without bound; lower rate, or set clip to 1"


def autocast(torch: Any, spec: TrainSpec, device: Any) -> Any:
    """Return the context in which a forward pass has the precision wanted."""
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16")


@contextmanager
def alone(torch: Any, spec: TrainSpec) -> Iterator[Any]:
    """Yield the device to compute on, with torch's threads and random state to ourselves."""
    with _ONE_AT_A_TIME:
        device = _device(torch, spec.device)
        devices = [torch.cuda.current_device()] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch_threads(spec.threads):
            yield device


def _device(torch: Any, wanted: Device) -> Any:
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError(
            'training: device "cuda" is asked for, and torch sees no GPU here; use "auto" or '
            '"cpu", or a machine and a build of torch with CUDA'
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def _digest_of(net: Any) -> str:
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        held = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name}{held.shape}{held.dtype}".encode())
        digest.update(held.tobytes())
    return digest.hexdigest()[:12]
