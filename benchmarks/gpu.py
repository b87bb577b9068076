"""Patch CNNs on a GPU: maps and training in each arithmetic, beside what the device can do.

Measured in the same run: the device's matrix products and memory, the copies to it from plain and
from pinned memory, the copies alone, the map alone, and both as :mod:`edaphos.kernels.dense` makes
them, the next strip copied while one is computed. Without a GPU it runs small on the processor, to
show that it runs, and its lines say ``unmeasured: no GPU``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .result import Result

if TYPE_CHECKING:
    from edaphos.kernels.arithmetic import Precision

BANDS, PATCH, BATCH = 37, 15, 256
UNMEASURED = "unmeasured: no GPU"
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")


def measure(*, small: bool) -> Iterator[Result]:
    """Yield what the device can do, then maps and training steps in each arithmetic."""
    try:
        import torch
    except ModuleNotFoundError:
        sys.stderr.write('gpu: needs torch; pip install "edaphos[nets]"\n')
        return
    found = torch.cuda.is_available()
    device = torch.device("cuda" if found else "cpu")
    name = torch.cuda.get_device_name() if found else UNMEASURED
    small = small or not found
    limits = _limits(device, small)
    yield Result(
        name="gpu",
        value=round(max(limits["product_tflops"].values()), 3),
        unit="Tflop/s",
        peer=name,
        ratio=1.0,
        details=limits,
    )
    for precision in PRECISIONS:
        yield _map(device, name, precision, limits, small)
    for precision in PRECISIONS:
        yield _training(device, name, precision, limits, small)


def _limits(device: Any, small: bool) -> dict[str, Any]:
    """Return the device's matrix products, its memory, and copies to it."""
    import torch

    from edaphos.kernels.arithmetic import arithmetic

    side, cells, repeats = (512, 2**22, 2) if small else (8192, 2**28, 10)
    products = {}
    for precision in PRECISIONS:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.ones(side, side, device=device, dtype=kind)
        with arithmetic(device, precision):
            seconds = _best(device, lambda a=a: a @ a, repeats)
        products[precision] = round(2 * side**3 / seconds / 1e12, 3)
    x = torch.ones(cells, device=device)
    y = torch.empty_like(x)
    memory = 2 * 4 * cells / _best(device, lambda: y.copy_(x), repeats)
    limits = {"product_tflops": products, "memory_gb_s": round(memory / 1e9, 1)}
    host = torch.ones(cells // 4)
    for kind, given in (("plain", host), ("pinned", _pinned(host, device))):
        seconds = _best(device, lambda g=given: g.to(device, non_blocking=True, copy=True), repeats)
        limits[f"from_{kind}_memory_gb_s"] = round(4 * host.numel() / seconds / 1e9, 1)
    return limits


def _map(device: Any, name: str, precision: Precision, limits: Any, small: bool) -> Result:
    import torch

    from edaphos.kernels.dense import DenseMapper
    from edaphos.kernels.staging import staged

    side, repeats = (64, 1) if small else (4096, 5)
    shape = (BANDS, side + PATCH - 1, side + PATCH - 1)
    planes = np.random.default_rng(0).standard_normal(shape, np.float32)
    net = _net()
    nets = [net.sequential(0, [d / 10, d / 10 + 0.1]) for d in range(6)]
    mapper = DenseMapper(nets, PATCH, BANDS, precision=precision, device=str(device))
    mapper.predict(planes[:, :64, :64])  # also finds what the arithmetic costs in digits
    whole = _best(device, lambda: mapper.predict(planes), repeats)
    strips = torch.from_numpy(planes).split(max(64, side // 16), 1)

    def copy() -> None:
        for _ in staged(strips, device):
            pass

    copies = _best(device, copy, repeats)
    piece = torch.from_numpy(planes[:, : 64 + PATCH - 1]).to(device)
    alone = _best(device, lambda: mapper.map_piece(piece), repeats) * side / 64
    operations, moved = _cell(nets)
    rate = side * side / whole
    peak = limits["product_tflops"][precision] * 1e12
    return Result(
        name=f"gpu map, {precision}",
        value=round(rate / 1e3, 1),
        unit="k cells/s, six depths",
        peer=name,
        ratio=1.0,
        details={
            "seconds": round(whole, 4),
            "copies_alone_s": round(copies, 4),
            "map_alone_s": round(alone, 4),
            "hidden_s": round(copies + alone - whole, 4),
            "share_of_products": round(rate * operations / peak, 4),
            "share_of_memory": round(rate * moved / (limits["memory_gb_s"] * 1e9), 4),
            "rounding": vars(mapper.rounding) if mapper.rounding else None,
            "map": [side, side],
        },
    )


def _training(device: Any, name: str, precision: Precision, limits: Any, small: bool) -> Result:
    """Time steps of Adam on patches that are on the device already."""
    import torch

    from edaphos.kernels.arithmetic import arithmetic

    net = _net().train().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    batch, steps = (32, 2) if small else (BATCH, 100)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((batch, BANDS, PATCH, PATCH), np.float32)).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    extra = torch.zeros(batch, 2, device=device)
    y = torch.from_numpy(rng.standard_normal((batch, 1), np.float32)).to(device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(device, precision):
            out = net(x, extra)
        ((out.float() - y) ** 2).mean().backward()
        optimizer.step()

    # TF32 is for the way back too, autocasting for the way forward only
    with arithmetic(device, "tf32" if precision == "tf32" else "float32"):
        seconds = _best(device, lambda: [step() for _ in range(steps)], 1 if small else 5) / steps
    forward = _patch_operations(net.eval())
    peak = limits["product_tflops"][precision] * 1e12
    return Result(
        name=f"gpu training, {precision}",
        value=round(1 / seconds, 1),
        unit=f"steps/s of {batch} patches",
        peer=name,
        ratio=1.0,
        details={
            "patches_s": round(batch / seconds),
            # back through weights and through inputs: twice the way forward
            "share_of_products": round(3 * forward * batch / seconds / peak, 4),
        },
    )


def _net() -> Any:
    from edaphos.kernels.conv_net import ConvShape, build

    return build(ConvShape(patch=PATCH, pool_after=(1, 2)), BANDS, extra=2, seed=0).eval()


def _cell(nets: list[Any]) -> tuple[int, int]:
    """Return operations of a cell, and bytes if each layer reads and writes memory once.

    The first net counts whole, of the others what follows the first dense layer.
    """
    from edaphos.kernels.dense import dense_form

    operations = moved = 0
    for place, net in enumerate(nets):
        layers = [x for x in dense_form(net, PATCH, BANDS) if hasattr(x, "out_channels")]
        for layer in layers if place == 0 else layers[-2:]:
            operations += 2 * layer.weight.numel()
            moved += 4 * (layer.in_channels + layer.out_channels)
    return operations, moved


def _patch_operations(net: Any) -> int:
    import torch
    from torch import nn

    counted: list[int] = []

    def count(layer: Any, _: Any, out: Any) -> None:
        counted.append(2 * layer.weight[0].numel() * out[0].numel())

    hooks = [
        m.register_forward_hook(count)
        for m in net.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    device = next(net.parameters()).device
    with torch.no_grad():
        net(torch.zeros(1, BANDS, PATCH, PATCH, device=device), torch.zeros(1, 2, device=device))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _pinned(x: Any, device: Any) -> Any:
    return x.pin_memory() if device.type == "cuda" else x


def _best(device: Any, run: Callable[[], Any], repeats: int) -> float:
    """Return the shortest of some wall times, s, the device's work waited for."""
    import torch

    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found[1:])
