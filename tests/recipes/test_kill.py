"""Killed at random moments and started again, a run ends with the same bytes.

SIGKILL to a worker: the scheduler gives its tiles to the next. SIGKILL to the client: the same
command continues. Both are real processes of the installed command.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import MAP
from edaphos.engine.recovery import verify_map
from edaphos.engine.run import Run
from edaphos.engine.store import checksum, list_objects

from .small import Country, make_country

TILES = 16
SECONDS = 240


@pytest.fixture(scope="module")
def country(tmp_path_factory) -> Country:
    """Sixteen tiles that take a good while each, so that there is time to kill."""
    folder = tmp_path_factory.mktemp("killed")
    return make_country(folder, trees=120, resolution=0.02, tile_size=128)


def start(country: Country, out: Path, workers: int = 2) -> subprocess.Popen:
    command = [sys.executable, "-m", "edaphos.recipes.cli", "run", country.recipe]
    options = ["--out", out, "--workers", workers, "--quiet"]
    return subprocess.Popen(
        [str(part) for part in (*command, *options)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors.decode()
    return errors.decode()


def wait_for_tiles(out: Path, tiles: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + SECONDS
    while len(Ledger(out).finished()) < tiles:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < until, "no tile was finished in time"
        time.sleep(0.05)


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that compute: grandchildren that hold more memory than a nanny's tracker."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if child.memory_info().rss > 150 * 2**20]


def map_objects(out: Path) -> dict[str, str]:
    folder = out / MAP
    return {key: checksum((folder / key).read_bytes()) for key in list_objects(folder)}


@pytest.fixture(scope="module")
def undisturbed(country: Country) -> dict[str, str]:
    """The map of one worker that nobody disturbs."""
    out = country.folder / "undisturbed"
    finish(start(country, out, workers=1))
    assert len(Ledger(out).finished()) == TILES
    return map_objects(out)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_worker_costs_nothing_but_time(country, undisturbed, tmp_path, seed) -> None:
    chance = random.Random(seed)
    process = start(country, tmp_path / "run")
    wait_for_tiles(tmp_path / "run", chance.randint(1, 4), process)
    time.sleep(chance.random())
    chance.choice(workers_of(process)).kill()
    finish(process)
    assert map_objects(tmp_path / "run") == undisturbed
    assert verify_map(Run.open(tmp_path / "run")) == []


@pytest.mark.parametrize("seed", [3, 4])
def test_a_killed_client_is_continued(country, undisturbed, tmp_path, seed) -> None:
    chance = random.Random(seed)
    out = tmp_path / "run"
    process = start(country, out)
    wait_for_tiles(out, chance.randint(1, 6), process)
    time.sleep(chance.random())
    orphans = workers_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(Ledger(out).finished())
    assert 0 < kept < TILES
    finish(start(country, out))
    assert map_objects(out) == undisturbed
    assert verify_map(Run.open(out)) == []
    _, alive = psutil.wait_procs(orphans, timeout=60)
    assert not alive, "workers outlived their killed client"
