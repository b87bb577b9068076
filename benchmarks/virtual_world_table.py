"""``VIRTUAL_WORLD.md``: tables of the results, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .virtual_world_make import Variant
from .virtual_world_plan import read_plan
from .virtual_world_results import BASE, Results
from .virtual_world_scores import COMPARED, SCORES
from .virtual_world_words import outcome

#: Columns of the tables of means.
MEANS = (
    "sampled", "sampled_ccc", "between", "between_ccc", "trend", "change", "change_ccc",
    "beyond", "beyond_ccc", "roughness", "bias",
)  # fmt: skip

#: Fixed weights that have a column among the differences; all are among the weights.
SHOWN = ("poml 0.3", "poml 0.5")

_HEAD = """# Virtual worlds: what hybrids of process and forest gain, and what they lose

Written by `python -m benchmarks virtual_world --write` from `benchmarks/virtual_world.toml`, \
which fixes worlds, arms and variants before the run, on {machine}. Every sentence and figure \
below is computed from the results, which stand in `benchmarks/virtual_world_records.jsonl`.

A world is a region of 8 by 8 degrees with weather, farming and soils of 1980 to 2010, whose \
stocks (0-20 cm, kg/m²) are known everywhere. Surveyors visit places that they like, at the \
dates, and measure with an error of 7 %. Arms see that, covariates, and a driver of the carbon \
input; they predict {test} places that nobody visited, in all years. The truth is RothC with \
other constants, an input that nobody knows in full, and a driver that is in no covariate \
(`rothc`); or a model of microbes, or Century's pools, with a fifth of the land converted in a \
random year (`microbial`, `century`). All leave equilibrium in 1960; arms with a process take \
1980 for one. Drivers are given as they are, upside down (`wrong`), or five years late \
(`lagged`). The base case is {base}.

Arms: `ml` the forest alone; `forest_trend` a forest of what does not change and a line in time; \
`persistence` no change; `po_fair` RothC from the forest's stock of the first date; `po` RothC \
from each site's own first stock, which only visited sites have; `poml w` simulations of RothC \
between the dates as rows of the forest, with share w of the weight (Zhang et al. 2024), `tuned` \
by inner folds; `trusted` a learned level, the mean trend observed, learned local change, and \
RothC's responses to weather and input as far as held-out places bear them out; `no process` the \
same without RothC; `guarded` a forest that learns from the courses of `trusted` in place of \
RothC's own; `ml apart` the forest alone with what `guarded` sees: means and slopes of \
covariates and the calendar year; `covariate` RothC's course as a covariate; `residual` the \
forest on what RothC leaves; `net` a network with RothC in its loss. Forests have {trees} trees \
with leaves of {leaf}.

`trusted` and `guarded` were worked on with other worlds of the same kind ({pilots}), so they are \
at home here: what they do on real plots is another question. Intervals are by bootstrap over \
worlds, one comparison at a time: of a hundred comparisons without any difference, some five would \
look clear, and more with five worlds, where such intervals are too narrow.
"""


def table(results: Results, machine: str) -> str:
    """Return the text of ``VIRTUAL_WORLD.md``; `machine` is what it was run on."""
    plan = results.plan
    base = plan.variants[0]
    pilots = sorted({seed for seeds in read_plan("pilot").worlds.values() for seed in seeds})
    head = _HEAD.format(
        machine=machine,
        test=plan.test_sites,
        base=_says(base),
        trees=plan.learner["trees"],
        leaf=plan.learner.get("min_samples_leaf", 1),
        pilots=f"seeds {', '.join(map(str, pilots))}",
    )
    parts = [
        head,
        "## What came out",
        "",
        *(f"- {sentence}" for sentence in outcome(results)),
        "",
        "## Scores",
        "",
        *(f"- `{name}`: {what} ({unit})" for name, (what, unit) in SCORES.items()),
        "- `_ccc`: their concordance; `bias`: mean error between samplings, kg/m²",
        "",
        *_means(results, base),
    ]
    for name in COMPARED:
        parts += ["", *_contrasts(results, name)]
    parts += ["", *_weights(results), "", *_visited(results), "", *_variants(results)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _says(variant: Variant) -> str:
    dates = ", ".join(str(d) for d in variant.dates)
    again = "the same at each" if variant.revisited else "new ones at each"
    return (
        f"{variant.sites} sites, dates {dates}, {again}, drivers {variant.drivers}, truth "
        f"`{variant.truth}`"
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def _means(results: Results, base: Variant) -> list[str]:
    arms = [a.name for a in results.plan.arms if not a.visited]
    rows = [
        [f"`{arm}`", *(_number(results.mean(base.name, arm, s)) for s in MEANS)] for arm in arms
    ]
    return [
        f"## The base case: means of {results.seeds(base.name)} worlds",
        "",
        *_rows(["arm", *(f"`{s}`" for s in MEANS)], rows),
    ]


def _contrasts(results: Results, score: str) -> list[str]:
    left_out = (BASE, *set(results.fixed_weights) - set(SHOWN))
    arms = [a.name for a in results.plan.arms if not a.visited and a.name not in left_out]
    rows = []
    for variant in results.plan.variants:
        cells = []
        for arm in arms:
            found = results.difference(variant.name, arm, score)
            cells.append("-" if found is None else found.text())
        mean = _number(results.mean(variant.name, BASE, score))
        rows.append([variant.name, str(results.seeds(variant.name)), mean, *cells])
    what, unit = SCORES[score]
    return [
        f"## `{score}`: difference to `{BASE}`",
        "",
        f"{what[0].upper()}{what[1:]}, {unit}. Paired by world, with 95 % intervals by bootstrap "
        "over worlds; negative is better; bold where 0 lies outside.",
        "",
        *_rows(["variant", "worlds", f"`{BASE}`", *(f"`{a}`" for a in arms)], rows),
    ]


def _weights(results: Results) -> list[str]:
    """Return scores along w_p, and the regret of tuning it."""
    fixed = results.fixed_weights
    rows = []
    for variant in results.plan.variants:
        name = variant.name
        if not results.of(name, "poml tuned"):
            continue
        chosen = [r.said.get("w_p") for r in results.of(name, "poml tuned").values()]
        numbers = [float(w) for w in chosen if isinstance(w, int | float)]
        regrets = [
            results.regret(name, "poml tuned", [BASE, *fixed], s) for s in ("between", "trend")
        ]
        rows.append(
            [
                name,
                *(_number(results.mean(name, arm, "between")) for arm in (BASE, *fixed)),
                _number(results.mean(name, "poml tuned", "between")),
                _number(float(np.mean(numbers)), 2) if numbers else "-",
                *("-" if r is None else r.text() for r in regrets),
            ]
        )
    head = ["variant", f"`{BASE}`", *(f"`{a}`" for a in fixed), "`poml tuned`", "mean w_p chosen"]
    return [
        "## The weight of simulations",
        "",
        "`between` by w_p, and the regret of tuning: how much more error the tuned weight has than "
        "the best fixed one, chosen in each world after the fact.",
        "",
        *_rows([*head, "regret, `between`", "regret, `trend`"], rows),
    ]


def _visited(results: Results) -> list[str]:
    scores = ("sampled", "between", "trend", "change", "beyond")
    rows = []
    for variant in results.plan.variants:
        name = variant.name
        cells = [_number(results.mean(name, "po", s)) for s in scores]
        gains: list[Callable[[], str]] = [
            lambda arm=arm, score=score, name=name: _gain(results, name, arm, score)  # type: ignore[misc]
            for score in ("between", "trend")
            for arm in ("poml 0.5", "guarded")
        ]
        rows.append([name, *cells, *(gain() for gain in gains)])
    return [
        "## RothC at the sites it knows, and what the hybrids make of it",
        "",
        "`po` starts from each visited site's own measurement, so it is **no peer** of arms that "
        "predict places never visited; its calibration has seen the later dates of the same sites. "
        "Beside its errors there, what hybrids gain over `ml` at places not visited, in % of "
        "`ml`'s error (negative: harm).",
        "",
        *_rows(
            [
                "variant",
                *(f"`po` {s}" for s in scores),
                "`poml 0.5` gain, between",
                "`guarded` gain, between",
                "`poml 0.5` gain, trend",
                "`guarded` gain, trend",
            ],
            rows,
        ),
    ]


def _gain(results: Results, variant: str, arm: str, score: str) -> str:
    found = results.difference(variant, arm, score)
    return "-" if found is None else f"{-100 * found.share:+.0f} %"


def _variants(results: Results) -> list[str]:
    plan = results.plan
    minor = ", ".join(f"`{a.name}`" for a in plan.arms if a.few)
    worlds = {name: ", ".join(map(str, seeds)) for name, seeds in plan.worlds.items()}
    seconds = {
        a.name: np.mean(
            [r.seconds for r in results.records if r.arm == a.name and not r.error] or [0]
        )
        for a in plan.arms
    }
    return [
        "## What was run",
        "",
        *_rows(
            ["variant", "what it is", "worlds (seeds)"],
            [[v.name, _says(v), worlds[v.name]] for v in plan.variants],
        ),
        "",
        f"Only the first {plan.few} worlds of a variant: {minor or 'no arm'}. Mean seconds to "
        "fit and predict: " + ", ".join(f"`{name}` {s:.1f}" for name, s in seconds.items()) + ".",
    ]
