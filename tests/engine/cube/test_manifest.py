"""A manifest that was altered cannot have anything read from outside its cube."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edaphos.engine.cube.cube import Cube
from edaphos.engine.cube.layout import MANIFEST
from edaphos.engine.errors import InputError

from ..cubes import Layer, write_cube


@pytest.fixture
def cube(tmp_path) -> Path:
    return write_cube(tmp_path / "c", [Layer({"v": np.ones((20, 20), "f4")}, (0, 50), (1, 1))])


def altered(cube: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    raw = json.loads((cube / MANIFEST).read_text())
    change(raw)
    (cube / MANIFEST).write_text(json.dumps(raw))
    return cube


OUTSIDE = ["../other.zarr", "/etc", "a/../../..", "..", "", "..\\other"]


@pytest.mark.parametrize("name", [*OUTSIDE, "s0/values"])
def test_stacks_outside_are_refused(cube, name) -> None:
    altered(cube, lambda raw: raw["stacks"]["s0"].update(name=name))
    with pytest.raises(InputError, match=r"cube\.json: .*not written by edaphos, or altered"):
        Cube.open(cube)


@pytest.mark.parametrize("key", [*OUTSIDE, "stacks/../../other", "cube.json"])
def test_objects_outside_are_refused(cube, key) -> None:
    altered(cube, lambda raw: raw["objects"][0].update(key=key))
    with pytest.raises(InputError, match=r"cube\.json: .*not written by edaphos, or altered"):
        Cube.open(cube)


@pytest.mark.parametrize(
    ("name", "parents", "directional"),
    [("v", [], False), ("slope", ["z"], False), ("aspect_sin", ["z"], True), ("aspect_sin", [], 0)],
)
def test_cubes_from_before_directions_were_told_open(cube, name, parents, directional) -> None:
    def older(raw: dict[str, Any]) -> None:
        raw["variables"]["v"].update(name=name, derived_from=parents)
        del raw["variables"]["v"]["directional"]

    assert Cube.open(altered(cube, older)).variable("v").directional == directional


def test_variables_of_no_stack_are_refused(cube) -> None:
    altered(cube, lambda raw: raw["variables"]["v"].update(stack="../s0"))
    with pytest.raises(InputError, match=r'"\.\./s0" is not below the cube'):
        Cube.open(cube)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"schema": 1}', '{"schema": 1, "stacks": []}', '{"schema": "1"}']
)
def test_what_is_no_manifest_is_refused(cube, text) -> None:
    (cube / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=r"cube\.json: not a readable cube manifest"):
        Cube.open(cube)


def test_bytes_that_are_no_text_are_refused(cube) -> None:
    (cube / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"cube\.json: not a readable cube manifest"):
        Cube.open(cube)
