"""Nothing is learned from profiles held out, nor more from inner parts than each is there for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.assess.splits import location_blocks, make_split
from edaphos.engine.conv.learning_rows import CALIBRATE, LEARN, STOP, learning_rows
from edaphos.engine.conv.patches import VALUES
from edaphos.engine.models.conv import ConvModel
from edaphos.engine.samples import Samples

from ..conv_world import DEPTHS, make_cube, make_model, make_samples, moved

#: Everything that is learned is on: the choice of covariates, quantiles, fine-tuning.
MODEL = {"choose": "filter", "interval": "quantile", "choice": {"weak": 0.2}}


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    folder = tmp_path_factory.mktemp("leak")
    return make_samples(make_cube(folder / "cube"), folder / "patches")


def planted(samples: Samples, rows: np.ndarray, folder: Path) -> Samples:
    """Return samples in which `rows`, and only they, have a strong signal in their patches.

    Relief tells their carbon exactly, at a scale of its own; elsewhere it tells nothing.
    """
    other = moved(samples, folder)
    table = other.table.copy()
    values = np.load(folder / VALUES)
    patch = table["patch"].to_numpy()
    signal = np.random.default_rng(9).normal(size=len(values))[patch]
    table.loc[rows, "y"] = np.exp(5 + 2 * signal[rows])
    table.loc[rows, "relief"] = np.float32(1e5) * signal[rows].astype(np.float32)
    assert not set(patch[rows]) & set(patch[~rows])
    values[patch[rows], 1] = table.loc[rows, "relief"].to_numpy()[:, None, None]
    np.save(folder / VALUES, values)
    return replace(other, table=table)


def learned(model: ConvModel, folder: Path) -> dict[str, bytes]:
    """Return everything that a fitted model holds, as bytes; without how long it took."""
    model.save(folder)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    curves = json.loads(found.pop("curves.json"))
    for training in curves["trainings"]:
        training["curve"].pop("seconds")
    return {**found, "curves": json.dumps(curves).encode()}


@pytest.fixture(scope="module")
def held_out(samples: Samples) -> np.ndarray:
    return make_split(samples, "block", folds=4, seed=2, block_deg=2.0).held_out(0)


@pytest.mark.parametrize("scheme", ["transfer", "multitask"])
def test_a_signal_in_profiles_held_out_is_learned_by_nothing(
    samples: Samples, held_out: np.ndarray, scheme: str, tmp_path: Path
) -> None:
    """Choice, scaling, weights, early stopping, smearing, margins: byte for byte as without it."""
    there = planted(samples, held_out, tmp_path / "there")
    here = moved(samples, tmp_path / "here")
    models = [make_model(scheme=scheme, **MODEL).fit(s.take(~held_out)) for s in (here, there)]
    plain, other = (learned(m, tmp_path / f"m{i}") for i, m in enumerate(models))
    assert plain.keys() == other.keys()
    assert [name for name in plain if plain[name] != other[name]] == []
    # nor do predictions of the rows held out know their new carbon
    said = models[1].predict_rows(there.take(held_out))["soc_logmean"]
    r = np.corrcoef(np.log1p(said), np.log1p(there.y[held_out]))[0, 1]
    assert abs(r) < 0.3


def test_the_same_signal_in_training_rows_would_be_learned(
    samples: Samples, held_out: np.ndarray, tmp_path: Path
) -> None:
    """So the test above can fail."""
    every = planted(samples, np.ones(len(samples), bool), tmp_path / "every")
    model = make_model(scheme="pooled", training={"epochs": 15}, **MODEL)
    said = model.fit(every.take(~held_out)).predict_rows(every.take(held_out))["soc_logmean"]
    assert np.corrcoef(np.log1p(said), np.log1p(every.y[held_out]))[0, 1] > 0.9


def test_each_part_of_the_training_rows_teaches_what_it_is_there_for(
    samples: Samples, tmp_path: Path
) -> None:
    told = make_model().told
    rows = learning_rows(
        samples, DEPTHS, log1p=True, parts=told.parts, part_deg=told.part_deg, seed=5
    )
    assert set(rows.part) == {LEARN, STOP, CALIBRATE}
    for block in np.unique(rows.block):  # whole blocks, so whole places
        assert len(set(rows.part[rows.block == block])) == 1
    fits = {}
    for name, part in (("plain", -1), ("stop", STOP), ("calibrate", CALIBRATE)):
        there = planted(samples, rows.part == part, tmp_path / name)
        model = make_model(scheme="pooled", **MODEL).fit(there)
        fits[name] = (model.fitted, learned(model, tmp_path / f"model-{name}"))
    plain, weights = fits["plain"]
    for name in ("stop", "calibrate"):
        fit, _ = fits[name]
        assert fit.choice == plain.choice  # of the rows learned from alone
        assert fit.card == plain.card  # and so is the scaling
        assert fit.nets.centre.tolist() == plain.nets.centre.tolist()
        assert fit.predictive != plain.predictive
    same = fits["calibrate"][1]
    assert same["net_0_0.safetensors"] == weights["net_0_0.safetensors"]
    assert same["curves"] == weights["curves"]
    assert fits["stop"][1]["curves"] != weights["curves"]


def test_parts_are_by_block_and_many_enough(samples: Samples) -> None:
    rows = learning_rows(samples, DEPTHS, log1p=True, parts=4, part_deg=20.0, seed=0)
    # 20 degrees are one block: they were halved until each part has enough
    assert len(np.unique(rows.block[rows.part == CALIBRATE])) >= 15
    fine = len(np.unique(location_blocks(samples, 1.25)))
    assert len(np.unique(rows.block)) <= max(fine, len(np.unique(samples.table["profile_id"])))
