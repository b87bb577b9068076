"""What the results of the virtual worlds say, in sentences made of the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from .virtual_world_results import BASE, Results
from .virtual_world_scores import COMPARED, Difference

#: Variants that are named one by one.
FEW = 3
#: What an earlier trial on other worlds found: 400 sites, 5 seeds.
TRIAL = "an earlier trial of 5 other worlds"


def outcome(results: Results) -> list[str]:
    """Return the sentences, the outcome of the trial's claims first, failures last."""
    arms = [a.name for a in results.plan.arms if not a.visited and a.name != BASE]
    return [
        *_claims(results),
        *(_arm(results, arm) for arm in arms),
        *_guarded(results),
        *_without_process(results),
        *_regret(results),
        *_by_process_error(results),
        _failures(results),
    ]


def _per_cent(found: Difference) -> str:
    low, high = 100 * found.share_low, 100 * found.share_high
    return f"{100 * found.share:+.0f} % [{low:+.0f}, {high:+.0f}]"


class _Tally:
    """Comparisons with clearly less error, clearly more, and neither."""

    def __init__(self, results: Results, arm: str, base: str = BASE) -> None:
        self.number = 0
        self.less: dict[str, dict[str, float]] = {}
        self.more: dict[str, dict[str, float]] = {}
        for score in COMPARED:
            for variant in results.plan.variants:
                found = results.difference(variant.name, arm, score, base)
                self.number += found is not None
                if found is not None and (found.better or found.worse):
                    kind = self.less if found.better else self.more
                    kind.setdefault(score, {})[variant.name] = 100 * found.share

    @staticmethod
    def count(kind: dict[str, dict[str, float]]) -> int:
        """Return the number of comparisons."""
        return sum(map(len, kind.values()))

    @classmethod
    def say(cls, kind: dict[str, dict[str, float]]) -> str:
        """Return how many by score, and the variants where there are few."""
        parts = []
        for score, found in kind.items():
            if len(found) <= FEW:
                listed = ", ".join(f"{name} {share:+.0f} %" for name, share in found.items())
            else:
                least, most = sorted(found.values(), key=abs)[:: len(found) - 1]
                listed = f"{len(found)} variants, {least:+.0f} to {most:+.0f} %"
            parts.append(f"{score}: {listed}")
        return f"{cls.count(kind)}" + (f" ({'; '.join(parts)})" if parts else "")


# -- what the trial found ------------------------------------------------------------------------


def _claims(results: Results) -> list[str]:
    said = []
    arm = "poml 0.3"
    trend = results.difference("base", arm, "trend")
    if trend is not None:
        ratio = 1 + trend.share
        kept = (
            "confirmed"
            if ratio <= 0.4 and trend.better
            else "confirmed in direction only"
            if trend.better
            else "not confirmed"
        )
        said.append(
            f"Drivers right, error of the mean trend: {TRIAL} left a quarter of the forest's; here "
            f"`{arm}` leaves {100 * ratio:.0f} % of it ({_per_cent(trend)}): {kept}."
        )
    between = results.difference("base", arm, "between")
    if between is not None:
        kept = "confirmed" if between.better else "not confirmed"
        said.append(
            f"Drivers right, years not sampled: {TRIAL} had 5 % less error; here `{arm}` has "
            f"{_per_cent(between)}: {kept}."
        )
    sampled = results.difference("base", arm, "sampled")
    if sampled is not None:
        kept = "refuted, it gains" if sampled.better else "confirmed"
        said.append(
            f"Drivers right, sampled years: {TRIAL} had no gain; here `{arm}` has "
            f"{_per_cent(sampled)}: {kept}."
        )
    harm = {s: results.difference("wrong", arm, s) for s in ("between", "trend")}
    told = [f"{s} {_per_cent(d)}" for s, d in harm.items() if d is not None]
    if told:
        kept = "confirmed" if any(d is not None and d.worse for d in harm.values()) else "not found"
        said.append(
            f"Drivers wrong in sign: {TRIAL} was harmed; here `{arm}` has {', '.join(told)}: "
            f"{kept}."
        )
    return said


# -- one arm over everything -----------------------------------------------------------------------


def _arm(results: Results, arm: str) -> str:
    """Say where an arm has clearly less error than the forest, and where more."""
    tally = _Tally(results, arm)
    if not tally.number:
        return f"`{arm}`: no results."
    return (
        f"`{arm}`, {tally.number} comparisons with the forest alone. Less error in "
        f"{tally.say(tally.less)}; more in {tally.say(tally.more)}."
    )


# -- the arm that is to do no harm -----------------------------------------------------------------


def _guarded(results: Results) -> list[str]:
    arm, paper = "guarded", "poml 0.5"
    said = []
    kept = []
    for variant in results.plan.variants:
        if variant.drivers != "right":
            continue
        ours = results.difference(variant.name, arm, "trend")
        theirs = results.difference(variant.name, paper, "trend")
        if ours is not None and theirs is not None and theirs.better:
            kept.append((variant.name, ours, theirs))
    if kept:
        listed = "; ".join(
            f"{name}: {_per_cent(ours)} against {_per_cent(theirs)}" for name, ours, theirs in kept
        )
        also = sum(ours.better for _, ours, _ in kept)
        said.append(
            f"Does `{arm}` keep the gain in trend? Where `{paper}` clearly gains, with right "
            f"drivers, `{arm}` gains as well in {also} of {len(kept)} variants ({listed})."
        )
    bad = [v for v in results.plan.variants if v.drivers != "right"]
    harms, looked = [], 0
    for variant in bad:
        for score in COMPARED:
            found = results.difference(variant.name, arm, score)
            if found is not None:
                looked += 1
                if found.worse:
                    harms.append(f"{score}, {variant.name}: {_per_cent(found)}")
    if looked:
        said.append(
            f"Does `{arm}` do no harm with wrong or lagged drivers? It has clearly more error than "
            f"the forest in {len(harms)} of {looked} comparisons"
            + (f" ({'; '.join(harms)})" if harms else "")
            + "."
        )
    return said


def _without_process(results: Results) -> list[str]:
    """Say what a process adds to a course that is learned without one."""
    said = []
    for arm in ("trusted", "guarded"):
        tally = _Tally(results, arm, "no process")
        if tally.number:
            said.append(
                f"What the process adds: beside `no process`, which tells places from time but "
                f"runs none, `{arm}` has, in {tally.number} comparisons, clearly less error in "
                f"{tally.say(tally.less)}; more in {tally.say(tally.more)}."
            )
    return said


# -- tuning, and the process's own error -----------------------------------------------------------


def _regret(results: Results) -> list[str]:
    fixed = results.fixed_weights
    said = []
    for score in ("between", "trend"):
        shares = []
        for variant in results.plan.variants:
            found = results.regret(variant.name, "poml tuned", [BASE, *fixed], score)
            if found is not None:
                shares.append((found.share, variant.name))
        if shares:
            worst = max(shares)
            said.append(
                f"The tuned weight has {100 * np.mean([s for s, _ in shares]):.0f} % more error "
                f"({score}, mean over variants) than the best fixed weight known after the fact; "
                f"at most {100 * worst[0]:.0f} % ({worst[1]})."
            )
    return said


def _by_process_error(results: Results) -> list[str]:
    said = []
    for arm in ("poml 0.5", "guarded"):
        error, gain = [], []
        for variant in results.plan.variants:
            process = results.values(variant.name, "po", "trend")
            ours = results.values(variant.name, arm, "trend")
            forest = results.values(variant.name, BASE, "trend")
            for seed in sorted(process.keys() & ours.keys() & forest.keys()):
                error.append(process[seed])
                gain.append(forest[seed] - ours[seed])
        if len(error) < 10:
            continue
        rho = float(spearmanr(error, gain).statistic)
        cuts = np.quantile(error, [1 / 3, 2 / 3])
        third = np.digitize(error, cuts)
        means = [float(np.mean(np.array(gain)[third == k])) for k in range(3)]
        said.append(
            f"Gain against the process's own error: over {len(error)} worlds, the better RothC "
            f"follows the mean trend at the visited sites, the more `{arm}` gains in trend (rank "
            f"correlation of RothC's error and the gain {rho:+.2f}); mean gain {_list(means)} "
            f"kg/m² in the thirds of worlds where RothC errs least, middling (from {cuts[0]:.3f}) "
            f"and most (from {cuts[1]:.3f} kg/m²)."
            if rho < 0
            else f"Gain against the process's own error: over {len(error)} worlds, RothC's error "
            f"of the mean trend at visited sites does not tell where `{arm}` gains (rank "
            f"correlation {rho:+.2f})."
        )
    return said


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:+.3f}" for v in values)


def _failures(results: Results) -> str:
    if not results.failures:
        return "No arm failed to run in any world."
    counts: dict[tuple[str, str], int] = {}
    for record in results.failures:
        key = record.arm, record.error
        counts[key] = counts.get(key, 0) + 1
    listed = "; ".join(f"`{arm}` in {n} worlds: {error}" for (arm, error), n in counts.items())
    return f"Arms that failed to run: {listed}."
