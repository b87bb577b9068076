"""A model that maps where it holds: beside its own outputs, from its own rows alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edaphos.engine.applicability import ApplicabilitySpec, learn_area
from edaphos.engine.assess.crossval import depth_only, fit_and_predict
from edaphos.engine.assess.splits import make_split
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.applicable import ApplicableModel, with_area
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.protocol import Emits, ModelSpec, Output, Reads, TileInputs
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status

from ..assess_world import make_samples

COVARIATES = ("wet", "rain", "zone")
RAIN = tuple(f"rain_{m:02d}" for m in range(1, 13))
DEPTHS = ((0.0, 30.0), (30.0, 100.0))
SETTINGS = {"covariates": COVARIATES, "trees": 6, "depths": DEPTHS, "quantiles": (0.05, 0.95)}
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 9, 6), 0.1, 256, "little")


def world() -> Samples:
    """The small world with a class, and with gaps in the first month of rain."""
    made = make_samples(profiles=150)
    zone = (np.abs(made.table["lat"]) // 20).astype(np.float32)
    table = made.table.assign(zone=zone)
    table.loc[table["lat"] > 40, "rain_01"] = np.nan
    return Samples(table, ("wet", *RAIN, "zone"), classes=("zone",))


WORLD = world()
SPEC = ModelSpec("forest", SETTINGS, ApplicabilitySpec())
MODEL: ApplicableModel = SPEC.build().fit(WORLD)


def tile(rows: slice = slice(None), seed: int = 1, far: float = 1.0) -> TileInputs:
    """Covariates of rows drawn at random, some made unlike any, over all or part of the grid."""
    rng = np.random.default_rng(seed)
    window = GRID.whole
    drawn = WORLD.table.iloc[rng.integers(0, len(WORLD), window.height * window.width)]
    shape = window.shape
    values = {
        "wet": drawn["wet"].to_numpy(np.float32).reshape(shape)
        * np.where(rng.random(shape) < 0.2, far, 1).astype(np.float32),
        "rain": drawn[list(RAIN)].to_numpy(np.float32).T.reshape(12, *shape),
        "zone": drawn["zone"].to_numpy(np.float32).reshape(shape),
    }
    wanted = rng.random(shape) < 0.8
    cut = GRID.window(*_part(rows, window.height), window.width)
    return TileInputs(cut, {n: a[..., rows, :] for n, a in values.items()}, wanted[rows], (2020,))


def _part(rows: slice, height: int) -> tuple[int, int, int]:
    start, stop, _ = rows.indices(height)
    return start, 0, stop - start


def test_cells_are_as_dissimilar_as_rows_of_their_covariates():
    inputs = tile(far=9.0)
    found = MODEL.predict(inputs)
    unlike = found["dissimilarity"]
    assert unlike.shape == (1, 1, *GRID.shape)
    np.testing.assert_array_equal(np.isnan(unlike[0, 0]), ~inputs.wanted)
    cells = np.flatnonzero(inputs.wanted)
    table = WORLD.table.iloc[np.zeros(len(cells), int)].reset_index(drop=True)
    columns = {"wet": inputs.values["wet"], "zone": inputs.values["zone"]}
    columns |= dict(zip(RAIN, inputs.values["rain"], strict=True))
    table = table.assign(**{n: a.reshape(-1)[cells] for n, a in columns.items()})
    rows = MODEL.predict_rows(replace(WORLD, table=table))
    np.testing.assert_array_equal(rows["dissimilarity"], unlike.reshape(-1)[cells])
    outside = unlike[0, 0] > 1
    assert 0 < outside.sum() < inputs.wanted.sum()
    np.testing.assert_array_equal(
        found["status"], np.where(outside, Status.OUTSIDE_APPLICABILITY, 0)
    )
    alone = MODEL.model.predict(inputs)
    for name, layers in alone.items():
        np.testing.assert_array_equal(found[name], layers)


def test_tiling_changes_no_bit():
    whole = MODEL.predict(tile(far=9.0))
    parts = [MODEL.predict(tile(rows, far=9.0)) for rows in (slice(0, 17), slice(17, 60))]
    for name, layers in whole.items():
        np.testing.assert_array_equal(
            layers, np.concatenate([p[name] for p in parts], axis=layers.ndim - 2)
        )


def test_a_saved_model_says_the_same(tmp_path: Path):
    MODEL.save(tmp_path)
    again = with_area(ForestModel.load(tmp_path), tmp_path)
    inputs = tile(far=9.0)
    for name, layers in MODEL.predict(inputs).items():
        np.testing.assert_array_equal(again.predict(inputs)[name], layers)
    assert (again.kind, again.emits, again.reads) == ("forest", MODEL.emits, MODEL.reads)
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".json", ".npy")]
    assert "Meyer" in again.describe()["method"]
    (tmp_path / "applicability.json").unlink()
    assert isinstance(with_area(ForestModel.load(tmp_path), tmp_path), ForestModel)


def test_rows_left_out_serve_no_area():
    out = make_split(WORLD, "block", folds=4, seed=2).held_out(1)
    table = WORLD.table.copy()
    table.loc[out, "wet"] = 50.0  # all alike, and unlike all others
    moved = fit_and_predict(SPEC, replace(WORLD, table=table), out)
    assert (moved["dissimilarity"] > 1).all()
    as_they_are = fit_and_predict(SPEC, WORLD, out)
    assert np.mean(as_they_are["dissimilarity"] <= 1) > 0.5


def test_weights_come_from_the_model_unless_told_otherwise():
    told = learn_area(WORLD, COVARIATES, MODEL.model.importance(), MODEL.spec)
    assert MODEL.area.weighted
    np.testing.assert_array_equal(told.of_rows(WORLD), MODEL.area.of_rows(WORLD))
    same = ModelSpec("forest", SETTINGS, ApplicabilitySpec(importance="equal")).build().fit(WORLD)
    alike = learn_area(WORLD, COVARIATES, None, MODEL.spec)
    np.testing.assert_array_equal(same.area.of_rows(WORLD), alike.of_rows(WORLD))
    assert not same.area.weighted
    # months share the weight of their variable
    weights = dict(zip([f[0] for f in alike.features], alike.space.weight, strict=False))
    assert weights["wet"] == 1.0
    assert np.sum(np.square(alike.space.weight)) == pytest.approx(2.0)


def test_training_places_count_once_and_are_no_distance_away():
    """Each place counts once, gaps or not; its own distance, to itself, is 0."""
    known = WORLD.table[["wet", *RAIN, "zone"]].drop_duplicates()
    assert known["rain_01"].isna().sum() > 10
    assert len(MODEL.area.places) == len(known)
    assert (MODEL.area.of_rows(WORLD) == 0).all()
    assert MODEL.area.threshold > 0
    one = replace(WORLD, table=WORLD.table.assign(wet=1.0, zone=1.0, **dict.fromkeys(RAIN, 3.0)))
    with pytest.raises(InputError, match="do not differ"):
        SPEC.build().fit(one)


def test_depth_alone_has_no_area_and_planning_counts_it():
    plain = depth_only(SPEC)
    assert plain is not None
    assert plain.applicability is None
    assert plain.settings["covariates"] == ()
    own = MODEL.model
    assert MODEL.memory_bytes(10_000) > own.memory_bytes(10_000) + 4 * 10_000
    assert MODEL.resident_bytes() > own.resident_bytes() + MODEL.area.places.nbytes


@dataclass
class Marked:
    """A user's model with words of its own for some cells, and a client it trains on."""

    covariates: tuple[str, ...] = ("wet",)
    client: Any = None
    seen: list[Any] = field(default_factory=list)
    word: int = 0
    notes: ClassVar[tuple[str, ...]] = ("a note",)
    kind: ClassVar[str] = "marked"

    @property
    def reads(self) -> Reads:
        return Reads((*self.covariates, "rain"))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return self.covariates

    emits: ClassVar[Emits] = Emits((Output("soc_mean", "g kg-1", "mean"),), ((0, 30),))

    def fit(self, samples: Samples) -> Marked:
        self.seen.append(self.client)
        return self

    def predict(self, inputs: TileInputs) -> dict[str, np.ndarray]:
        status = np.zeros(inputs.window.shape, np.uint8)
        status[:, :5] = Status.WETLAND
        status[:, 5:] = self.word
        return {"soc_mean": np.ones(inputs.out_shape(1), np.float32), "status": status}


def test_a_model_of_ones_own_keeps_what_it_says():
    inputs = tile(far=9.0)
    model = ApplicableModel(Marked(), ApplicabilitySpec())
    assert model.notes == ("a note",)
    assert hasattr(model, "client")
    assert not hasattr(model, "beside")
    with pytest.raises(InputError, match="no predict_rows"):
        model.predict_rows(WORLD)
    model.client = "a client"
    model.fit(WORLD)
    assert model.model.seen == ["a client"]
    assert model.area.features == (("wet", None),)  # what it learns from, not all that it reads
    found = model.predict(inputs)
    assert (found["status"][:, :5] == Status.WETLAND).all()
    outside = found["dissimilarity"][0, 0, :, 5:] > 1
    assert 0 < outside.sum() < outside.size
    for word in (0, Status.LIMITED):  # nets kept within their range are outside all the same
        model.model.word = word
        told = np.where(outside, Status.OUTSIDE_APPLICABILITY, word)
        np.testing.assert_array_equal(model.predict(inputs)["status"][:, 5:], told)
