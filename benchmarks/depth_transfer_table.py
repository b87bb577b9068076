"""The table of the benchmark of transfer over depths, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from .depth_transfer_scores import POOLED, SCORES, Estimate, Scored
from .kept_tables import arm_of
from .result import machine

Told = Mapping[str, Any]

DEPTHS = ("0-5", "5-15", "15-30", "30-60", "60-100", "100-200")
#: What Han et al. 2025 print for their transfer net beside a forest and a CNN for each depth.
PAPER = {"forest per depth": "−9.38 %", "CNN per depth": "−2 %"}


def table(records: pd.DataFrame, plan: Told) -> str:
    """Return the text of DEPTH_TRANSFER.md."""
    full = records[(records["share"] == 1) & (records["thinned"] == 1)]
    scored = Scored(full)
    lines = [
        "# Does a net learn the deep soil better for having learned all depths first?",
        "",
        "Written by `python -m benchmarks depth_transfer --write`; arms, splits and seeds were",
        f"fixed in `depth_transfer.toml` before. {machine()}.",
        "",
        "Open profiles of the world, turned into six depths by the mass-preserving spline. Whole",
        f"blocks of {plan['block_deg']:g}° are held out, a fifth of them in each split. Figures",
        "are pooled over the splits done; intervals (95 %) come from drawing blocks anew, the same",
        "draws for all arms. Of several first weights each counts a part; means of arms have one,",
        "and are compared with what they are made of at that one. g/kg.",
        "",
        *_done(full, plan),
        "## Contrasts",
        "",
        "By how many per cent the RMSE differs; below zero the first is better. *Clearly*: depths,",
        "of six, in which the interval leaves zero out. Paper: Han et al. 2025, on the soils of",
        "China, with other covariates and random splits.",
        "",
        "| contrast | splits | RMSE | MAE | clearly better | clearly worse | paper, RMSE |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *_contrasts(scored, full, plan),
        "",
        "## Arms",
        "",
        *_arms(scored, full, plan),
        *_by_depth(scored, full, plan),
        *_curve(records, plan),
    ]
    return "\n".join(lines) + "\n"


def _done(full: pd.DataFrame, plan: Told) -> Iterator[str]:
    yield "Nets are kept within the range of the rows that they learned from, by depth. *Limited*:"
    yield "rows held out where that changed what a net said, over all splits."
    yield ""
    yield "| arm | splits done | first weights | rows held out | limited |"
    yield "| --- | --- | --- | --- | --- |"
    for arm in _names(full, plan):
        own = full[full["arm"] == arm]
        inits = own.groupby("split")["init"].nunique()
        limited = own.drop_duplicates("digest")["limited"].sum()
        net = arm_of(plan, arm).get("kind") == "conv"
        yield (
            f"| {arm} | {own['split'].nunique()} | {inits.min()}-{inits.max()} | "
            f"{own['n'].sum():,.0f} | {f'{limited:,.0f}' if net else ''} |"
        )
    yield ""


def _names(records: pd.DataFrame, plan: Told) -> list[str]:
    held = set(records["arm"])
    return [arm["name"] for arm in plan["arm"] if arm["name"] in held]


def _shared(full: pd.DataFrame, arms: list[str]) -> list[int]:
    splits = [set(full.loc[full["arm"] == arm, "split"]) for arm in arms]
    return sorted(set.intersection(*splits)) if splits else []


def _contrasts(scored: Scored, full: pd.DataFrame, plan: Told) -> Iterator[str]:
    for name, (ours, theirs) in plan["contrasts"].items():
        shared = _shared(full, [ours, theirs])
        if not shared:
            continue
        pair = scored.pair(plan, (ours, theirs), shared, POOLED)
        better = worse = 0
        for depth in range(len(DEPTHS)):
            there = scored.pair(plan, (ours, theirs), shared, depth)
            change = None if there is None else scored.change(*there)
            if change is not None and change.clear:
                better, worse = better + (change.value < 0), worse + (change.value > 0)
        if pair is None:
            continue
        paper = PAPER.get(theirs, "") if ours == "transfer" else ""
        yield (
            f"| {name} | {len(shared)} | {_percent(scored.change(*pair))} | "
            f"{_percent(scored.change(*pair, 'MAE'))} | {better} | {worse} | {paper} |"
        )


def _arms(scored: Scored, full: pd.DataFrame, plan: Told) -> Iterator[str]:
    """Yield all scores of all arms over all depths, on the splits that all of them have."""
    names = _names(full, plan)
    main = [a["name"] for a in plan["arm"] if "splits" not in a and a["name"] in names]
    shared = _shared(full, main)
    yield f"All depths together, {len(shared)} split(s) that the main arms share."
    yield ""
    yield f"| arm | {' | '.join(SCORES)} |"
    yield f"| --- |{' --- |' * len(SCORES)}"
    for arm in names:
        own = scored.select(arm, split=shared)
        if own is None:
            continue
        found = scored.estimates(own)
        told = " | ".join(_figure(found[score]) for score in SCORES)
        some = _shared(full[full["split"].isin(shared)], [arm])
        note = "" if len(some) == len(shared) else f" ({len(some)} split{'s' * (len(some) > 1)})"
        yield f"| {arm}{note} | {told} |"
    yield ""


def _by_depth(scored: Scored, full: pd.DataFrame, plan: Told) -> Iterator[str]:
    names = [n for n in _names(full, plan) if "splits" not in arm_of(plan, n)]
    shared = _shared(full, names)
    for score in ("RMSE", "R2", "r"):
        yield f"{score} by depth, cm:"
        yield ""
        yield f"| arm | {' | '.join(DEPTHS)} |"
        yield f"| --- |{' --- |' * len(DEPTHS)}"
        for arm in names:
            sums = [scored.select(arm, depth, split=shared) for depth in range(len(DEPTHS))]
            told = [_figure(scored.estimates(s)[score]) if s is not None else "" for s in sums]
            yield f"| {arm} | {' | '.join(told)} |"
        yield ""


def _curve(records: pd.DataFrame, plan: Told) -> Iterator[str]:
    """Yield RMSE by share of the profiles, and with few deep layers, where these were run."""
    cases = [(share, 1.0) for share in sorted({*records["share"]})]
    cases += [(1.0, t) for t in sorted({*records["thinned"]} - {1.0})]
    if len(cases) < 2:
        return
    arms = [arm["name"] for arm in plan["arm"] if arm.get("curve")]
    own = records[records["arm"].isin(arms) & records["split"].isin(plan["share_splits"])]
    parts = [
        own[(own["share"] == s) & (own["thinned"] == t) & (own["init"] == 1)] for s, t in cases
    ]
    arms = [arm for arm in arms if any(arm in set(part["arm"]) for part in parts)]
    yield "## With fewer profiles"
    yield ""
    yield "RMSE over all depths by share of the training locations; last, with layers below 30 cm"
    yield f"of only {100 * plan.get('thinned', 1):g} % of them. One set of first weights."
    yield ""
    heads = [f"{100 * s:g} %" if t == 1 else "few deep" for s, t in cases]
    yield f"| arm | {' | '.join(heads)} |"
    yield f"| --- |{' --- |' * len(cases)}"
    for arm in arms:
        cells = []
        for part in parts:
            shared = _shared(part, [a for a in arms if a in set(part["arm"])])
            if arm not in set(part["arm"]) or not shared:
                cells.append("")
                continue
            scored = Scored(part)
            own_sums = scored.select(arm, split=shared)
            cells.append("" if own_sums is None else _figure(scored.estimates(own_sums)["RMSE"]))
        yield f"| {arm} | {' | '.join(cells)} |"
    yield ""
    yield "By how many per cent the first has less or more, RMSE and MAE:"
    yield ""
    yield f"| contrast | {' | '.join(heads)} |"
    yield f"| --- |{' --- |' * len(cases)}"
    for name, pair in plan["contrasts"].items():
        if set(pair) <= set(arms):
            yield f"| {name} | {' | '.join(_changes(part, pair, plan) for part in parts)} |"
    yield ""


def _changes(part: pd.DataFrame, arms: list[str], plan: Told) -> str:
    scored, shared = Scored(part), _shared(part, arms)
    found = scored.pair(plan, arms, shared, POOLED) if shared else None
    if found is None:
        return ""
    return "; ".join(_percent(scored.change(*found, score)) for score in ("RMSE", "MAE"))


def _figure(found: Estimate) -> str:
    digits = 2 if abs(found.value) >= 2 else 3
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _percent(found: Estimate) -> str:
    return f"{found.value:+.2f} % [{found.low:+.2f}, {found.high:+.2f}]".replace("-", "−")
