"""Covariates beyond all that the world has: refused where most are, else told and bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.errors import InputError

from ..branch_world import make_model, make_samples, region_profiles
from ..conv_world import make_cube


def change_relief(folder: Path, change) -> None:
    """Change the raw squares of relief in a set."""
    (file,) = folder.glob("shard-*/window-5.npy")
    np.save(file, change(np.load(file)).astype(np.float32))


def test_a_region_much_steeper_than_the_world(tmp_path: Path) -> None:
    cube = make_cube(tmp_path / "cube")
    model = make_model(training={"epochs": 2})
    model.fit(make_samples(cube, tmp_path / "set", model)).save(tmp_path / "model")
    (band,) = model.fitted.nets.channels.channels[1].bands
    assert band.low is not None
    assert band.high is not None

    def tuned(name: str, change, **more):
        samples = make_samples(cube, tmp_path / name, model, region_profiles())
        change_relief(tmp_path / name, change)
        fine_tuning = {"ways": ("zero_shot",), **more}
        one = make_model(start=str(tmp_path / "model"), fine_tuning=fine_tuning)
        return one.fit(samples), samples

    with pytest.raises(InputError, match=r"beyond all that the world has of them: relief in 100 %"):
        tuned("all", lambda x: band.high + 1 + x)
    trusted, _ = tuned("trusted", lambda x: band.high + 1 + x, trust_units=True)
    assert trusted.fitted.summary["beyond the world"] == {"relief": 1.0}

    def some(x):
        x[::4] = 1e6
        return x

    wild, samples = tuned("some", some)
    assert "relief in 2" in " ".join(wild.notes)  # a quarter of places
    kept, same = tuned("kept", lambda x: np.clip(some(x), band.low, band.high))
    assert kept.fitted.summary["beyond the world"] == {}
    for name, said in wild.predict_rows(samples).items():
        np.testing.assert_array_equal(said, kept.predict_rows(same)[name])
