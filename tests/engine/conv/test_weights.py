"""Nets on disk: they come back as they were, and refuse what they were not trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.conv.weights import (
    NetCard,
    Seen,
    grid_seen,
    load_net,
    save_net,
    variables_seen,
)
from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST, read_manifest
from edaphos.engine.errors import InputError, StoreError
from edaphos.engine.grid import Grid
from edaphos.kernels.conv_net import ConvShape, build

from ..cubes import Layer, write_cube

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

SHAPE = ConvShape(5, (4, 6), (3, 2), pool_after=(), dense=(8,))
GRID = Grid.from_bounds("EPSG:4326", (0, 0, 6, 6), 1.0)


def make_cube(path: Path, **changes: dict[str, str] | None) -> Cube:
    """A cube of slope, rain (monthly) and cover (classes); changes of a variable, None drops it."""
    rng = np.random.default_rng(0)
    at = ((0, 6), (1, 1))
    write_cube(
        path,
        [
            Layer({"slope": rng.normal(size=(6, 6))}, *at),
            Layer({"rain": rng.normal(size=(12, 6, 6))}, *at, time="monthly"),
            Layer({"cover": rng.integers(0, 4, (6, 6))}, *at, kind="class"),
        ],
    )
    manifest = read_manifest(path)
    held = dict(manifest.variables)
    held["rain"] = replace(held["rain"], units="mm")
    for name, change in changes.items():
        if change is None:
            held.pop(name)
        else:
            held[name] = replace(held[name], **change)
    (path / MANIFEST).write_text(replace(manifest, variables=held).to_json())
    return Cube.open(path)


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    return make_cube(tmp_path / "cube")


@pytest.fixture
def card(cube: Cube) -> NetCard:
    return NetCard(
        bands=("slope", "rain_01", "cover=1", "missing"),
        channels={"mean": [0.1, 30.0], "classes": {"cover": [1]}},
        target="soc",
        units="g kg-1",
        scaling={"transform": "log1p", "mean": 2.5, "spread": 0.7},
        variables=variables_seen(cube, ("slope", "rain", "cover")),
        **grid_seen(GRID),
        more={"scheme": "transfer"},
    )


@pytest.mark.parametrize(("outputs", "heads", "extra"), [(1, 1, 0), (1, 1, 2), (3, 2, 0)])
def test_a_net_comes_back_as_it_was(outputs, heads, extra, tmp_path, card) -> None:
    net = build(SHAPE, 4, outputs, heads, extra, seed=3)
    x = torch.randn(7, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    more = (torch.ones(7, extra),) if extra else ()
    with torch.no_grad():
        net.train()(x, *more)  # statistics of the normalisation that are not those of a new net
        said = net.eval()(x, *more)
        save_net(tmp_path / "net.safetensors", net, card)
        again, read = load_net(tmp_path / "net.safetensors")
        assert torch.equal(again(x, *more), said)
    assert not again.training
    assert read == card
    assert read.variables["rain"] == Seen("amount", "monthly", "mm")


def test_any_reader_of_safetensors_finds_the_weights(tmp_path, card) -> None:
    net = build(SHAPE, 4, seed=3)
    save_net(tmp_path / "net.safetensors", net, card)
    with safetensors.safe_open(tmp_path / "net.safetensors", "pt") as file:
        about = json.loads(file.metadata()["edaphos"])
        assert set(file.keys()) == set(net.state_dict())
    assert about["card"]["bands"] == list(card.bands)
    assert about["versions"]["torch"] == torch.__version__


def test_the_cube_of_the_training_and_ones_alike_are_taken(tmp_path, cube, card) -> None:
    card.check(cube, GRID)
    elsewhere = Grid.from_bounds("EPSG:4326", (-20, 10, 80, 60), 1.0)
    card.check(make_cube(tmp_path / "other", slope={"long_name": "of the land"}), elsewhere)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slope": None}, 'no variable "slope"'),
        ({"rain": {"units": "m"}}, 'units of "rain": "mm" in training, "m" here'),
        ({"slope": {"kind": "class"}}, 'kind of "slope": "amount" in training, "class" here'),
        ({"rain": {"time": "static"}}, 'time of "rain": "monthly" in training, "static" here'),
    ],
)
def test_another_cube_is_refused_and_the_variable_named(changes, words, tmp_path, card) -> None:
    other = make_cube(tmp_path / "other", **changes)
    with pytest.raises(InputError, match=words) as refused:
        card.check(other, GRID)
    assert str(tmp_path / "other") in str(refused.value)


def test_all_that_differs_is_named_at_once(tmp_path, card) -> None:
    other = make_cube(tmp_path / "other", slope=None, rain={"units": "m"})
    with pytest.raises(InputError, match=r'"slope".*"rain"'):
        card.check(other, GRID)


def test_other_cells_are_refused(cube, card) -> None:
    with pytest.raises(InputError, match=r"cells of 1 in EPSG:4326, and this grid's are of 0\.5"):
        card.check(cube, Grid.from_bounds("EPSG:4326", (0, 0, 6, 6), 0.5))
    with pytest.raises(InputError, match="EPSG:3857"):
        card.check(cube, Grid.from_bounds("EPSG:3857", (0, 0, 6, 6), 1.0))


def test_a_card_that_does_not_fit_the_net_is_a_mistake(tmp_path, card) -> None:
    with pytest.raises(ValueError, match="takes 5 bands, the card names 4"):
        save_net(tmp_path / "net.safetensors", build(SHAPE, 5, seed=0), card)


def test_damaged_and_foreign_files_are_told(tmp_path, card) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match="no such file"):
        load_net(path)
    save_net(path, build(SHAPE, 4, seed=0), card)
    whole = path.read_bytes()
    for data in (whole[:-5], b"", b"\x10\0\0\0\0\0\0\0garbage"):
        path.write_bytes(data)
        with pytest.raises(StoreError, match="fit the model again"):
            load_net(path)
    path.write_bytes(safetensors.save({"a": torch.zeros(2)}))
    with pytest.raises(StoreError, match="not readable"):
        load_net(path)
    # weights of another net under this card
    with safetensors.safe_open(_written(path, whole), "pt") as file:
        about = file.metadata()
        held = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    first = next(iter(held))
    path.write_bytes(safetensors.save({**held, first: torch.zeros(3)}, about))
    with pytest.raises(StoreError, match=rf"not of the shape that it names: {first}"):
        load_net(path)
    newer = {"edaphos": json.dumps({**json.loads(about["edaphos"]), "schema": 99})}
    path.write_bytes(safetensors.save(held, newer))
    with pytest.raises(InputError, match="schema 99 is newer"):
        load_net(path)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
