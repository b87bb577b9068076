"""A small world of profiles with a spatial pattern, and cheap models to assess on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from edaphos.engine.models.protocol import register
from edaphos.engine.samples import Samples


def make_samples(profiles: int = 240, seed: int = 7) -> Samples:
    """Profiles in 60 clusters: carbon falls with depth, rises with `wet`; part is hidden."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 60, profiles)
    lon = rng.uniform(-170, 170, 60)[cluster] + rng.normal(0, 0.3, profiles)
    lat = rng.uniform(-55, 65, 60)[cluster] + rng.normal(0, 0.3, profiles)
    wet = rng.normal(0, 1, 60)[cluster] + rng.normal(0, 0.3, profiles)
    hidden = rng.normal(0, 0.5, 60)[cluster]
    tops = np.array([0.0, 10.0, 30.0, 60.0, 120.0])
    who, layer = np.repeat(np.arange(profiles), 5), np.tile(np.arange(5), profiles)
    middle = tops[layer] + 10
    log_soc = 3.2 - 0.9 * np.log1p(middle / 20) + 0.5 * wet[who] + hidden[who]
    months = np.arange(12)
    table = pd.DataFrame(
        {
            "profile_id": [f"p{i:04d}" for i in who],
            "source": np.array(["north", "south"])[(lat[who] < 5).astype(int)],
            "lon": lon[who],
            "lat": lat[who],
            "year": np.nan,
            "top_cm": tops[layer],
            "bottom_cm": tops[layer] + 20,
            "y": np.exp(log_soc + rng.normal(0, 0.3, len(who))),
            "weight": rng.uniform(0.5, 1.5, len(who)),
            "cell": who,
            "wet": wet[who].astype(np.float32),
        }
    )
    climate = {
        f"{name}_{month + 1:02d}": values[who].astype(np.float32)
        for month in months
        for name, values in (
            ("temperature", 27 - 0.4 * np.abs(lat) + 8 * np.cos(month / 1.91) * np.sign(-lat)),
            ("rain", 70 + 30 * wet + 0 * lat),
        )
    }
    table = pd.concat([table, pd.DataFrame(climate)], axis=1)
    table[[name for name in table if name.startswith("rain_")]] = table[
        [name for name in table if name.startswith("rain_")]
    ].clip(lower=0)
    return Samples(table, ("wet",))


class _Base:
    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text(json.dumps({}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls()


@register
class LinearModel(_Base):
    """Least squares of log SOC on depth and covariates, with a constant-width interval."""

    kind: ClassVar[str] = "test-linear"

    def __init__(self, covariates: tuple[str, ...] = ()) -> None:
        self.covariates = tuple(covariates)

    def _design(self, samples: Samples) -> Any:
        depth = np.log1p((samples.top + samples.bottom) / 40)
        return np.column_stack([np.ones(len(samples)), depth, samples.matrix(self.covariates)])

    def fit(self, samples: Samples) -> Self:
        x, z = self._design(samples), np.log1p(samples.y)
        self.coefficients = np.linalg.lstsq(x, z, rcond=None)[0]
        self.sigma = float(np.std(z - x @ self.coefficients))
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        z = self._design(samples) @ self.coefficients
        return {
            "soc_mean": np.expm1(z) * np.exp(self.sigma**2 / 2),
            "soc_q05": np.expm1(z - 1.645 * self.sigma),
            "soc_q50": np.expm1(z),
            "soc_q95": np.expm1(z + 1.645 * self.sigma),
        }


@register
class NearestModel(_Base):
    """Value of the nearest training row in place and depth: flattered by closeness."""

    kind: ClassVar[str] = "test-nearest"

    def fit(self, samples: Samples) -> Self:
        self.x, self.y = self._place(samples), samples.y
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        from scipy.spatial import cKDTree

        return {"soc_mean": self.y[cKDTree(self.x).query(self._place(samples))[1]]}

    @staticmethod
    def _place(samples: Samples) -> Any:
        t = samples.table
        return np.column_stack([t["lon"], t["lat"], samples.top / 20])


@register
class WitnessModel(_Base):
    """Remembers what it was trained on, and says so when asked to predict."""

    kind: ClassVar[str] = "test-witness"
    seen: ClassVar[list[tuple[set[str], set[str]]]] = []

    def fit(self, samples: Samples) -> Self:
        self.trained = set(samples.table["profile_id"])
        return self

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        self.seen.append((self.trained, set(samples.table["profile_id"])))
        return {"soc_mean": np.ones(len(samples))}


@register
class BrokenModel(LinearModel):
    """Fails in various ways."""

    kind: ClassVar[str] = "test-broken"

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def fit(self, samples: Samples) -> Self:
        if self.how == "fit":
            raise ZeroDivisionError("singular matrix")
        return super().fit(samples)

    def predict_rows(self, samples: Samples) -> Mapping[str, Any]:
        if self.how == "length":
            return {"soc_mean": np.ones(3)}
        if self.how == "name":
            return {"carbon": np.ones(len(samples))}
        mean = np.ones(len(samples))
        mean[0] = np.nan
        return {"soc_mean": mean}
