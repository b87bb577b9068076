"""A run is one process's from its first stage to its report, and is continued, not begun again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from typer.testing import CliRunner

from edaphos.engine.errors import RunError, Stopped
from edaphos.engine.lease import read_holder
from edaphos.engine.ledger import Ledger
from edaphos.engine.recovery import Problem
from edaphos.engine.run import Run
from edaphos.engine.watch import Pace, Watch, ask_to_stop, read_wish
from edaphos.recipes import finish as finishing
from edaphos.recipes import pipeline
from edaphos.recipes.cli import app
from edaphos.recipes.job import Overrides, load_job
from edaphos.recipes.pipeline import run_job, run_stages
from edaphos.recipes.repair import repair_map

from .small import Country, make_country

pytestmark = pytest.mark.usefixtures("one_worker_here")

QUICK = Pace(beat=0.1, expiry=1.0, every=0.05, page=0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "Watch", partial(Watch, pace=QUICK))


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """Four tiles, exports and a report."""
    made = make_country(tmp_path_factory.mktemp("whole") / "c", trees=3)
    made.replace("small.toml", "cog = false\nreport = false", "cog = true\nreport = true")
    return made


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as opened,
    ):
        yield opened


def edaphos(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_products_belong_to_the_run_and_can_be_stopped(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real, asked = tmp_path / "run", finishing.export_cogs, []

    def looked_at(*arguments: Any, **options: Any) -> Any:
        until = time.monotonic() + 20
        while (told := json.loads(edaphos("status", out, "--json")))["stage"] != "products":
            assert time.monotonic() < until, told
        assert (told["state"], told["eta"]) == ("running", None)
        assert told["done"] == told["total"]
        text = edaphos("status", out, "--no-map")
        assert "stage: products (the tiles are made" in text
        assert "land cells/s" not in text
        assert read_holder(out) is not None
        if not asked:
            asked.append("once")
            ask_to_stop(out, "me@here")
            while read_wish(out) is not None:  # until every file is there it can be stopped
                real(*arguments, **options)
        return real(*arguments, **options)

    monkeypatch.setattr(finishing, "export_cogs", looked_at)
    job = load_job(country.recipe, Overrides(workers=1))
    with pytest.raises(Stopped, match="stop was asked for by me@here"):
        run_job(job, out)
    told = json.loads(edaphos("status", out, "--json"))
    assert (told["state"], told["reason"][:18]) == ("stopped", "stop was asked for")
    assert not list((out / "products").glob("stac*"))
    _, report = run_job(job, out)
    assert report == out / "report.html"
    assert report.is_file()
    assert "http-equiv" not in report.read_text(), "the page of progress took the report's place"
    assert json.loads(edaphos("status", out, "--json"))["state"] == "finished"
    assert read_holder(out) is None


def test_a_region_cut_off_is_continued_and_once_made_made_anew(
    country: Country, client: Client, tmp_path: Path
) -> None:
    """Else a batch job with less time than the region takes would never end."""
    job, out, region = load_job(country.recipe), tmp_path / "run", (10.0, 40.0, 20.0, 50.0)

    def records() -> dict[str, int]:
        ledger = Ledger(out)
        entries = ledger.finished().values()
        return {e.tile: (out / "ledger" / e.name).stat().st_mtime_ns for e in entries}

    def one_is_there() -> str | None:
        return "time is over" if records() else None

    with pytest.raises(Stopped, match="time is over"):
        run_stages(job, out, client, region=region, stop=one_is_there)
    kept = records()
    assert 0 < len(kept) < 4
    run_stages(job, out, client, region=region)
    first = records()
    assert len(first) == 4
    assert kept.items() <= first.items(), "what was made was made again"
    run_stages(job, out, client, region=region)
    assert not first.items() & records().items(), "what is finished is to be made anew"


def test_no_repair_while_the_run_goes_on(country: Country, client: Client, tmp_path: Path) -> None:
    """Tiles that are being made have objects that no record names: they look damaged."""
    run = run_stages(load_job(country.recipe), tmp_path / "run", client)
    before = Ledger(run.path).entries()
    problems = [Problem("0000-0000", "is not in the ledger")]
    with Watch(run, pace=QUICK), pytest.raises(RunError, match="another run works in this folder"):
        repair_map(run, problems, workers=1)
    assert Ledger(run.path).entries() == before
    assert repair_map(run, problems, workers=1) == 1
    assert Ledger(run.path).entries() == before


def test_verify_says_that_tiles_are_missing(
    country: Country, client: Client, tmp_path: Path
) -> None:
    out, told = tmp_path / "run", "every object matches its checksum"
    run_stages(load_job(country.recipe), out, client, region=(10.0, 45.0, 12.0, 50.0))
    assert f"{told}; the map is not complete" in edaphos("map", "verify", out, "--quiet")
    run_stages(load_job(country.recipe), out, client)
    assert edaphos("map", "verify", out, "--quiet").strip().endswith(told)
    assert Run.open(out).manifest()["provenance"]["region_made_anew"] is None
