"""Nets as a model: maps and rows agree, schemes are what they say, files hold all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from edaphos.engine.assess.crossval import depth_only
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.grid import Grid
from edaphos.engine.models.conv import ConvModel
from edaphos.engine.models.depth_rows import depth_rows
from edaphos.engine.models.protocol import ModelSpec, description_of
from edaphos.engine.samples import Samples
from edaphos.engine.status import Status
from edaphos.engine.tiles import read_inputs

from ..conv_world import (
    COVARIATES,
    DEPTHS,
    SETTINGS,
    make_cube,
    make_model,
    make_samples,
    moved,
    world_grid,
)

#: Relative difference between maps from different tiles, and between maps and rows: float32
#: arithmetic in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    return make_cube(tmp_path_factory.mktemp("conv") / "cube")


@pytest.fixture(scope="module")
def samples(cube: Cube, tmp_path_factory) -> Samples:
    return make_samples(cube, tmp_path_factory.mktemp("conv") / "patches")


@pytest.fixture(scope="module")
def transfer(samples: Samples) -> ConvModel:
    return make_model(scheme="transfer").fit(samples)


@pytest.fixture(scope="module")
def pooled(samples: Samples) -> ConvModel:
    return make_model(scheme="pooled").fit(samples)


def tile_of(model: ConvModel, cube: Cube, row: int, col: int, height: int, width: int):
    """Return a model's map of a window, read as a run reads it."""
    grid = world_grid()
    context = SimpleNamespace(cube=cube, model=model, grid=grid, run=SimpleNamespace(years=(2020,)))
    inputs, _ = read_inputs(context, grid.window(row, col, height, width))
    return inputs, model.predict(inputs)


MODELS = [
    {"scheme": "transfer"},
    {"scheme": "pooled", "interval": "quantile"},
    {"scheme": "per_depth", "transform": "none"},
    {"scheme": "multitask"},
    {"scheme": "transfer", "interval": "dropout", "passes": 3},
    {"scheme": "pooled", "interval": "ensemble", "members": 2},
    {"scheme": "pooled", "shape": {"padding": 1, "kernels": (3, 3)}},  # not dense: patches
]


@pytest.mark.parametrize("settings", MODELS, ids=lambda s: "-".join(map(str, s.values()))[:40])
def test_a_map_says_what_rows_say_and_files_hold_it(settings, cube, samples, tmp_path) -> None:
    model = make_model(**settings).fit(samples)
    inputs, made = tile_of(model, cube, 0, 0, 80, 80)
    assert made.keys() == {"status", *(o.name for o in model.emits.outputs)}
    assert all(np.isfinite(layer[..., inputs.wanted]).all() for layer in made.values())
    assert not (made["status"] == Status.OUTSIDE_APPLICABILITY).any()
    rows = model.predict_rows(samples)
    y, x, _ = world_grid().locate(samples.table["lon"], samples.table["lat"])
    depth = depth_rows(samples.top, samples.bottom, DEPTHS)
    for name in (o.name for o in model.emits.outputs):
        np.testing.assert_allclose(
            made[name][depth, 0, y, x], rows[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )
    assert (rows["soc_q05"] <= rows["soc_q95"]).all()
    assert model.mapper.how == "dense" or "padding" in settings.get("shape", {})
    model.save(tmp_path / "m")
    again = ConvModel.load(tmp_path / "m")
    assert again == model
    assert again.emits == model.emits
    assert again.reads == model.reads
    for name, values in again.predict_rows(samples).items():
        np.testing.assert_array_equal(values, rows[name])
    for name, values in tile_of(again, cube, 0, 0, 80, 80)[1].items():
        np.testing.assert_array_equal(values, made[name])


def test_tiles_of_other_sizes_agree_and_the_same_tile_is_the_same_bytes(transfer, cube) -> None:
    inputs, whole = tile_of(transfer, cube, 0, 0, 80, 80)
    for row, col, height, width in ((0, 0, 48, 48), (13, 20, 31, 17), (79, 0, 1, 80)):
        part, made = tile_of(transfer, cube, row, col, height, width)
        again = tile_of(transfer, cube, row, col, height, width)[1]
        for name, layer in made.items():
            there = whole[name][..., row : row + height, col : col + width]
            np.testing.assert_allclose(
                layer[..., part.wanted], there[..., part.wanted], rtol=TOLERANCE, atol=TOLERANCE
            )
            assert layer.tobytes() == again[name].tobytes()
    assert not inputs.wanted[:, 70:].any()
    assert inputs.wanted[:, :70].sum() == 80 * 70 - 3 * 8  # the hole lacks a covariate


def test_nothing_is_mapped_where_nothing_is_wanted(transfer, cube) -> None:
    _, made = tile_of(transfer, cube, 0, 72, 40, 8)
    assert not made.pop("status").any()
    assert all(np.isnan(layer).all() for layer in made.values())


def test_where_nets_are_kept_within_what_they_learned_from_is_told(cube, samples) -> None:
    """A net is made to say too much everywhere, and at one depth too little."""
    model = make_model(scheme="multitask").fit(samples)
    nets = model.fitted.nets
    depth = depth_rows(samples.top, samples.bottom, DEPTHS)
    for d in range(len(DEPTHS)):
        y = samples.y[depth == d]
        assert np.log1p(y.min()) <= nets.low[d] < nets.high[d] <= np.log1p(y.max())
    said = nets.centre + 40 * np.array([1, 0, -1]) * nets.spread
    wild = replace(nets, centre=said)
    model._fit = replace(model.fitted, nets=wild)
    inputs, made = tile_of(model, cube, 0, 0, 40, 40)
    assert (made["status"][inputs.wanted] == Status.LIMITED).all()
    rows = model.predict_rows(samples)
    assert rows["limited"][depth != 1].all()
    assert rows["limited"][depth == 1].mean() < 0.1
    y, x, _ = world_grid().locate(samples.table["lon"], samples.table["lat"])
    inside = (y < 40) & (x < 40) & (depth != 1)
    for name in (o.name for o in model.emits.outputs):  # the same numbers, bit for bit
        there = made[name][depth[inside], 0, y[inside], x[inside]]
        np.testing.assert_array_equal(there, rows[name][inside].astype(np.float32))
    top = np.float32(np.expm1(nets.high[0]))
    assert (made["soc_mean"][0][..., inputs.wanted] == top).all()
    told = model.describe()["support"]
    assert f"for {model.fitted.limited} of the" in told


def test_a_class_that_was_never_seen_is_outside(transfer, tmp_path) -> None:
    inputs, _ = tile_of(transfer, make_cube(tmp_path / "cube"), 0, 0, 40, 40)
    halo, cover = transfer.reads.halo, inputs.values["cover"].copy()
    cover[..., halo + 5, halo + 7] = 17
    status = transfer.predict(replace(inputs, values={**inputs.values, "cover": cover}))["status"]
    outside = np.argwhere(status == Status.OUTSIDE_APPLICABILITY)
    assert outside.tolist() == [[5, 7]]


def test_it_learns_and_its_mean_is_no_logarithms(samples, transfer) -> None:
    long = make_model(scheme="pooled", training={"epochs": 40}).fit(samples)
    said = long.predict_rows(samples)
    residual = samples.y - said["soc_mean"]
    assert 1 - residual.var() / samples.y.var() > 0.5
    for d in range(len(DEPTHS)):  # right on average at each depth, where the logarithm's is not
        mine = depth_rows(samples.top, samples.bottom, DEPTHS) == d
        assert abs(residual[mine].mean()) < 0.15 * samples.y[mine].mean()
    bias = [np.mean(samples.y - said[f"soc_{what}"]) for what in ("mean", "logmean")]
    assert abs(bias[0]) < 0.5 * abs(bias[1])
    inside = (samples.y >= said["soc_q05"]) & (samples.y <= said["soc_q95"])
    assert inside.mean() > 0.85


def test_frozen_stages_and_statistics_stay_and_the_rest_is_tuned(samples, transfer, pooled) -> None:
    (first,) = pooled.fitted.nets.members[0]
    tuned = transfer.fitted.nets.members[0]
    assert len(tuned) == len(DEPTHS)
    began = {f"{top:g}-{bottom:g} cm" for top, bottom in DEPTHS} - set(transfer.fitted.as_it_began)
    assert began  # some depth was tuned for the better
    for (top, bottom), net in zip(DEPTHS, tuned, strict=True):
        state, before = net.state_dict(), first.state_dict()
        same = {k for k in state if torch.equal(state[k], before[k])}
        assert {k for k in state if k.startswith("trunk.0.")} <= same
        assert {k for k in state if "running" in k} <= same
        if f"{top:g}-{bottom:g} cm" in began:
            assert {k for k in state if k.startswith("heads") and k.endswith("weight")} - same
        else:
            assert same == set(state)


def test_the_net_for_all_depths_is_trained_once_for_both_schemes(samples, tmp_path) -> None:
    alone = moved(samples, tmp_path / "patches")
    for scheme in ("transfer", "pooled", "multitask"):
        make_model(scheme=scheme).fit(alone)
    trained = [p.parent.name for p in (tmp_path / "patches-trainings").rglob("net.safetensors")]
    assert sum(name.startswith("depth-all-depths") for name in trained) == 2
    assert len(trained) == 2 + len(DEPTHS)


def test_freezing_all_is_the_net_for_all_depths(samples, pooled) -> None:
    model = make_model(scheme="transfer", fine_tuning={"freeze_until": 4}).fit(samples)
    ours, theirs = model.predict_rows(samples), pooled.predict_rows(samples)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    with pytest.raises(InputError, match="the net has 4 stages, found 5"):
        make_model(fine_tuning={"freeze_until": 5})


def test_statistics_can_be_renewed(samples, pooled) -> None:
    """Depth by depth they then differ from those of all depths."""
    tuning = {"statistics": "renew", "epochs": 6, "rate_share": 1.0}
    model = make_model(scheme="transfer", fine_tuning=tuning, training={"rate": 1e-3}).fit(samples)
    if len(model.fitted.as_it_began) < len(DEPTHS):
        running = [
            net.state_dict()["heads.0.0.2.running_mean"] for net in model.fitted.nets.members[0]
        ]
        assert not all(torch.equal(running[0], other) for other in running)


def test_metadata_say_whose_sizes_these_are(samples, transfer) -> None:
    told = description_of(transfer)
    assert "not the paper's" in told["support"]
    assert "5 x 5 cells, convolutions 6-6 (3-2 wide), dense 8-1" in told["method"]
    assert "fine-tuned" in told["summary"]
    counts = transfer.fitted.rows
    assert sum(counts.values()) == len(samples)
    assert min(counts.values()) > 40


def test_what_bf16_changes_is_measured_and_told(cube, samples, transfer) -> None:
    rounded = make_model(scheme="transfer", map_precision="bf16").fit(samples)
    inputs, exact = tile_of(transfer, cube, 0, 0, 80, 80)
    _, made = tile_of(rounded, cube, 0, 0, 80, 80)
    ours, theirs = (np.log1p(m["soc_q50"][..., inputs.wanted]) for m in (made, exact))
    found = np.sqrt(np.mean((ours - theirs) ** 2)) / theirs.std()
    assert 1e-5 < found < 0.1
    assert found / 4 < rounded.fitted.rounding < 4 * found
    assert "The map is made in bfloat16" in rounded.describe()["support"]
    assert "bfloat16" not in transfer.describe()["support"]
    assert rounded.emits == transfer.emits
    assert not rounded.needs_gpu
    assert make_model(map_device="cuda").needs_gpu


def test_another_cube_is_refused(transfer, cube, tmp_path) -> None:
    transfer.check_cube(cube, world_grid())
    with pytest.raises(InputError, match='it has no variable "relief"'):
        transfer.check_cube(make_cube(tmp_path / "other", relief="height"), world_grid())
    coarse = Grid.from_bounds("EPSG:4326", (0, 0, 20, 20), 0.5, 32, "coarse")
    with pytest.raises(InputError, match=r"cells of 0\.25 .* are of 0\.5"):
        transfer.check_cube(cube, coarse)
    make_model().check_cube(cube, coarse)  # one that learned nothing learns there


def test_samples_without_patches_are_refused(samples, transfer) -> None:
    bare = Samples(samples.table.drop(columns="patch"), samples.features, samples.target)
    for ask in (make_model().fit, transfer.predict_rows):
        with pytest.raises(InputError, match="samples have no patches"):
            ask(bare)


def test_too_few_places_and_unpaired_quantiles_are_refused(samples) -> None:
    few = samples.take(np.arange(len(samples)) < 30)
    with pytest.raises(InputError, match=r"(90 %|locations|rows to learn from)"):
        make_model().fit(few)
    with pytest.raises(InputError, match=r"0\.1 needs 0\.9 beside it"):
        ConvModel(SETTINGS, quantiles=(0.1, 0.5))


def test_the_model_that_sees_depth_alone_is_a_forest() -> None:
    spec = ModelSpec("conv", {"settings": SETTINGS, "depths": DEPTHS, "seed": 5})
    assert spec.build().learns_from == COVARIATES
    plain = depth_only(spec)
    assert plain is not None
    assert plain.kind == "forest"
    assert plain.settings["covariates"] == ()
    assert plain.settings["depths"] == DEPTHS


def test_memory_is_told_before_and_weights_are_small(transfer) -> None:
    one, four = (transfer.memory_bytes(cells) for cells in (128**2, 256**2))
    outputs = 4 * len(transfer.emits.outputs) * len(DEPTHS)
    assert four - one > outputs * (256**2 - 128**2)
    assert 0 < transfer.resident_bytes() < 2**20


def test_a_saved_model_is_plain_files(transfer, tmp_path: Path) -> None:
    transfer.save(tmp_path)
    names = {path.suffix for path in tmp_path.iterdir()}
    assert names == {".json", ".safetensors"}
    told = json.loads((tmp_path / "model.json").read_text())
    assert told["kind"] == "conv"
    with pytest.raises(InputError, match="there are no saved nets here"):
        ConvModel.load(tmp_path / "nowhere")
