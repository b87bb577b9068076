"""The table of the beta benchmark: BETA_PROFILE.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.products.ecosystem_tables import total_words
from edaphos.recipes.beta_totals import PUBLISHED_AREA, PUBLISHED_BETA

from .beta_profile_itself import PUBLISHED as PUBLISHED_R2
from .beta_profile_scores import GROUPS, contrasts, group, scores

Told = Mapping[str, Any]


def table(
    plan: Told,
    ecosystems: tuple[str, ...],
    synthetic: pd.DataFrame,
    said: pd.DataFrame,
    itself: pd.DataFrame,
    world: Told,
) -> str:
    """Return the text of the table."""
    real = plan["real"]
    compared = contrasts(said, real, ecosystems)
    parts = [
        "# The beta model, put to the test",
        "Written by `python -m benchmarks beta_profile --write`; what is run stands in "
        "`beta_profile.toml`, fixed before it was run. The model is that of Wang H. et al. (ESSD "
        "manuscript): of the carbon of a profile 1 − β^d lies above d cm.",
        "## Which wins",
        *verdicts(compared),
        "Said where the 95 % interval of the paired difference leaves out 0. Arms of beta go by "
        "the mean of beta, and so fall short of the mean of stocks, which are skewed: absolute "
        "error forgives that, squared error and bias do not.",
        "## Carbon of 20-100 cm from that of 0-20 cm",
        f"{said['profile'].nunique():,} open profiles with carbon and bulk density down to 100 cm, "
        f"{said.loc[said['organic'], 'profile'].nunique()} of them organic (120 g/kg or more in "
        f"0-20 cm); blocks of {real['block_deg']:g}° left out, {real['folds']} folds, "
        f"{said['seed'].nunique()} splits, forests of {real['trees']} trees. Every arm is given "
        "the profile's own 0-20 cm stock. Forests see carbon, density and clay of 0-20 cm as "
        "measured, mean temperature and rain, the direct ones that stock as well; “mapped soil” "
        "takes carbon, density and clay as forests of 19 covariates map them, which is all that a "
        "map has. kg/m².",
        *(arm_table(said, which, ecosystems) for which in ("mineral soils", "all soils")),
        "Differences, paired by profile and split: by how many per cent the first has more error "
        "than the second, with 95 % intervals over blocks.",
        contrast_table(compared),
        "## Beta itself",
        "R² of beta of profiles left out, by the reduced forest (carbon, density and clay of "
        "0-20 cm, temperature, rain), beside the paper's, whose forests see 11 properties of the "
        "same profiles. Profiles whose carbon does not fall with depth take no part.",
        itself_table(itself),
        "## Made-up profiles of known beta",
        synthetic_words(plan["synthetic"]),
        synthetic_table(synthetic),
        "The spline makes a thick topsoil layer less steep than it is, so beta comes out too "
        "large. Shares of the layers as they are need no curve; of a layer that ends below 100 cm "
        "the part above is taken by thickness, which makes the whole a little too small. The raw "
        "fit is too small by more than either, but for the steepest profiles, where two errors "
        "cancel.",
        "## The world at 0.083°",
        *world_parts(world),
    ]
    return "\n\n".join(parts) + "\n"


def verdicts(compared: pd.DataFrame) -> Iterator[str]:
    """Yield what contrasts say, by the rule that an interval must leave out 0."""
    lines = []
    for name in dict.fromkeys(compared["contrast"]):
        mine = compared[compared["contrast"] == name]
        told = {(r["group"], r["score"]): r["told"] for r in mine.to_dict("records")}
        wins = [g for g in GROUPS for s in ("MAE",) if told[g, s][2] < 0]
        loses = [g for g in GROUPS for s in ("MAE",) if told[g, s][1] > 0]
        root = [g for g in GROUPS if told[g, "RMSE"][2] < 0 or told[g, "RMSE"][1] > 0]
        words = []
        if wins:
            words.append(f"less absolute error in {', '.join(wins)}")
        if loses:
            words.append(f"more in {', '.join(loses)}")
        if not words:
            words.append("no difference of absolute error beyond chance")
        squared = [f"{'less' if told[g, 'RMSE'][2] < 0 else 'more'} in {g}" for g in root]
        words.append(f"RMSE {', '.join(squared)}" if squared else "no difference of RMSE")
        lines.append(f"- {name}: {'; '.join(words)}.")
    yield "\n".join(lines)


def arm_table(said: pd.DataFrame, which: str, ecosystems: tuple[str, ...]) -> str:
    """Return the scores of all arms in one group."""
    found = scores(group(said, which, ecosystems))
    rows = [
        (r["arm"], *(f"{r[k]:.2f}" for k in ("MAE", "RMSE", "ME", "R2", "R2log")))
        for r in found.to_dict("records")
    ]
    heads = (f"{which}, {found['n'].iloc[0]:,} profiles", "MAE", "RMSE", "bias")
    return markdown((*heads, "R²", "R², log scale"), rows)


def contrast_table(compared: pd.DataFrame) -> str:
    """Return the paired differences."""
    rows = []
    for name in dict.fromkeys(compared["contrast"]):
        for score in ("MAE", "RMSE"):
            mine = compared[(compared["contrast"] == name) & (compared["score"] == score)]
            told = dict(zip(mine["group"], mine["told"], strict=True))
            cells = [f"{a:+.1f} [{b:+.1f}, {c:+.1f}]" for a, b, c in (told[g] for g in GROUPS)]
            rows.append((f"{name}, {score}", *cells))
    return markdown(("per cent", *GROUPS), rows)


def itself_table(itself: pd.DataFrame) -> str:
    """Return R² of beta by ecosystem."""
    ways = list(dict.fromkeys(itself["way"]))
    rows = []
    for name in dict.fromkeys(itself["ecosystem"]):
        mine = itself[itself["ecosystem"] == name].set_index("way")
        cells = [f"{mine.loc[way, 'R2']:.2f}" for way in ways]
        first = mine.iloc[0]
        rows.append(
            (
                name,
                f"{first['profiles']:,}",
                f"{first['mean']:.4f}",
                *cells,
                f"{PUBLISHED_R2[name]:.2f}",
            )
        )
    return markdown(("", "profiles", "mean beta", *ways, "paper, R²"), rows)


def synthetic_words(plan: Told) -> str:
    """Return what the made-up profiles are."""
    low, high = plan["layers"]
    return (
        f"{plan['profiles']:,} profiles of each beta and noise, of {low} to {high} layers at "
        f"random depths down to {plan['deepest_cm'][0]} to {plan['deepest_cm'][1]} cm; noise is "
        "the standard deviation of the log of a layer's carbon. Errors of X100, the carbon of "
        "0-100 cm reckoned from that of 0-20 cm, in per cent: bias, and RMSE in brackets."
    )


def synthetic_table(synthetic: pd.DataFrame) -> str:
    """Return errors of X100 by noise and beta of each way of fitting."""
    fits = list(dict.fromkeys(synthetic["fit"]))
    rows = []
    for (noise, beta), mine in synthetic.groupby(["noise", "beta"], sort=True):
        told = mine.set_index("fit")
        cells = [
            f"{told.loc[f, 'stock_bias']:+.1f} ({told.loc[f, 'stock_rmse']:.0f})" for f in fits
        ]
        rows.append((f"{100 * noise:.0f} %", f"{beta:.4f}", *cells))
    return markdown(("noise", "beta", *fits), rows)


def world_parts(world: Told) -> Iterator[str]:
    """Yield the totals of the map beside the published ones, and why they differ."""
    seconds = world["seconds"]
    yield (
        f"`edaphos run beta_profile`: {world['cells']:,} land cells with a stock, five layers; "
        f"profiles to report {sum(seconds.values()) / 60:.0f} min on a busy machine of 2 cores, "
        f"cross-validation {seconds.get('assess', 0) / 60:.1f} min of it, mapping "
        f"{seconds.get('map', 0) / 60:.1f} min. The topsoil map is a forest of the same profiles' "
        "0-20 cm stock."
    )
    rows = [
        (
            one["ecosystem"],
            f"{one['top_cm']:g}-{one['bottom_cm']:g}",
            f"{one['area_mha']:,.0f}",
            f"{one['mean_t_ha']:.1f}",
            f"{one['unweighted_t_ha']:.1f}",
            "" if one["published_t_ha"] is None else f"{one['published_t_ha']:.1f}",
            total_words(one),
            "" if one["published_pg"] is None else f"{one['published_pg']:,.0f}",
            total_words(less),
        )
        for one, less in zip(world["totals"], world["fragments"]["totals"], strict=True)
    ]
    heads = ("ecosystem", "cm", "million ha", "t/ha by area", "t/ha by cell", "paper, t/ha")
    scenario = f"with {100 * world['fragments']['mean']:g} % fragments, Pg"
    yield markdown((*heads, "Pg", "paper, Pg", scenario), rows)
    yield world["note"]
    told = (
        f"{one['ecosystem']} {one['r2_mapped']:.2f} ({one['r2_station']:.2f} from own soil)"
        for one in world["beta_left_out"]
    )
    yield (
        "R² of beta of profiles left out with their blocks by the map's own forests, from soil "
        f"properties as mapped, which is what cells have: {'; '.join(told)}."
    )
    yield from explained(world)


def explained(world: Told) -> Iterator[str]:
    """Yield why totals differ from those published: areas, densities, depth, each told apart."""
    totals = {(t["ecosystem"], t["bottom_cm"], t["top_cm"]): t for t in world["totals"]}
    lines = ["Where the differences of 20-100 cm come from (Pg):", ""]
    for name in PUBLISHED_AREA:
        one = totals[name, 100, 20]
        if one["published_pg"] is None or one["published_t_ha"] is None:
            continue
        area = (one["area_mha"] - PUBLISHED_AREA[name]) * one["published_t_ha"] * 1e-3
        mean = (one["mean_t_ha"] - one["published_t_ha"]) * one["area_mha"] * 1e-3
        printed = PUBLISHED_AREA[name] * one["published_t_ha"] * 1e-3
        lines.append(
            f"- {name}: {one['total_pg']:.0f} against {one['published_pg']:.0f} printed, which is "
            f"not the paper's own mean times area ({printed:.0f}); from there {area:+.0f} by area "
            f"({one['area_mha']:,.0f} against {PUBLISHED_AREA[name]:,.0f} million ha) and "
            f"{mean:+.0f} by density ({one['mean_t_ha']:.1f} against {one['published_t_ha']:.1f} "
            f"t/ha). Mean mapped beta {world['beta'][name]:.4f} by area, "
            f"{PUBLISHED_BETA[name]:.4f} in the paper."
        )
    top, whole = totals["together", 20, 0], totals["together", 100, 0]
    below = totals["together", 100, 20]
    lines += [
        f"- {100 * below['total_pg'] / whole['total_pg']:.0f} % of 0-100 cm lie below 20 cm here, "
        "54 % as the paper prints it, 55 % by its own totals.",
        f"- Means by cell instead of by area would make the whole "
        f"{100 * (whole['unweighted_t_ha'] / whole['mean_t_ha'] - 1):+.0f} %: cells near the pole "
        "are small and rich.",
        f"- Topsoil: {top['total_pg']:.0f} Pg against 747. Ecosystems here exclude each other "
        "(IGBP classes; half of cropland's mosaic counts as grassland, and savannas and shrubs "
        "count as grassland); the paper's fractions overlap, with 5.64 billion ha of forest where "
        "the FAO counts 4.1. Wetlands, barren and urban land are in none. No fragments are known: "
        "both are upper bounds.",
    ]
    yield "\n".join(lines)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, numbers to the right."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" + " ---: |" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def mean_betas(beta: np.ndarray, weights: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean of a beta map over ecosystems, cells weighted."""
    known = np.isfinite(beta)
    return {n: float(np.average(beta[known], weights=w[known])) for n, w in weights.items()}
