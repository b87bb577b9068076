"""Carbon of 20-100 cm from that of 0-20 cm on open profiles: the arms, fold by fold.

Every arm is given the stock of a profile's own 0-20 cm and sees the same training profiles; what it
says of the others is kept, so that a run that was ended goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.assess.splits import make_split
from edaphos.engine.models.beta_forests import ecosystem_of, measured, own_soil, with_soil
from edaphos.engine.models.beta_profiles import WholeProfiles, falling, whole_profiles
from edaphos.engine.models.beta_settings import CONSTANT, FIT_DEPTHS, SOIL, BetaSettings
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.progress import Reporter
from edaphos.engine.samples import Samples
from edaphos.kernels.beta import layer_stock
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import draw, load, open_cube
from edaphos.recipes.templates import builtin_path

from .open_data import DATA

Told = Mapping[str, Any]


class Soils:
    """Profiles that are known down to 100 cm, and what arms learn from.

    Parameters
    ----------
    samples, profiles
        Their rows, and these as whole profiles.
    settings
        Of the recipe's model.
    """

    def __init__(self, samples: Samples, settings: BetaSettings) -> None:
        profiles = whole_profiles(samples)
        keep = profiles.complete[profiles.of_row]
        self.samples = samples.take(keep)
        self.profiles: WholeProfiles = whole_profiles(self.samples)
        self.settings = settings
        self.places = self.samples.take(self.profiles.first)
        self.top = self.profiles.stock[:, 0]
        self.below = self.profiles.stock[:, 1:].sum(axis=1)
        self.ecosystem = ecosystem_of(self.places, settings)
        self.organic = measured(self.places, "soc") >= 120


def prepare(folder: Path, reporter: Reporter) -> tuple[Samples, BetaSettings]:
    """Draw the recipe's samples, unless that was done."""
    overrides = Overrides(data=DATA, cube=folder / "world.zarr")
    job = load_job(builtin_path("beta_profile"), overrides)
    settings = BetaSettings.of(job.model.settings["settings"])
    kept = folder / "samples.parquet"
    if not kept.exists():
        cube = open_cube(job, None, reporter)
        assert job.recipe.profiles is not None  # the built-in recipe has some
        samples, _ = draw(job, cube, load(job, job.recipe.profiles, cube, reporter))
        samples.table.assign(_features=",".join(samples.features)).to_parquet(kept)
    table = pd.read_parquet(kept)
    features = tuple(table["_features"].iloc[0].split(","))
    return Samples(table.drop(columns="_features"), features, ("stock", "kg m-2")), settings


def predictions(soils: Soils, plan: Told, cache: Path) -> pd.DataFrame:
    """Return what each arm says of each profile left out, kg/m², by profile and seed."""
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in plan["seeds"]:
        file = cache / f"seed_{seed}_{plan['trees']}.parquet"
        if not file.exists():
            of_seed(soils, plan, seed).to_parquet(file)
            sys.stderr.write(f"beta_profile: seed {seed} of {len(plan['seeds'])} done\n")
        found.append(pd.read_parquet(file))
    return pd.concat(found, ignore_index=True)


def of_seed(soils: Soils, plan: Told, seed: int) -> pd.DataFrame:
    """Return the predictions of one split: every profile is left out once."""
    split = make_split(
        soils.places, "block", folds=plan["folds"], seed=seed, block_deg=plan["block_deg"]
    )
    table = pd.DataFrame(
        {
            "profile": np.arange(len(soils.top)),
            "seed": seed,
            "block": split.blocks,
            "ecosystem": soils.ecosystem,
            "organic": soils.organic,
            "observed": soils.below,
        }
    )
    for fold in range(len(split)):
        out = split.held_out(fold)
        for arm, values in fold_arms(soils, plan, out, seed).items():
            if arm not in table:
                table[arm] = np.nan
            table.loc[out, arm] = values
    return table


def fold_arms(soils: Soils, plan: Told, out: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Train all arms on the profiles not left out; return 20-100 cm of the others."""
    own, mapped = soil_of(soils, plan, out, seed)
    places = with_soil(soils.places, own)
    told = (*(f"soil_{n}" for n in plan["soil"]), *plan["climate"])
    top = soils.top[out]
    found = {"constant 0.9786": below(top, np.full(out.sum(), CONSTANT))}
    for form, suffix in (("normalised", ""), ("raw", ", raw fit")):
        beta, flags = soils.profiles.beta(form)
        usable = falling(beta, flags) & ~out
        by_class, by_forest = np.full(out.sum(), np.nan), np.full(out.sum(), np.nan)
        by_mapped = by_forest.copy()
        for code in np.unique(soils.ecosystem):
            rows, wanted = usable & (soils.ecosystem == code), soils.ecosystem[out] == code
            if not wanted.any():
                continue
            # places in no ecosystem are told by all profiles together
            rows = usable if code < 0 or rows.sum() < 2 * plan["min_samples_leaf"] else rows
            by_class[wanted] = beta[rows].mean()
            model = forest(plan, told, "none", seed).fit(with_y(places, beta, rows))
            test = np.flatnonzero(out)[wanted]
            by_forest[wanted] = said(model, places.take(test))
            by_mapped[wanted] = said(model, with_soil(soils.places, mapped).take(test))
        if not suffix:
            found["class mean beta"] = below(top, by_class)
            found["forest beta, mapped soil"] = below(top, by_mapped)
        found[f"forest beta{suffix}"] = below(top, by_forest)
    learned = ~out
    wide = replace(
        places,
        table=places.table.assign(x20=soils.top.astype(np.float32)),
        features=("x20", *places.features),
    )
    all_told = ("x20", soils.settings.ecosystems.variable, *told)
    model = forest(plan, all_told, "log1p", seed).fit(with_y(wide, soils.below, learned))
    found["direct forest"] = said(model, wide.take(out))
    found["whole-profile forest"] = whole_profile(soils, wide, all_told, plan, out, seed)
    return found


def soil_of(
    soils: Soils, plan: Told, out: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return soil as measured (mapped where it was not), and as forests of covariates map it."""
    mapped = {}
    for name in plan["soil"]:
        values = measured(soils.places, name)
        rows = np.isfinite(values) & ~out
        model = forest(plan, soils.settings.covariates, SOIL[name][1], seed)
        mapped[name] = said(model.fit(with_y(soils.places, values, rows)), soils.places)
    return own_soil(soils.places, mapped), mapped


def whole_profile(
    soils: Soils, wide: Samples, told: tuple[str, ...], plan: Told, out: np.ndarray, seed: int
) -> np.ndarray:
    """Return 20-100 cm as the sum of layers by one forest that has depth as a predictor."""
    layers = []
    for d, (upper, lower) in enumerate(FIT_DEPTHS[1:], start=1):
        table = wide.table.assign(top_cm=upper, bottom_cm=lower, y=soils.profiles.stock[:, d])
        layers.append(table)
    learned = [table[~out] for table in layers]
    model = forest(plan, told, "log1p", seed)
    model.fit(Samples(pd.concat(learned), wide.features, ("said", "1")))
    return np.sum(
        [
            model.predict_rows(Samples(table[out], wide.features, ("said", "1")))["said_mean"]
            for table in layers
        ],
        axis=0,
    )


def forest(plan: Told, covariates: tuple[str, ...], scale: str, seed: int) -> ForestModel:
    """Return a forest as all arms have it."""
    return ForestModel(
        covariates=covariates,
        trees=plan["trees"],
        min_samples_leaf=plan["min_samples_leaf"],
        max_features=plan["max_features"],
        transform=scale,  # type: ignore[arg-type]  # one of SOIL's
        quantiles=(),
        seed=seed,
    )


def with_y(places: Samples, y: np.ndarray, rows: np.ndarray) -> Samples:
    """Return the rows wanted, with what is to be learned."""
    return Samples(places.table.assign(y=y)[rows], places.features, ("said", "1"))


def said(model: ForestModel, places: Samples) -> np.ndarray:
    """Return what a forest says of places."""
    return model.predict_rows(places)["said_mean"]


def below(top: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the stock of 20-100 cm."""
    return layer_stock(top, 20.0, beta, 20.0, 100.0)
