"""Places without samples: where they are drawn, what is hidden there, and what that teaches."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from scipy.ndimage import gaussian_filter

from edaphos.engine.branches import masked
from edaphos.engine.branches.fitting import _shape
from edaphos.engine.branches.group_set import GroupSet, draw_set
from edaphos.engine.branches.groups import GroupChannels
from edaphos.engine.branches.masked import MaskedSource, encode, hidden
from edaphos.engine.branches.settings import Unlabelled, settings_from
from edaphos.engine.branches.source import GroupSource
from edaphos.engine.branches.unlabelled import (
    UnlabelledPlaces,
    draw_unlabelled,
    unlabelled_folder,
)
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError, Stopped
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.progress import QUIET, Interruptible
from edaphos.engine.sampling import draw_samples
from edaphos.engine.status import Status
from edaphos.engine.training import TrainSpec, train

from ..branch_world import GROUPS, SETTINGS, make_model, make_samples
from ..conv_world import world_grid
from ..cubes import Layer, write_cube

DRAWN = 600
WINDOWS = {1: ("wet",), 5: ("relief",), 3: ("cover",)}


@pytest.fixture(scope="module")
def places(cube, tmp_path_factory) -> UnlabelledPlaces:
    folder = tmp_path_factory.mktemp("places") / "set-unlabelled"
    return draw_unlabelled(cube, world_grid(), WINDOWS, folder, DRAWN, seed=1, years=(2005,))


@pytest.fixture(scope="module")
def channels(places) -> GroupChannels:
    groups = settings_from({"groups": GROUPS}).groups
    return GroupChannels.fit(places.held, np.arange(len(places.lon)), groups, plain=False)


def test_places_lie_evenly_on_soil_each_with_its_own_squares(cube, places) -> None:
    assert 0.9 * DRAWN < len(places.lon) == len(places.held) <= DRAWN
    assert places.lon.max() < 17.5  # the sea begins there
    counts = np.histogram2d(places.lon, np.sin(np.radians(places.lat)), [3, 3])[0]
    assert counts.min() > 0.6 * DRAWN / 9
    every = np.arange(len(places.held))
    mine = places.held.of(1).values[every[:, None], np.array([[0]]), slice(0, 1), slice(0, 1)]
    theirs = cube.at(places.lon, places.lat, world_grid(), ["wet"])["wet"]
    np.testing.assert_array_equal(mine[:, 0, 0, 0], theirs)


def test_a_draw_goes_on_and_is_the_same_by_workers(cube, places, tmp_path: Path) -> None:
    draw = partial(draw_unlabelled, cube, world_grid(), WINDOWS, number=DRAWN, years=(2005,))
    with Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as own:
        again = draw(folder=tmp_path / "again", seed=1, client=own)
    np.testing.assert_array_equal(again.lon, places.lon)
    assert again.held.digest == places.held.digest
    file = Path("set") / "shard-00000" / "window-5.npy"
    assert (tmp_path / "again" / file).read_bytes() == (
        places.held.folder.parent / file
    ).read_bytes()
    written = (tmp_path / "again" / file).stat().st_mtime_ns
    (tmp_path / "again" / "places.npy").unlink()  # as if it was cut off before
    draw(folder=tmp_path / "again", seed=1)
    assert (tmp_path / "again" / file).stat().st_mtime_ns == written
    assert draw(folder=tmp_path / "again", seed=2).held.digest != places.held.digest


def test_regions_left_out_are_left_out_and_blocks_stop(places) -> None:
    box = (5.0, 5.0, 10.0, 10.0)
    chosen = places.outside((box,), 50.0)
    inside = (np.abs(places.lon - 7.5) < 2.9) & (np.abs(places.lat - 7.5) < 2.9)
    assert inside.sum() > 30
    assert not inside[chosen].any()
    learn, stop = places.split(chosen, 8, 5.0)
    assert np.array_equal(np.sort(np.concatenate([learn, stop])), chosen)
    assert 0.05 < len(stop) / len(chosen) < 0.25
    with pytest.raises(InputError, match=r"100 are needed: raise unlabelled\.places"):
        places.outside(((0.0, 0.0, 20.0, 20.0),), 0.0)


def test_what_is_hidden_is_seen_as_a_gap_and_as_a_group_that_is_missing(places, channels) -> None:
    every = np.arange(len(places.held))
    hiding = Unlabelled(DRAWN)
    source = MaskedSource(places.held, channels, every, hiding, seed=3)
    batch = source.batch(every, None)
    nothing = np.zeros((len(every), 1))
    whole = GroupSource(places.held, channels, every, nothing, nothing, nothing[:, :, None])
    plain = whole.batch(every, None)
    away = source.hidden
    assert 0.2 < away.mean() < 0.6
    assert away.any(axis=1).all()
    assert not away.all(axis=1).mean() > 0.1
    for k in range(3):  # one covariate in each group: a hidden one is a hidden group
        assert not batch.inputs[k][away[:, k]].any()
        assert (batch.inputs[k][~away[:, k]] == plain.inputs[k][~away[:, k]]).all()
    relief = places.held.of(5).values[every[:, None], np.array([[0]]), slice(2, 3), slice(2, 3)]
    known = np.isfinite(relief[:, 0, 0, 0])
    assert not known.all()
    np.testing.assert_array_equal(batch.weight[:, 1].numpy(), away[:, 1] & known)
    np.testing.assert_array_equal(batch.weight[:, 2].numpy(), away[:, 2])
    centre = plain.inputs[1][:, 0, 2, 2].numpy()
    np.testing.assert_allclose(batch.target[:, 1].numpy(), centre, rtol=1e-5, atol=1e-6)
    assert (plain.inputs[2][:, :3, 1, 1].argmax(1).numpy() == batch.target[:, 2].numpy()).all()


def test_one_covariate_hidden_of_two_leaves_half_of_its_group(cube, tmp_path: Path) -> None:
    groups = settings_from(
        {"groups": ({"name": "a", "covariates": ("wet", "relief")}, GROUPS[2])}
    ).groups
    windows = {1: ("wet", "relief"), 3: ("cover",)}
    places = draw_unlabelled(cube, world_grid(), windows, tmp_path / "u", 200)
    every = np.arange(len(places.held))
    channels = GroupChannels.fit(places.held, every, groups, plain=False)
    hiding = Unlabelled(200, hidden_groups=0.0, hidden_covariates=0.4)
    source = MaskedSource(places.held, channels, every, hiding, seed=0)
    x = source.batch(every, None).inputs[0][:, :, 0, 0].numpy()
    full = channels.channels[0].of_patches(places.held.of(1), every)[:, :, 0, 0]
    away = source.hidden
    np.testing.assert_allclose(x[:, :2], np.where(away[:, :2], 0, full[:, :2]))
    there = np.isfinite(source._raw(0, every, True)) & ~away[:, :2]
    np.testing.assert_allclose(x[:, 2], there.mean(axis=1))


def test_each_batch_hides_anew_and_a_part_of_one_hides_the_same(places, channels) -> None:
    every = np.arange(100)
    source = MaskedSource(places.held, channels, every, Unlabelled(DRAWN), seed=3)
    first, second = (source.batch(every, np.random.default_rng(s)) for s in (1, 2))
    assert not (first.weight == second.weight).all()
    part = source.batch(every[40:], np.random.default_rng(1), 40)
    for a, b in zip((*part.inputs, part.weight), (*first.inputs, first.weight), strict=True):
        assert (a == b[40:]).all()
    less = MaskedSource(places.held, channels, every, Unlabelled(DRAWN), seed=3, budget=0)
    again = less.batch(every, np.random.default_rng(1))
    for a, b in zip((*again.inputs, again.weight), (*first.inputs, first.weight), strict=True):
        assert (a == b).all()  # squares read anew for each batch


def test_each_place_keeps_a_group_and_loses_a_covariate() -> None:
    group_of = np.array([0, 0, 1, 2])
    found = hidden(
        4000,
        group_of,
        Unlabelled(100, hidden_groups=0.5, hidden_covariates=0.0),
        np.random.default_rng(0),
    )
    assert found.any(axis=1).all()
    assert not found.all(axis=1).any()
    assert abs(found[:, 2].mean() - 0.5) < 0.08


def _encoded(places, channels, folder: Path, client: Client | None = None) -> list[bytes]:
    told = settings_from({**SETTINGS, "unlabelled": {"places": DRAWN, "epochs": 4}})
    shape, spec = _shape(channels, told), TrainSpec(batch=128, rate=5e-3)
    parts = places.split(np.arange(len(places.lon)), 8, 5.0)
    found = encode(
        places.held, channels, shape, told.unlabelled, spec, parts, (1, 2), folder, client
    )
    assert [one.training.seed for one in found] == [1, 2]
    return [one.file.read_bytes() for one in found]


def test_one_worker_or_two_or_a_break_come_to_the_same(
    places, channels, tmp_path: Path, monkeypatch
) -> None:
    whole = _encoded(places, channels, tmp_path / "whole")
    with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as own:
        assert _encoded(places, channels, tmp_path / "two", own) == whole
    asked = iter([None, None])
    stopping = Interruptible(QUIET, lambda: next(asked, "stop"))
    with monkeypatch.context() as patch:
        patch.setattr(masked, "train", partial(train, reporter=stopping))
        with pytest.raises(Stopped):
            _encoded(places, channels, tmp_path / "cut")
    assert list((tmp_path / "cut").glob("*.begun/checkpoint.safetensors"))
    assert _encoded(places, channels, tmp_path / "cut") == whole
    monkeypatch.setattr(masked, "train", None)  # what is done is not done again
    assert _encoded(places, channels, tmp_path / "cut") == whole


SIZE, NOISY = 80, 12


class Latent:
    """A cube in which many noisy covariates tell of two fields, and so does the soil."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.fields = [gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3) for _ in range(2)]
        self.fields = [(f / f.std()).astype(np.float32) for f in self.fields]
        a, b = self.fields
        mix = rng.normal(size=(2 * NOISY, 2))
        made = {
            f"x{k}": (u * a + v * b + rng.normal(size=a.shape)).astype(np.float32)
            for k, (u, v) in enumerate(mix)
        }
        classes = {"cover": (1 + (a > 0) + 2 * (b > 0)).astype(np.int16)}
        classes["soil_mask"] = np.full(a.shape, int(Status.SOIL), np.int16)
        where = ((0.0, 20.0), (0.25, 0.25))
        layers = [Layer(made, *where), Layer(classes, *where, kind="class")]
        self.cube = Cube.open(write_cube(folder, layers, soil_mask="soil_mask", chunk=40))
        names = list(made)
        self.groups = (
            {"name": "one", "covariates": tuple(names[:NOISY])},
            {"name": "two", "covariates": tuple(names[NOISY:])},
            {"name": "cover", "covariates": ("cover",)},
        )

    def model(self, places: int, seed: int) -> GsoilcpmModel:
        told = {
            "groups": self.groups,
            "width": 12,
            "merged": 24,
            "dense": (24, 12),
            "dropout": (0.1, 0.1),
            "embedding": 2,
            "part_deg": 1.0,
            "parts": 4,
            "training": {"epochs": 80, "batch": 128, "rate": 5e-3, "patience": 15},
            "unlabelled": {"places": places, "epochs": 30},
        }
        return GsoilcpmModel(told, (0.25, 0.5, 0.75), ((0.0, 15.0),), seed)

    def table(self, number: int, seed: int, noise: float) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        lon, lat = rng.uniform(0.3, 19.7, (2, number))
        a, b = (f[((20 - lat) / 0.25).astype(int), (lon / 0.25).astype(int)] for f in self.fields)
        said = 2.5 + 0.6 * (a + 0.5 * b**2) + rng.normal(0, noise, number)
        where = {"profile_id": [f"p{k}" for k in range(number)], "source": "s"}
        layer = {"year": 2000.0, "top_cm": 0.0, "bottom_cm": 15.0, "soc_g_kg": np.exp(said)}
        return pd.DataFrame({**where, "lon": lon, "lat": lat, **layer})


def test_with_few_samples_what_covariates_told_before_helps(tmp_path: Path, monkeypatch) -> None:
    latent, grid, places = Latent(tmp_path / "cube"), world_grid(), 3000
    first = latent.model(places, 0)
    drawn = tmp_path / "drawn"
    draw_unlabelled(latent.cube, grid, first.windows, drawn, places, seed=1, years=(2000,))

    def cut(name: str, table: pd.DataFrame):
        samples, _ = draw_samples(table, latent.cube, grid, first.covariates)
        return draw_set(samples, latent.cube, grid, first.windows, tmp_path / name)

    test = cut("test", latent.table(400, 99, 0.0))
    errors = []
    for seed in range(2):
        samples = cut(f"train-{seed}", latent.table(150, seed, 0.2))
        unlabelled_folder(tmp_path / f"train-{seed}").symlink_to(drawn)
        models = [latent.model(n, seed).fit(samples) for n in (0, places)]
        said = [np.log1p(m.predict_rows(test)["soc_q50"]) for m in models]
        errors.append([np.sqrt(np.mean((s - np.log1p(test.y)) ** 2)) for s in said])
        told = models[1].fitted
        assert told.summary["error of hidden covariates"] < 0.8
        assert [t.name for t in told.trainings] == ["covariates, without samples", "the world"]
        assert "places without samples" in " ".join(models[1].notes)
    without, with_them = np.mean(errors, axis=0)
    assert with_them < 0.9 * without
    monkeypatch.setattr(masked, "train", None)  # another fold sees the same places: nothing anew
    fold = latent.model(places, 1).fit(samples.take(np.arange(len(samples)) % 5 > 0)).fitted
    assert fold.trainings[0] == told.trainings[0]


def test_a_model_that_wants_places_needs_them(cube, tmp_path: Path) -> None:
    model = make_model(unlabelled={"places": DRAWN})
    samples = make_samples(cube, tmp_path / "set", model)
    with pytest.raises(InputError, match="no places without samples are there"):
        model.fit(samples)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"unlabelled": {"places": 50}}, "must be 100 or more, or 0 for none, found 50"),
        ({"unlabelled": {"places": 500, "hidden_groups": 1.0}}, r"must be in \[0, 1\)"),
        (
            {"unlabelled": {"places": 500, "hidden_groups": 0.0, "hidden_covariates": 0.0}},
            "nothing is hidden",
        ),
        ({"unlabelled": {"places": 500, "epochs": 0}}, "epochs and patience must be 1 or more"),
        ({"unlabelled": {"places": 500}, "groups": GROUPS[:1]}, "one covariate alone"),
        ({"unlabelled": {"places": 500}, "start": "model"}, "leave it out where there is a start"),
        (
            {
                "unlabelled": {"places": 500},
                "faithful": True,
                "transform": "none",
                "groups": tuple({**g, "window": 1} for g in GROUPS),
            },
            "set faithful = false",
        ),
        ({"kept_places": 5000}, "kept_places must be 0 to 2048"),
        ({"fine_tuning": {"adversarial": 0.5}}, "set kept_places, to 512 for one"),
        ({"fine_tuning": {"adversarial": -1.0}}, "must be 0 or more"),
    ],
)
def test_settings_that_fit_nothing_are_refused(told, message) -> None:
    with pytest.raises(InputError, match=message):
        settings_from({"groups": GROUPS, **told})


def test_a_set_of_other_windows_is_told(places, channels) -> None:
    held = GroupSet(places.held.folder, {1: places.held.of(1)}, places.held.digest)
    with pytest.raises(InputError, match="5 was asked for"):
        MaskedSource(held, channels, np.arange(10), Unlabelled(DRAWN), seed=0)
