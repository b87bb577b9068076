"""What the report says about how its tiles were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.grid import Grid
from edaphos.engine.land import save_index
from edaphos.engine.ledger import LEDGER, Ledger, Record
from edaphos.engine.products.production import (
    ProductionSummary,
    production_summary,
    production_tables,
)
from edaphos.engine.products.report import ReportInputs, render
from edaphos.engine.products.report_pictures import ReportPictures
from edaphos.engine.run_progress import TileState
from edaphos.engine.store import StoredObject

from ..maps import DEPTHS, fake_map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five tiles: two mapped by two workers, one of them at the second attempt; one failed."""
    save_index(tmp_path, np.array([[9, 9, 9], [0, 9, 0]]))
    ledger = Ledger(tmp_path)
    for tile, worker, peak in (("0000-0000", "a:1", 100), ("0000-0001", "b:2", 2**28)):
        seconds = {"read": 10.0, "wait": 0.0, "predict": 30.0}
        made = (StoredObject(f"soc/c/{tile}", 5, "00000000"),)
        ledger.write(
            Record(
                tile,
                "done",
                objects=made,
                seconds=seconds,
                worker=worker,
                peak_memory=peak,
                retries=3,
                clipped={"soc_mean": 2},
            )
        )
    ledger.write(Record("0000-0001", "failed", error="once"))
    ledger.write(Record("0000-0002", "failed", error="always"))
    ledger.write(Record("0000-0002", "failed", error="always"))
    ledger.write(Record("0001-0000", "empty"))
    return tmp_path


def test_records_add_up(folder: Path) -> None:
    found = production_summary(folder)
    assert found is not None
    assert (found.done, found.empty, found.failed) == (2, 1, ("0000-0002",))
    assert found.phases == {"read": 20.0, "wait": 0.0, "predict": 60.0}
    assert (found.workers, found.retries, found.clipped) == (2, 6, 4)
    assert (found.peak_memory, found.unreadable) == (2**28, 0)
    s = TileState
    np.testing.assert_array_equal(
        found.states, [[s.DONE, s.DONE, s.FAILED], [s.NO_LAND, s.WAITING, s.NO_LAND]]
    )
    first, second = production_tables(found)
    assert ("Peak memory of a worker", "256 MiB") in first.rows
    assert first.note == "Failed: 0000-0002."
    assert ("predict", "1 min 00 s", "75.0 %") in second.rows


def test_a_damaged_record_is_counted_and_stops_nothing(folder: Path) -> None:
    next((folder / LEDGER).glob("0000-0000.done.*")).write_text("{}")
    found = production_summary(folder)
    assert found is not None
    assert (found.done, found.unreadable, found.retries) == (2, 1, 3)


def test_a_folder_without_tiles_has_no_production(tmp_path: Path) -> None:
    assert production_summary(tmp_path) is None


def test_the_report_shows_it(folder: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    nothing = ReportPictures()
    for found in (production_summary(folder), None):
        page = render("run", ReportInputs(ds, production=found), nothing)
        assert ('id="production"' in page) == (found is not None)
        assert ("Tiles without soil" in page) == (found is not None)
        assert ('class="t-failed"' in page) == (found is not None)


def test_nothing_made_has_no_phases() -> None:
    assert len(production_tables(ProductionSummary(np.zeros((1, 1), np.uint8)))) == 1
