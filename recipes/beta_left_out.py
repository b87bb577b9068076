"""What profiles that were left out tell of a beta map: of its stocks, and of beta itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.models.beta import BetaModel
from edaphos.engine.models.beta_profiles import WholeProfiles, falling
from edaphos.engine.models.beta_settings import FIT_DEPTHS

Floats = NDArray[np.float64]

#: R² of beta in the paper (Wang H. et al.), whose forests see 11 properties of the same profiles.
PUBLISHED_R2: Mapping[str, float] = {"cropland": 0.80, "grassland": 0.78, "forest": 0.86}
#: Arms of the assessment that tell a beta: as a map has it, and of the profile's own soil.
_ARMS = {"mapped": BetaModel.beside["stock_mapped"], "station": BetaModel.beside["stock_station"]}
_RESAMPLES = 2000


@dataclass(frozen=True)
class LeftOut:
    """Whole profiles that were left out, with their blocks where there is such a split.

    Parameters
    ----------
    lon, lat
        Degrees, ``(n,)``.
    block
        Of land, ``(n,)``.
    observed, predicted
        Stocks of the layers of 20 cm down to 100 cm, kg/m², ``(n, 5)``.
    beta
        Predicted: ``mapped`` from soil as a map has it, ``station`` from the profile's own, NaN
        where unknown, ``(n,)`` each.
    """

    lon: Floats
    lat: Floats
    block: NDArray[Any]
    observed: Floats
    predicted: Floats
    beta: Mapping[str, Floats]

    @classmethod
    def of(cls, assessment: Assessment) -> Self:
        """Return those of an assessment; profiles that lack a layer take no part."""
        splits = list(dict.fromkeys(assessment.predictions["split"]))
        split = "block" if "block" in splits else splits[0]
        table = _with_arms(assessment.out_of_fold(split), assessment.arm_rows, split)
        table = table.assign(year=table["year"].fillna(-1.0)).dropna(subset=["obs", "mean"])
        keys = ["profile_id", "year"]
        layers = table.groupby(keys)["row"].transform("size")
        carbon = table.groupby(keys)["obs"].transform("sum")
        table = table[(layers == len(FIT_DEPTHS)) & (carbon > 0)]
        table = table.sort_values([*keys, "top_cm"], kind="stable")
        first = table.iloc[:: len(FIT_DEPTHS)]
        observed, predicted, *arms = (
            table[name].to_numpy(np.float64).reshape(-1, len(FIT_DEPTHS))
            for name in ("obs", "mean", *_ARMS)
        )
        lon, lat = (first[name].to_numpy(np.float64) for name in ("lon", "lat"))
        # an arm's layers follow its beta: from 20-40 to 80-100 cm they fall by its 60th power
        beta = {n: (arm[:, 4] / arm[:, 1]) ** (1 / 60) for n, arm in zip(_ARMS, arms, strict=True)}
        return cls(lon, lat, first["block"].to_numpy(), observed, predicted, beta)

    @property
    def residual(self) -> Floats:
        """Log of observed over predicted stock of 0-100 cm, ``(n,)``."""
        return np.asarray(np.log(self.observed.sum(axis=1) / self.predicted.sum(axis=1)))


def stock_ratio(left: LeftOut, seed: int = 0) -> dict[str, float | int]:
    """Return all carbon observed over all predicted, its 90 % interval, profiles and blocks.

    The interval is from a bootstrap over blocks: a check on totals that does not lean on a map's
    own bounds.
    """
    _, place = np.unique(left.block, return_inverse=True)
    sums = np.stack(
        [np.bincount(place, v.sum(axis=1)) for v in (left.observed, left.predicted)], axis=1
    )
    blocks = len(sums)
    times = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), _RESAMPLES)
    drawn = times @ sums
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.05, 0.95))
    whole = sums.sum(axis=0)
    return {
        "ratio": float(whole[0] / whole[1]),
        "low": float(low),
        "high": float(high),
        "profiles": len(place),
        "blocks": blocks,
    }


def beta_scores(
    left: LeftOut,
    ecosystem: NDArray[np.integer[Any]],
    names: Sequence[str],
    form: Literal["normalised", "raw"],
) -> list[dict[str, Any]]:
    """Return how well beta is told, by ecosystem.

    Profiles whose carbon does not fall with depth take no part, nor those without both predictions.

    Parameters
    ----------
    left
        Profiles.
    ecosystem
        Position of each one's among `names`, -1 for none, ``(n,)``.
    names
        Ecosystems.
    form
        Of the fit to a profile's own layers, which predictions are held against.
    """
    each = np.arange(len(left.observed))
    observed, flags = WholeProfiles(each, each, left.observed).beta(form)
    use = falling(observed, flags) & np.all([np.isfinite(b) for b in left.beta.values()], axis=0)
    found = []
    for i, name in enumerate(names):
        mine = use & (ecosystem == i)
        told: dict[str, Any] = {"ecosystem": name, "profiles": int(mine.sum())}
        told["observed"] = float(observed[mine].mean()) if mine.any() else None
        for arm, beta in left.beta.items():
            told[f"mean_{arm}"] = float(beta[mine].mean()) if mine.any() else None
            told[f"r2_{arm}"] = _r2(observed[mine], beta[mine])
        found.append(told | {"published_r2": PUBLISHED_R2.get(name)})
    return found


def _r2(observed: Floats, predicted: Floats) -> float | None:
    spread = float(((observed - observed.mean()) ** 2).sum()) if len(observed) > 1 else 0.0
    return 1 - float(((observed - predicted) ** 2).sum()) / spread if spread > 0 else None


def _with_arms(table: pd.DataFrame, arm_rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return rows with what the arms say of them; the arms' table is in the order of all rows."""
    if arm_rows.empty:
        return table.assign(**dict.fromkeys(_ARMS, np.nan))
    arms = arm_rows[arm_rows["split"] == split].iloc[table["row"].to_numpy()]
    return table.assign(**{name: arms[label].to_numpy() for name, label in _ARMS.items()})
