"""Cube, run and products in a bucket: the same map as in folders, and no secret anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaphos.engine.map_store import MAP
from edaphos.engine.place import Place, place
from edaphos.engine.store import checksum, list_objects
from edaphos.recipes.cli import app

from .small import make_country


def edaphos(*words: object) -> str:
    """Return what a command says."""
    made = CliRunner().invoke(app, [str(word) for word in words])
    assert made.exit_code == 0, made.output
    return made.output


def edaphos_apart(*words: object) -> str:
    """Return what a command says in a process of its own, the processes it starts included."""
    done = subprocess.run(
        [sys.executable, "-m", "edaphos.recipes.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def shards(run: Place) -> dict[str, str]:
    """Checksums of the map's data; its attributes name the folder of the cube's sources."""
    keys = [key for key in list_objects(run / MAP) if "/c/" in key and "pyramid/" not in key]
    return {key: checksum((run / MAP / key).read_bytes()) for key in keys}


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    country = make_country(tmp_path_factory.mktemp("buckets"))
    country.replace("small.toml", "cog = false\nreport = false", "cog = true\nreport = true")
    return country


def test_the_whole_way_in_a_bucket(
    country, tmp_path: Path, s3_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    edaphos("run", country.recipe, "--out", tmp_path / "run", "--workers", 1, "--quiet")
    cube, run = f"{s3_folder}/cube.zarr", f"{s3_folder}/run"
    options = ("--cube", cube, "--workers", 1)
    told = edaphos_apart("run", country.recipe, "--out", run, *options)
    assert shards(place(run)) == shards(tmp_path / "run")
    held = set(list_objects(place(run)))
    assert {"report.html", "products/collection.json", "products/soc_0-5cm_mean.tif"} <= held
    local = {str(key) for key in list_objects(tmp_path / "run")}
    assert {k for k in held if k.startswith("products/")} == {
        k for k in local if k.startswith("products/")
    }
    told += edaphos("map", "verify", run) + edaphos("cube", "verify", cube)
    told += edaphos_apart("run", country.recipe, "--out", run, *options)  # nothing is left to do
    told += edaphos("status", run)
    manifest = json.loads((place(run) / "manifest.json").read_text())
    assert manifest["provenance"]["cube"] == cube
    secrets = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    for secret in secrets:
        assert secret not in told
        for folder in (run, cube):
            keys = list_objects(place(folder))
            assert not [k for k in keys if secret.encode() in (place(folder) / k).read_bytes()]
    left = [p for p in temporary.glob(f"edaphos-{os.getuid()}/*") if p.is_dir()]
    assert left == [], "copies of what lies in the bucket"
