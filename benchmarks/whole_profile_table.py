"""The page of the study of whole profiles: tables, and which statements of the paper hold here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.partial import DEPENDENCE, partial_correlations
from edaphos.engine.assess.parts import MIDPOINT_RULE, PART_LABELS, depth_means
from edaphos.engine.assess.splits import location_blocks
from edaphos.engine.measured import measured_values

from .whole_profile_scores import GROUPS, Arm, Found, Judged

SPLITS = {"random": "rows", "profile": "profiles", "block": "5° blocks", "source": "sources"}
SCALES = {"stock": "stock of the layer", "density": "stock for each centimetre"}
TOP, SUB, DEEP = PART_LABELS
#: Share of the variance that the paper says is explained.
EXPLAINED = 0.72
DRIVERS = ("temperature_mean", "rain_annual", "clay_silt_pct")


def page(judged: Judged, done: int, planned: int) -> str:
    """Return the page as Markdown."""
    parts = [
        "# How the skill of carbon stocks falls with depth, and what flatters it\n",
        "The study of Wang et al. 2025 (Sci. Bull.) on open profiles: a random forest of layer "
        "stocks from mean annual temperature, annual precipitation, clay + silt measured on the "
        "layer, and the layer's two depths. Written by `python -m benchmarks whole_profile "
        f"--write`; {done} of {planned} planned runs are done (`whole_profile.toml`, fixed before "
        "but for arms of other predictors, of which fewer seeds were asked for while it ran). "
        "R² is 1 − SSE/SST, r² the squared correlation. Values are means over seeds, intervals "
        "95 % from a bootstrap over 5° blocks, differences paired. " + MIDPOINT_RULE + "\n",
        _data(judged),
    ]
    for population, words in judged.plan["populations"].items():
        if judged.scored(population, "paper", "stock", "block") is None:
            parts.append(f"## {words[:1].upper()}{words[1:]}\n\nNot run yet.\n")
            continue
        parts += [f"## {words[:1].upper()}{words[1:]}\n", *_population(judged, population)]
    return "\n".join([*parts, _statements(judged)])


def _data(judged: Judged) -> str:
    lines = []
    for population in judged.plan["populations"]:
        samples = judged.samples(population)
        sources = samples.table["source"].value_counts()
        told = ", ".join(f"{name} {n:,}" for name, n in sources.items())
        profiles = samples.table["profile_id"].nunique()
        blocks = judged.blocks(population)
        lines.append(
            f"- {judged.plan['populations'][population]}: {len(samples):,} layers of {profiles:,} "
            f"profiles in {blocks} blocks ({told})"
        )
    return (
        "Only layers with measured bulk density and texture are used; no pedotransfer fills gaps. "
        "Coarse fragments are unknown in these sources and taken as 0, so that stocks are upper "
        "bounds. Total nitrogen, the paper's fourth predictor, is in none of them: that arm needs "
        "data of your own. Climate comes from a grid of 0.5°, and the profiles are not the "
        "paper's (WoSIS, December 2023).\n\n" + "\n".join(lines) + "\n"
    )


def _population(judged: Judged, population: str) -> Iterable[str]:
    held = _held(judged, population, "stock")
    for learns, scale, words in (
        ("stock", "stock", "stock of the layer, by forests of it"),
        ("stock", "density", "stock for each centimetre, by the same forests"),
        ("density", "density", "stock for each centimetre, by forests of it"),
    ):
        own = _held(judged, population, learns)
        if not own:
            continue
        rows = [
            [
                SPLITS[split],
                group.replace("-", "–"),
                f"{arm.count(group):,}",
                _ranged(arm.value(scale, group)),
                _ranged(arm.value(scale, group, "r2")),
                _plain(arm.value(scale, group, "RMSE")[0]),
                _ranged(arm.value(scale, group, "bias"), 0),
                _plain(arm.value(scale, group, "CCC")[0]),
                _seeds(arm, scale, group),
            ]
            for split, arm in own.items()
            for group in GROUPS
        ]
        units = "kg/m²" if scale == "stock" else "kg/m³"
        yield _table(
            f"R² by what is left out and depth: {words}",
            ["left out", "depth", "layers", "R²", "r²", f"RMSE, {units}", "bias, %", "CCC",
             "R² by seed"],
            rows,
        )  # fmt: skip
    yield _table(
        "R² of topsoil less that of the soil below, each by forests of what is scored",
        ["left out", "scale", "0–30 less 30–100 cm", "0–30 less 100–200 cm"],
        [
            [
                SPLITS[split],
                SCALES[scale],
                _signed(arm.gap(scale, TOP, scale, SUB)),
                _signed(arm.gap(scale, TOP, scale, DEEP)),
            ]
            for scale in SCALES
            for split, arm in _held(judged, population, scale).items()
        ],
    )
    yield _table(
        "R² of each way of leaving out, less that of 5° blocks, each by forests of what is scored",
        ["left out", "scale", *(g.replace("-", "–") for g in GROUPS)],
        [
            [SPLITS[split], SCALES[scale], *(_signed(arm.less(base, scale, g)) for g in GROUPS)]
            for scale in SCALES
            if (base := _held(judged, population, scale).get("block")) is not None
            for split, arm in _held(judged, population, scale).items()
            if split != "block"
        ],
    )
    yield _table(
        "R² of all layers' stock, less that of their stock for each centimetre (same predictions)",
        ["left out", "difference"],
        [
            [SPLITS[s], _signed(arm.gap("stock", "all", "density", "all"))]
            for s, arm in held.items()
        ],
    )
    yield from _other_arms(judged, population, held)
    yield _means(judged, population)
    yield _partials(judged, population)


def _held(judged: Judged, population: str, learns: str) -> dict[str, Arm]:
    """Return the arms of the paper's predictors that are done, by split."""
    arms = {split: judged.scored(population, "paper", learns, split) for split in SPLITS}
    return {split: arm for split, arm in arms.items() if arm is not None}


def _other_arms(judged: Judged, population: str, held: dict[str, Arm]) -> Iterable[str]:
    rows = []
    for split, arm in held.items():
        other = judged.scored(population, "paper", "density", split)
        if other is not None:
            for scale in SCALES:
                told = [_signed(other.less(arm, scale, group)) for group in GROUPS]
                rows.append([SPLITS[split], SCALES[scale], *told])
    if rows:
        yield _table(
            "R² of forests that learn stock for each centimetre, less that of forests of stock",
            ["left out", "scored as", *(g.replace("-", "–") for g in GROUPS)],
            rows,
        )
    rows = []
    grids = len(judged.plan["predictors"]["grids"])
    for predictors, words in (
        ("paper", "clay + silt, added to climate and depth"),
        ("grids", f"{grids} gridded covariates instead of two of climate"),
    ):
        for split in SPLITS:
            one = judged.scored(population, predictors, "stock", split)
            base = judged.scored(population, "climate", "stock", split)
            if one is not None and base is not None:
                told = [_signed(one.less(base, "density", group)) for group in GROUPS]
                rows.append([words, SPLITS[split], *told])
    if rows:
        yield _table(
            "R² gained by further predictors, stock for each centimetre",
            ["predictors", "left out", *(g.replace("-", "–") for g in GROUPS)],
            rows,
        )


def _means(judged: Judged, population: str) -> str:
    samples = judged.samples(population)
    means = depth_means("stock", samples.y, samples.y, samples.top, samples.bottom)
    thick = (means["bottom_cm"] - means["top_cm"]).to_numpy(float)
    stock = means["measured"].to_numpy(float) * thick / 100
    rows = [
        [f"{top:g}–{bottom:g} cm", f"{n:,}", _plain(density), _plain(10 * one, 1),
         f"{100 * one / stock.sum():.0f} %"]
        for top, bottom, n, density, one in zip(
            means["top_cm"], means["bottom_cm"], means["n"], means["measured"], stock, strict=True
        )
    ]  # fmt: skip
    return _table(
        "Measured means by depth",
        ["depth", "layers", "kg/m³", "t/ha in the interval", "share of 0–200 cm"],
        rows,
    )


def _partials(judged: Judged, population: str) -> str:
    samples, plan = judged.samples(population), judged.plan
    drivers = np.stack([_driver(samples.table, name) for name in DRIVERS], axis=1)
    table = partial_correlations(
        samples.table["soc_g_kg"].to_numpy(float),
        drivers,
        DRIVERS,
        samples.top,
        samples.bottom,
        location_blocks(samples, plan["block_deg"]),
        replicates=plan["bootstrap"],
    )
    rows = [
        [str(r["group"]).replace("-", "–"), r["driver"], r["method"], f"{r['n']:,}",
         _signed((r["r"], r["low"], r["high"])),
         "<0.001" if r["p_holm"] < 0.001 else f"{r['p_holm']:.3f}"]
        for r in table.to_dict("records")
    ]  # fmt: skip
    head = ["depth", "driver", "", "layers", "partial correlation", "p, Holm"]
    words = "Partial correlation of carbon content with each driver, the others held"
    return _table(words, head, rows) + f"\n{DEPENDENCE}\n"


def _driver(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    found = table[name] if name in table else measured_values(table, name)
    return np.asarray(found, np.float64)


def _statements(judged: Judged) -> str:
    lines = ["## Which statements of the paper hold here\n"]
    for population in judged.plan["populations"]:
        arms = {scale: _held(judged, population, scale) for scale in SCALES}
        arms = {s: held for s, held in arms.items() if {"random", "profile", "block"} <= set(held)}
        if "stock" not in arms:
            continue
        lines.append(f"**{judged.plan['populations'][population]}**\n")
        lines += [f"- {one}" for one in _verdicts(arms)]
        lines.append("")
    lines.append(
        "The paper's R² of 0.96, 0.67 and 0.48 were not looked for: other profiles, no nitrogen, a "
        "coarse climate, and no site of the paper's own validation."
    )
    return "\n".join(lines) + "\n"


def _verdicts(arms: Mapping[str, Mapping[str, Arm]]) -> Iterable[str]:
    """Yield what is to be said of each statement, by the arms of each scale and split."""
    rows, block = arms["stock"]["random"], arms["stock"]["block"]
    yield (
        f'"About 72 % explained": {_percent(rows.value("stock", "all"))} of the variance of stocks '
        f"where rows are left out, {_percent(block.value('stock', 'all'))} where blocks are; "
        f"{_reaches([rows.value('stock', 'all'), block.value('stock', 'all')])}."
    )
    for scale, by_split in arms.items():
        one = by_split["block"]
        gaps = [one.gap(scale, TOP, scale, deeper) for deeper in (SUB, DEEP)]
        yield (
            f'"R² falls with depth", {SCALES[scale]}, blocks left out: '
            f"{_ranged(one.value(scale, TOP))} in 0–30, {_ranged(one.value(scale, SUB))} in 30–100,"
            f" {_ranged(one.value(scale, DEEP))} in 100–200 cm; {_falls(gaps)}."
        )
    for scale, by_split in arms.items():
        leaks = [by_split["random"].less(by_split["block"], scale, g) for g in (TOP, SUB, DEEP)]
        sure = sum(low > 0 for _, low, _ in leaks)
        yield (
            f"Leaving out rows instead of blocks flatters, {SCALES[scale]}: "
            + ", ".join(_signed(leak) for leak in leaks)
            + f" of R² in the three parts, beyond chance in {sure} of 3."
        )
    inflated = block.gap("stock", "all", "density", "all")
    yield (
        "Thickness, which the model is told, adds to the pooled R² of stocks (blocks left out): "
        f"{_signed(inflated)} against the same predictions for each centimetre; "
        f"{_sure(inflated, 'it flatters', 'it does the opposite here', 'not beyond chance')}."
    )
    if "density" in arms:
        own = block.less(arms["density"]["block"], "stock", "all", "density")
        yield (
            "Each by forests of its own, the pooled R² of stocks less that of stocks for each "
            f"centimetre is {_signed(own)} (blocks left out): "
            f"{_sure(own, 'thickness flatters', 'thickness hides more than it gives', _NEITHER)}."
        )
    biases = [block.value("stock", group, "bias") for group in (TOP, SUB, DEEP)]
    under, over = sum(high < 0 for _, _, high in biases), sum(low > 0 for _, low, _ in biases)
    yield (
        '"General underestimation, worse at depth", blocks left out, bias of the stock: '
        + ", ".join(f"{_ranged(b, 0)} %" for b in biases)
        + f" in the three parts; below zero beyond chance in {under}, above in {over} of 3: "
        + ("seen here." if under else "not seen here.")
    )


def _reaches(shares: list[Found]) -> str:
    held = [low <= EXPLAINED <= high for _, low, high in shares]
    return (
        "it holds here"
        if all(held)
        else "it holds where rows are left out"
        if held[0]
        else ("it does not hold here")
    )


_NEITHER = "no different beyond chance"


def _falls(gaps: list[Found]) -> str:
    first, last = (_sure(gap, "lower", "higher", _NEITHER) for gap in gaps)
    return (
        f"against topsoil that is {first} in 30–100 cm ({_signed(gaps[0])}) and {last} in 100–200 "
        f"cm ({_signed(gaps[1])})"
    )


def _sure(found: Found, above: str, below: str, neither: str) -> str:
    return above if found[1] > 0 else below if found[2] < 0 else neither


def _percent(found: Found) -> str:
    return f"{100 * found[0]:.0f} % [{100 * found[1]:.0f}, {100 * found[2]:.0f}]".replace("-", "−")


def _plain(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _ranged(found: Found, digits: int = 2) -> str:
    value, low, high = (_plain(v, digits) for v in found)
    return f"{value} [{low}, {high}]"


def _signed(found: Found) -> str:
    mark = "+" if found[0] > 0 else ""
    return mark + _ranged(found)


def _seeds(arm: Arm, scale: str, group: str) -> str:
    values = arm.by_seed[scale][:, GROUPS.index(group)]
    return f"{_plain(values.min())} to {_plain(values.max())} ({arm.seeds})"


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    lines = [f"### {title}\n", "| " + " | ".join(head) + " |", "| " + "--- | " * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
