from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.assess import AssessSpec, assess
from edaphos.engine.assess.assessment import Assessment
from edaphos.engine.models.protocol import ModelSpec
from edaphos.engine.products.level_pictures import MOST_MODELS, level_pictures
from edaphos.engine.products.pictures import Labels

from ..assess_world import make_samples


@pytest.fixture(scope="module")
def found() -> Assessment:
    spec = AssessSpec(bootstrap=0, splits=("profile", "block"))
    return assess(make_samples(), ModelSpec("test-linear", {"covariates": ("wet",)}), spec)


def test_words_say_what_is_drawn(found: Assessment) -> None:
    shares, spreads = level_pictures(found, Labels("VIRTUAL", "0.1°"))
    assert (shares.name, spreads.name) == ("levels_share", "levels_spread")
    rows = found.out_of_fold("block")  # blocks before profiles
    low = np.mean(rows["mean"] < 5)
    assert f"predicted: 0-5 {100 * low:.0f} %" in shares.alt
    middle = rows.loc[rows["obs"] < 5, "mean"].median()
    assert f"predicted: 0-5 {middle:.4g}" in spreads.alt
    for one in (shares, spreads):
        assert "depth alone: " in one.alt
        assert "VIRTUAL" in one.svg
        assert one.png.startswith(b"\x89PNG")


def test_several_models_stand_side_by_side(found: Assessment) -> None:
    own = found.predictions[found.predictions["model"] == "full"]
    more = [own.assign(model=f"model {i}", mean=own["mean"] * (1 + i / 10)) for i in range(5)]
    several = replace(found, predictions=pd.concat([found.predictions, *more]))
    shares, _ = level_pictures(several, Labels())
    assert "this model: 0-5" in shares.alt
    assert "model 2: 0-5" in shares.alt
    assert "model 3" not in shares.alt
    assert shares.alt.count("80+") == 1 + MOST_MODELS


def test_nothing_is_drawn_of_nothing(found: Assessment) -> None:
    blank = replace(found, predictions=found.predictions.assign(mean=np.nan))
    assert level_pictures(blank, Labels()) == ()
