"""Cells a second of a patch CNN over a map, beside batches of patches on the same net.

The nets have 37 bands, patches of 15 x 15 cells and 2 or 3 convolutions. Patches are cut out and
run in batches of 512 and of 4096, channels first and last; and each way of mapping runs with torch
on all cores and with a piece of the map for each core, as the engine makes tiles. The best of all
is the peer. Dense and patches take turns, and each keeps its best time, for other work on the
machine slows both. The limit is what a matrix product reaches in the same run, over the operations
that a cell takes when no value is computed twice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .result import Result
from .soils import CORES

BANDS, PATCH, DEPTHS = 37, 15, 6
NETS = {2: ((32, 64), (3, 3)), 3: ((32, 64, 128), (3, 3, 2))}
BATCHES = (512, 4096)

#: What maps planes, and the planes.
Work = tuple[Callable[[Any], Any], Any]


def measure(*, small: bool) -> Iterator[Result]:
    """Yield the rate of each net over that of its patches; then of six depths at once."""
    try:
        import torch
    except ModuleNotFoundError:
        sys.stderr.write('dense: needs torch; pip install "edaphos[nets]"\n')
        return
    side, repeats = (128, 2) if small else (512, 7)
    planes = np.random.default_rng(0).normal(size=(BANDS, *[side + PATCH - 1] * 2))
    planes = planes.astype(np.float32)
    before = torch.get_num_threads()
    try:
        for convolutions in NETS:
            yield _against_patches(convolutions, planes, repeats)
        for convolutions in NETS:
            yield _six_depths(convolutions, planes, repeats)
    finally:
        torch.set_num_threads(before)


def _against_patches(convolutions: int, planes: Any, repeats: int) -> Result:
    from edaphos.kernels.dense import DenseMapper

    side = planes.shape[2] - PATCH + 1
    net = _net(convolutions).sequential()
    mapper = DenseMapper([net], PATCH, BANDS)
    rows = min(side, CORES * max(BATCHES) // side)
    works: dict[str, Work] = {"dense": (mapper.predict, planes)}
    for batch in BATCHES:
        for last in (False, True):
            name = f"patches of {batch}, channels {'last' if last else 'first'}"
            works[name] = _patches(net, batch, last), planes[:, : rows + PATCH - 1]
    rates, outs, peak = _rates(works, repeats)
    best = {name: max(found.values()) for name, found in rates.items()}
    peers = {name: rate for name, rate in best.items() if name != "dense"}
    wanted = np.stack([outs[name].reshape(rows, side) for name in peers])
    gap = np.abs(outs["dense"][0, 0, :rows] - wanted).max() / np.abs(wanted).max()
    dense, patch = _operations(net)
    return Result(
        name=f"dense, {convolutions} convolutions",
        value=round(best["dense"] / 1e3, 1),
        unit="k cells/s",
        peer="batches of patches, at their best",
        ratio=round(best["dense"] / max(peers.values()), 1),
        details={
            "how": mapper.how,
            "cores": CORES,
            "k_cells_s": {
                name: {way: round(rate / 1e3, 2) for way, rate in found.items()}
                for name, found in rates.items()
            },
            "matrix_product_gflops": round(peak / 1e9),
            "operations_a_cell": dense,
            "operations_a_patch": patch,
            "limit_k_cells_s": round(peak / dense / 1e3),
            "share_of_limit": round(best["dense"] * dense / peak, 3),
            "patches_share_of_peak": round(max(peers.values()) * patch / peak, 3),
            "largest_difference_relative": float(f"{gap:.2g}"),
            "map": [side, side],
            "repeats": repeats,
        },
    )


def _six_depths(convolutions: int, planes: Any, repeats: int) -> Result:
    """Time a net that reads depth at six depths together, and at one."""
    from edaphos.kernels.dense import DenseMapper

    net = _net(convolutions, extra=2)
    nets = [net.sequential(0, [d / 10, d / 10 + 0.1]) for d in range(DEPTHS)]
    works: dict[str, Work] = {
        "together": (DenseMapper(nets, PATCH, BANDS).predict, planes),
        "one": (DenseMapper(nets[:1], PATCH, BANDS).predict, planes),
    }
    rates, _, _ = _rates(works, repeats)
    together, one = (max(rates[name].values()) for name in ("together", "one"))
    return Result(
        name=f"dense, {DEPTHS} depths, {convolutions} convolutions",
        value=round(together / 1e3, 1),
        unit="k cells/s, all depths",
        peer="one depth after another",
        ratio=round(together / (one / DEPTHS), 2),
        details={"cores": CORES, "one_depth_k_cells_s": round(one / 1e3, 1)},
    )


def _net(convolutions: int, extra: int = 0) -> Any:
    from edaphos.kernels.conv_net import ConvShape, build

    channels, kernels = NETS[convolutions]
    shape = ConvShape(patch=PATCH, channels=channels, kernels=kernels, pool_after=(1, 2))
    return build(shape, BANDS, extra=extra, seed=0).eval()


def _patches(net: Any, batch: int, last: bool) -> Callable[[Any], Any]:
    """Return what runs `net` on every patch of planes, cut out and batched as one would."""
    import torch

    def run(planes: Any) -> Any:
        windows = torch.from_numpy(planes).unfold(1, PATCH, 1).unfold(2, PATCH, 1)
        _, height, width = windows.shape[:3]
        rows, made = max(1, batch // width), []
        with torch.inference_mode():
            for y in range(0, height, rows):
                cut = windows[:, y : y + rows]
                if last:  # one copy, in the order that the net reads
                    x = cut.permute(1, 2, 3, 4, 0).reshape(-1, PATCH, PATCH, BANDS)
                    made.append(net(x.permute(0, 3, 1, 2)))
                else:
                    made.append(net(cut.permute(1, 2, 0, 3, 4).reshape(-1, BANDS, PATCH, PATCH)))
        return torch.cat(made).numpy()

    return run


def _rates(
    works: dict[str, Work], repeats: int
) -> tuple[dict[str, dict[str, float]], dict[str, Any], float]:
    """Return cells a second by work and way, what each gave, and a product's operations a second.

    They take turns; each keeps the best of `repeats`, after one round that warms up.
    """
    import torch

    seconds = {name: {"torch on all cores": np.inf, "a piece a core": np.inf} for name in works}
    outs: dict[str, Any] = {}
    peak = 0.0
    with ThreadPoolExecutor(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for repeat in range(repeats + 1):
            for name, (run, planes) in works.items():
                torch.set_num_threads(CORES)
                started = time.perf_counter()
                outs[name] = run(planes)
                whole = time.perf_counter() - started
                parts = _parts(planes)
                torch.set_num_threads(1)
                started = time.perf_counter()
                list(pool.map(run, parts))
                apart = time.perf_counter() - started
                if repeat:
                    for way, took in zip(seconds[name], (whole, apart), strict=True):
                        seconds[name][way] = min(seconds[name][way], took)
            torch.set_num_threads(CORES)
            peak = max(peak, _product_rate())
    cells = {name: _cells(planes) for name, (_, planes) in works.items()}
    rates = {
        name: {way: cells[name] / took for way, took in found.items()}
        for name, found in seconds.items()
    }
    return rates, outs, peak


def _cells(planes: Any) -> int:
    return int((planes.shape[1] - PATCH + 1) * (planes.shape[2] - PATCH + 1))


def _parts(planes: Any) -> list[Any]:
    """Return planes of as many strips of rows as there are cores."""
    rows = planes.shape[1] - PATCH + 1
    cuts = [rows * part // CORES for part in range(CORES + 1)]
    return [planes[:, a : b + PATCH - 1] for a, b in pairwise(cuts)]


def _product_rate(side: int = 2048) -> float:
    """Return operations a second of a matrix product, by torch's two libraries the faster."""
    import torch

    a = torch.ones(side, side)
    kernel = torch.ones(side, side, 1, 1)
    column = torch.ones(1, side, side, 2).contiguous(memory_format=torch.channels_last)
    best = 0.0
    with torch.inference_mode():
        for product, columns in (
            (lambda: a @ a, side),
            (lambda: torch.nn.functional.conv2d(column, kernel), 2 * side),
        ):
            started = time.perf_counter()
            product()
            best = max(best, 2 * side * side * columns / (time.perf_counter() - started))
    return best


def _operations(net: Any) -> tuple[int, int]:
    """Return additions and multiplications of a cell in dense form, and of a patch."""
    import torch
    from torch import nn

    x = torch.zeros(1, BANDS, PATCH, PATCH)
    dense = patch = 0
    with torch.inference_mode():
        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.Conv2d | nn.Linear):
                dense += 2 * layer.weight.numel()
                patch += 2 * layer.weight[0].numel() * x.numel()
    return dense, patch
