"""The table of the benchmark of one model of the world, in Markdown.

Scores are of pooled sums; an interval comes from drawing whole blocks of a region anew, the same
draws for all arms, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .depth_transfer_scores import SUMS, Estimate
from .gsoilcpm_run import tasks_of
from .result import machine

Told = Mapping[str, Any]
Floats = NDArray[np.float64]

DRAWS = 2000
#: Scores that are compared, and the decimals of their differences.
DIGITS = {"MAE": 1, "RMSE": 1, "CCC": 3}
#: What the paper prints, on average over its four regions.
PAPER = {"MAE": "−10.93 %", "CCC": "+29.04 %"}


def scores(sums: Floats) -> dict[str, Floats]:
    """Return MAE, RMSE and CCC (Lin 1989) of sums ``(..., len(SUMS))``."""
    named = dict(zip(SUMS, np.moveaxis(np.asarray(sums, np.float64), -1, 0), strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        names = ("o", "p", "oo", "pp", "op", "ae", "se")
        o, p, oo, pp, op, ae, se = (named[k] / named["n"] for k in names)
        ccc = 2 * (op - o * p) / (oo - o**2 + pp - p**2 + (o - p) ** 2)
    return {"MAE": ae, "RMSE": np.sqrt(se), "CCC": ccc}


class Scored:
    """Records of one region and one number of locations, over shared draws of blocks."""

    def __init__(self, records: pd.DataFrame, seed: int = 0) -> None:
        self.records = records
        self.blocks = np.unique(records["block"])
        size = len(self.blocks)
        rng = np.random.default_rng(seed)
        self.counts = rng.multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(float)

    def splits(self, *arms: str) -> list[int]:
        """Return the splits that all these arms have."""
        held = [set(self.records.loc[self.records["arm"] == arm, "split"]) for arm in arms]
        return sorted(set.intersection(*held)) if held else []

    def sums(self, arm: str, splits: list[int]) -> Floats:
        """Return sums by block, ``(blocks, len(SUMS))``."""
        own = self.records[self.records["arm"].eq(arm) & self.records["split"].isin(splits)]
        found = np.zeros((len(self.blocks), len(SUMS)))
        np.add.at(
            found, np.searchsorted(self.blocks, own["block"]), own[list(SUMS)].to_numpy(float)
        )
        return found

    def change(
        self, ours: str, theirs: str, score: str, splits: list[int] | None = None
    ) -> Estimate | None:
        """Return by how much a score of ours differs, errors in per cent; None if unknown.

        Over the splits given, or all that both have.
        """
        splits = self.splits(ours, theirs) if splits is None else splits
        if not splits:
            return None
        a, b = self.sums(ours, splits), self.sums(theirs, splits)
        drawn, point = (
            _apart(scores(x)[score], scores(y)[score], score)
            for x, y in ((self.counts @ a, self.counts @ b), (a.sum(axis=0), b.sum(axis=0)))
        )
        fine = drawn[np.isfinite(drawn)]
        low, high = np.percentile(fine, [2.5, 97.5]) if fine.size else (np.nan, np.nan)
        return Estimate(float(point), float(low), float(high))


def _apart(ours: Floats, theirs: Floats, score: str) -> Floats:
    # a CCC may be 0, so that shares of it mean nothing
    return np.asarray(ours - theirs if score == "CCC" else 100 * (ours / theirs - 1))


def table(records: pd.DataFrame, plan: Told) -> str:
    """Return the text of GSOILCPM.md."""
    done, wanted = records["digest"].nunique(), len(tasks_of(plan))
    lines = [
        "# What does one model of the world gain, fine-tuned to a region?",
        "",
        "Written by `python -m benchmarks gsoilcpm --write`. Regions, arms, splits and seeds stand",
        "in `gsoilcpm.toml`, and what was known when it was made.",
        f"{machine()}.",
        "",
        f"Open profiles, 0-30 cm, g/kg; {done} of {wanted} tasks are done. Inside a region whole",
        f"blocks of {_sides(plan)} are held out, a fifth of them in each",
        "split. The model of the world and forests see nothing within",
        f"{plan['buffer_km']:g} km of the region but its training locations. Intervals (95 %) come",
        "from drawing blocks anew, the same draws for all arms. Zhang L. et al. 2025 print, over",
        f"four regions, MAE {PAPER['MAE']} and CCC {PAPER['CCC']} against the region alone, with",
        "epochs chosen on the test set.",
        "",
        *_held_out(records, plan),
        *_contrasts(records, plan),
        *_regret(records, plan),
        *_by_skill(records, plan),
        *_arms(records, plan),
    ]
    return "\n".join(lines) + "\n"


def _sides(plan: Told) -> str:
    """Return the sides of blocks, and whose differ."""
    others = [f" ({r['block_deg']:g}° in {r['name']})" for r in plan["region"] if "block_deg" in r]
    return f"{plan['block_deg']:g}°{''.join(others)}"


def _cases(records: pd.DataFrame) -> Iterator[tuple[int, str, Scored]]:
    for (count, region), part in records.groupby(["locations", "region"], sort=False):
        yield int(count), str(region), Scored(part)


def _held_out(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    """Tell how much of a region is held out over all splits, and how much of that is one block."""
    first = plan["arm"][0]["name"]
    yield "## Rows held out"
    yield ""
    yield "Of all splits together; of one split, the largest share that one block has of them."
    yield ""
    yield "| region | splits | rows | blocks | share of the largest block | in one split |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for count, region, scored in _cases(records):
        own = scored.records[scored.records["arm"] == first]
        if count or own.empty:
            continue
        rows = own.pivot_table("n", "block", "split", "sum", fill_value=0)
        together, apart = rows.sum(axis=1), rows / rows.sum()
        yield (
            f"| {region} | {rows.shape[1]} | {together.sum():,.0f} | {len(rows)} | "
            f"{together.max() / together.sum():.0%} | {apart.max().max():.0%} |"
        )
    yield ""


def _contrasts(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    yield "## Contrasts"
    yield ""
    yield "How the first arm differs from the second: MAE and RMSE in per cent, less is better;"
    yield "CCC as it is, more is better. Bold: the interval leaves zero out. Of skewed contents a"
    yield "median has the least MAE, a mean the least RMSE; arms are means unless they are called"
    yield "medians."
    yield ""
    yield "| contrast | locations | region | splits | MAE | RMSE | CCC |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, (ours, theirs) in plan["contrasts"].items():
        for count, region, scored in _cases(records):
            found = [scored.change(ours, theirs, score) for score in DIGITS]
            if None not in found:
                told = " | ".join(
                    _figure(f, n) for f, n in zip(found, DIGITS.values(), strict=True) if f
                )
                splits = len(scored.splits(ours, theirs))
                yield f"| {name} | {count or 'all'} | {region} | {splits} | {told} |"
    yield ""


def _regret(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    yield "## Regret"
    yield ""
    yield "By how many per cent an error is above that of the simple arm that has"
    yield "the least of it, chosen in hindsight; same splits."
    for told in plan["regret"]:
        yield from _regrets(records, told)


def _regrets(records: pd.DataFrame, told: Told) -> Iterator[str]:
    yield ""
    yield f"Against {' and '.join(told['simple'])}:"
    yield ""
    yield "| arm | locations | region | splits | best simple arm | MAE | best simple arm | RMSE |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for ours in told["of"]:
        for count, region, scored in _cases(records):
            splits = scored.splits(ours, *told["simple"])
            if not splits:
                continue
            cells = [_above_best(scored, ours, told["simple"], e, splits) for e in ("MAE", "RMSE")]
            yield f"| {ours} | {count or 'all'} | {region} | {len(splits)} | {' | '.join(cells)} |"
    yield ""


def _above_best(scored: Scored, ours: str, simple: list[str], error: str, splits: list[int]) -> str:
    """Return the simple arm with the least error, and by how much ours is above it."""
    errors = {arm: float(scores(scored.sums(arm, splits).sum(axis=0))[error]) for arm in simple}
    best = min(errors, key=errors.__getitem__)
    found = scored.change(ours, best, error, splits)
    assert found is not None  # both have these splits
    return f"{best} | {_figure(found)}"


def _by_skill(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    """Tell whether poorer regions gain more, as the paper says, with skill from other splits."""
    ours, theirs = plan["by_skill"]["arms"]
    rows = []
    for _, _, scored in _cases(records):
        splits = scored.splits(ours, theirs)
        if len(splits) < 2:
            continue
        halves = splits[::2], splits[1::2]
        gain, same, other = [], [], []
        for one, rest in (halves, halves[::-1]):
            change = scored.change(ours, theirs, "MAE", one)
            assert change is not None  # both have these splits
            gain.append(-change.value)
            for found, part in ((same, one), (other, rest)):
                found.append(float(scores(scored.sums(theirs, part).sum(axis=0))["CCC"]))
        rows += list(zip(gain, same, other, strict=True))
    if len(rows) < 6:
        return
    gains, same, other = np.array(rows).T
    by_same, by_other = (float(np.corrcoef(gains, skill)[0, 1]) for skill in (same, other))
    yield "## Do poorer regions gain more?"
    yield ""
    yield f"Correlation of the gain in MAE (that of “{ours}” over “{theirs}”) with the CCC of the"
    yield f"latter, over {len(rows)} halves of the splits of each region and number of locations:"
    yield f"{by_same:+.2f} where skill is of the same splits, {by_other:+.2f} where it is of the"
    yield "other half. Only the second is free of regression to the mean."
    yield ""


def _arms(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    yield "## Arms"
    yield ""
    yield "On the splits that each has."
    yield ""
    yield "| region | locations | arm | splits | rows held out | MAE | RMSE | CCC | s a task |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for count, region, scored in _cases(records):
        for arm in (a["name"] for a in plan["arm"]):
            splits = scored.splits(arm)
            if not splits:
                continue
            sums = scored.sums(arm, splits).sum(axis=0)
            found = scores(sums)
            own = scored.records[scored.records["arm"] == arm].drop_duplicates("digest")
            yield (
                f"| {region} | {count or 'all'} | {arm} | {len(splits)} | {sums[0]:,.0f} | "
                f"{float(found['MAE']):.2f} | {float(found['RMSE']):.2f} | "
                f"{float(found['CCC']):.3f} | "
                f"{own['seconds'].mean():.0f} |"
            )


def _figure(found: Estimate, digits: int = 1) -> str:
    value, low, high = (f"{v:+.{digits}f}" for v in (found.value, found.low, found.high))
    told = f"{value} ({low} to {high})"
    return f"**{told}**" if found.clear else told
