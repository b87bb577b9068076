"""Bulk density of real layers: six pedotransfer functions, refitted, and a forest, by blocks.

Layers with measured density of the open profile collections, units told by source; blocks of five
degrees are left out in turn (ten folds). RMSE in g/cm³; the ratio is to the best function as
published.
"""

from __future__ import annotations

from collections.abc import Iterator

from edaphos.engine.profiles.profiles import check_profiles
from edaphos.engine.profiles.schema import QARules
from edaphos.engine.stocks.density import PUBLISHED, choose_density

from .open_data import DATA, has_open_data
from .result import Result

FOLDS, SEED = 10, 1
TOLD = ("n", "bias", "r2", "rmse_mineral", "rmse_organic", "clipped")
TOLD += ("behind", "behind_low", "behind_high")  # the best, with a 95 % interval over blocks


def measure(*, small: bool = False) -> Iterator[Result]:
    if not has_open_data("density"):
        return
    rules = QARules(surface_organic="flag", exclude_sources=["MangroveDB"])
    checked = check_profiles([DATA / "profiles" / "profiles.csv.gz"], rules)
    table = checked.table
    measured = table[table["bulk_density_g_cm3"].notna()]
    if small:
        measured = measured.sample(3000, random_state=SEED)
    choice = choose_density(measured, trees=20 if small else 100, folds=FOLDS, seed=SEED)
    scores = choice.scores
    peer = scores[scores["form"] == PUBLISHED].iloc[0]
    for row in scores.to_dict("records"):
        yield Result(
            f"density: {row['model']}, {row['form']}",
            row["rmse"],
            "g/cm3 RMSE",
            f"{peer['model']}, published",
            row["rmse"] / float(peer["rmse"]),
            {k: row[k] for k in TOLD} | {"blocks": choice.blocks},
        )
