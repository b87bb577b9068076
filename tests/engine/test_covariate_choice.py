from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from edaphos.engine.assess.crossval import _load, _store
from edaphos.engine.assess.splits import inner_split, location_blocks
from edaphos.engine.covariate_choice import (
    ChoiceSpec,
    CovariateChoice,
    choices_of,
    choose_covariates,
)
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models.protocol import ModelSpec, register
from edaphos.engine.samples import Samples
from edaphos.engine.sampling import draw_samples
from edaphos.kernels.covariate_filter import keep_covariates

from .assess_world import WitnessModel, make_samples
from .worlds import make_cube, make_table, world_grid


def crowded(seed: int = 3) -> Samples:
    """The small world with covariates that repeat, blur or do not know what `wet` knows."""
    made = make_samples(seed=7)
    rng = np.random.default_rng(seed)
    place, who = np.unique(made.table["cell"], return_inverse=True)
    noise = rng.normal(size=(12, len(place)))[:, who].astype(np.float32)
    wet = made.table["wet"].to_numpy()
    depth = np.log1p(made.top).astype(np.float32)
    columns = {
        "copy": 3 * wet + 1,
        "blurred": wet + 0.5 * noise[0],
        "half": wet + 1.5 * noise[1],
        "flat": wet * 0,
        **{f"noise_{m + 1:02d}": noise[m] for m in range(12)},
        "zone": np.array([2, 0, 3, 1], np.float32)[np.digitize(wet, [-1.0, 0.0, 1.0])],
        "deep": depth + noise[2],
    }
    table = pd.concat([made.table, pd.DataFrame(columns)], axis=1)
    return Samples(table, ("wet", *columns), classes=("zone",))


@register
class ChoosingWitness(WitnessModel):
    """A witness that takes covariates as a setting."""

    kind: ClassVar[str] = "test-choosing-witness"

    def __init__(self, covariates: tuple[str, ...]) -> None:
        self.covariates = covariates


SAMPLES = crowded()
CANDIDATES = SAMPLES.features


def test_the_filter_decides_and_every_covariate_has_its_fate() -> None:
    found = choose_covariates(SAMPLES, CANDIDATES)
    fate = {one.feature: one for one in found.considered}
    assert list(fate) == list(CANDIDATES)
    assert fate["flat"].fate == "constant"
    assert fate["flat"].r is None
    assert fate["wet"].fate == fate["blurred"].fate == "twin"  # of "copy", which comes by name
    assert fate["wet"].twin == "copy"
    assert fate["wet"].twin_r == pytest.approx(1)
    assert fate["half"].fate == "kept"
    assert fate["zone"].fate == "kept"
    assert {"copy", "zone", "deep", "half"} <= set(found.kept)
    assert found.rows == len(SAMPLES)
    y = np.log1p(SAMPLES.y)
    cov = np.cov(SAMPLES.table["half"], y, aweights=SAMPLES.weight)
    assert fate["half"].r == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    position = [CANDIDATES.index(name) for name in found.kept]
    assert tuple(position) == keep_covariates(
        SAMPLES.matrix(),
        y,
        CANDIDATES,
        weight=SAMPLES.weight,
        classes=[CANDIDATES.index("zone")],
    )
    assert found.errors == {}  # one batch alone: nothing to try


def test_the_batch_of_least_error_out_of_fold_is_taken() -> None:
    spec = ChoiceSpec(weak=0.0, batches=(1, 2, 4, 50), seed=5)
    judge = ModelSpec("forest", {"trees": 12, "quantiles": (), "max_features": 0.5})
    found = choose_covariates(SAMPLES, CANDIDATES, spec, judge=judge)
    left = sum(one.fate in ("kept", "beyond") for one in found.considered)
    assert list(found.errors) == [1, 2, 4, left]
    assert len(found.kept) == min(found.errors, key=found.errors.__getitem__)
    strength = {one.feature: abs(one.r or 0) for one in found.considered}
    beyond = [one.feature for one in found.considered if one.fate == "beyond"]
    assert len(found.kept) + len(beyond) == left
    assert min(strength[n] for n in found.kept) >= max(strength[n] for n in beyond)
    # once more with scikit-learn, for the batch of two
    full = choose_covariates(SAMPLES, CANDIDATES, ChoiceSpec(weak=0.0, batches=(50,)))
    columns = full.kept[:2]
    split = inner_split(SAMPLES, folds=5, seed=5)
    x = np.column_stack([SAMPLES.matrix(columns), SAMPLES.top, SAMPLES.bottom]).astype(np.float32)
    y, w = np.log1p(SAMPLES.y), SAMPLES.weight
    square = np.empty(len(y))
    for fold in range(5):
        out = split.held_out(fold)
        theirs = RandomForestRegressor(12, min_samples_leaf=5, max_features=0.5, random_state=0)
        theirs.fit(x[~out], y[~out], sample_weight=w[~out])
        square[out] = (theirs.predict(x[out]) - y[out]) ** 2
    expected = np.sqrt(np.average(square, weights=w))
    assert found.errors[2] == pytest.approx(expected, rel=0.02)


def test_the_order_of_candidates_changes_nothing() -> None:
    spec = ChoiceSpec(weak=0.0, batches=(2, 6))
    found = choose_covariates(SAMPLES, CANDIDATES, spec)
    turned = choose_covariates(SAMPLES, CANDIDATES[::-1], spec)
    assert turned.kept == found.kept
    assert turned.errors == found.errors


def test_judges_never_see_the_block_they_are_asked_about() -> None:
    WitnessModel.seen.clear()
    blocks = dict(
        zip(SAMPLES.table["profile_id"], location_blocks(SAMPLES, 5.0).tolist(), strict=True)
    )
    spec = ChoiceSpec(weak=0.0, batches=(2, 6))
    choose_covariates(SAMPLES, CANDIDATES, spec, judge=ModelSpec("test-choosing-witness"))
    assert len(WitnessModel.seen) == 10
    for trained, asked in WitnessModel.seen:
        assert not {blocks[p] for p in trained} & {blocks[p] for p in asked}


def test_json_keeps_everything_and_is_found_in_a_model_folder(tmp_path) -> None:
    found = choose_covariates(SAMPLES, CANDIDATES, ChoiceSpec(weak=0.0, batches=(1, 3)))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert CovariateChoice.from_json(told) == found
    assert choices_of(tmp_path) == {}
    (tmp_path / "model.json").write_text(json.dumps({"choice": told}))
    assert choices_of(tmp_path) == {"": found}
    (tmp_path / "model.json").write_text(json.dumps({"choice": None}))
    for d in range(2):
        (tmp_path / f"depth_{d}").mkdir()
        (tmp_path / f"depth_{d}" / "model.json").write_text(json.dumps({"choice": told}))
    assert choices_of(tmp_path) == {"depth_0": found, "depth_1": found}


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r'no feature "wett".*"wet"'):
        choose_covariates(SAMPLES, ("wett",))
    near = SAMPLES.take(SAMPLES.table["cell"].to_numpy() < 3)
    with pytest.raises(InputError, match="5 folds need at least 5"):
        choose_covariates(near, CANDIDATES, ChoiceSpec(weak=0.0, batches=(1, 2)))


def test_classes_are_told_by_the_cube_and_travel_with_samples(tmp_path) -> None:
    cube = Cube.open(make_cube(tmp_path / "cube.zarr"))
    table = make_table(60)
    samples, _ = draw_samples(table, cube, world_grid(128), ("temperature", "soil_mask"))
    assert samples.classes == ("soil_mask",)
    _store(tmp_path, samples, {"block": np.zeros(len(samples), np.int64)})
    assert _load(tmp_path)[0].classes == ("soil_mask",)
    assert samples.take(np.arange(3)).classes == ("soil_mask",)
