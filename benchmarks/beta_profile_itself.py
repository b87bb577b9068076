"""How well forests tell beta itself, by ecosystem, beside the paper's R²."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from edaphos.engine.assess.splits import location_codes, make_split
from edaphos.engine.models.beta_forests import with_soil
from edaphos.engine.models.beta_profiles import falling
from edaphos.kernels.metrics import metrics

from .beta_profile_real import Soils, forest, said, soil_of, with_y

#: R² that the paper prints, of forests of 11 predictors.
PUBLISHED = {"cropland": 0.80, "grassland": 0.78, "forest": 0.86}


def beta_scores(soils: Soils, real: Mapping[str, Any], plan: Mapping[str, Any]) -> pd.DataFrame:
    """Return R² of beta left out, by ecosystem and way of leaving out."""
    beta, flags = soils.profiles.beta("normalised")
    usable = falling(beta, flags)
    nothing = np.zeros(len(beta), bool)
    own, _ = soil_of(soils, real, nothing, 1)  # a gap in clay is filled by a map; few are
    places = with_soil(soils.places, own)
    told = (*(f"soil_{n}" for n in real["soil"]), *real["climate"])
    rows = []
    for code, name in enumerate(soils.settings.ecosystems.names):
        here = np.flatnonzero(usable & (soils.ecosystem == code))
        part, y = places.take(here), beta[here]
        for way, folds in ways(part, real, plan):
            found = []
            for held_out in folds:
                if held_out.all() or not held_out.any():
                    continue
                model = forest(real, told, "none", 1).fit(with_y(part, y, ~held_out))
                found.append((y[held_out], said(model, part.take(held_out))))
            observed, predicted = (np.concatenate(side) for side in zip(*found, strict=True))
            score = metrics(observed, predicted)
            rows.append(
                {"ecosystem": name, "way": way, "profiles": len(here), "R2": score["R2"]}
                | {"RMSE": score["RMSE"], "mean": float(y.mean())}
            )
    return pd.DataFrame(rows)


def ways(
    part: Any, real: Mapping[str, Any], plan: Mapping[str, Any]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield ways of leaving out, with which rows are left out in each round."""
    random = np.random.default_rng(1).permutation(len(part)) % plan["folds"]
    yield (
        "by profile, sites on both sides",
        [np.asarray(random == fold) for fold in range(plan["folds"])],
    )
    sites = make_split(part, "profile", folds=plan["folds"], seed=1)
    yield f"{plan['folds']} folds of sites", [sites.held_out(f) for f in range(len(sites))]
    codes, repeated = location_codes(part), []
    for repeat in range(plan["repeats"]):
        rng = np.random.default_rng([7, repeat])
        places = rng.permutation(codes.max() + 1)
        repeated.append(np.isin(codes, places[round(plan["share"] * len(places)) :]))
    yield f"70/30 of sites, {plan['repeats']} times", repeated
    blocks = make_split(part, "block", folds=real["folds"], seed=1, block_deg=real["block_deg"])
    yield f"blocks of {real['block_deg']:g}°", [blocks.held_out(f) for f in range(len(blocks))]
