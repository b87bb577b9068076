"""The table and numbers of Hoosfield, computed again."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def hoosfield(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT))
    yield importlib.import_module("benchmarks.hoosfield")
    for name in [n for n in sys.modules if n.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_committed_table_is_what_the_command_writes(hoosfield, shared_data: Path) -> None:
    assert hoosfield.TABLE.read_text(encoding="utf-8") == hoosfield.table(shared_data)


def test_scores_and_measurements(hoosfield, shared_data: Path) -> None:
    truth = hoosfield.measured(shared_data)
    assert list(truth) == [1852, 1882, 1913, 1946, 1965, 1975, 1982, 1998]
    assert truth[1998] == (27.4, 93.0, 39.3)
    rmse = {r.name: r.value for r in hoosfield.measure(small=True)}
    assert set(rmse) == {f"hoosfield-plot-{n}" for n in (11, 72, 71)}
    assert max(rmse.values()) < 6  # model papers speak of a few t/ha


def test_what_each_plot_is_given(hoosfield) -> None:
    unmanured, manured, residue = (hoosfield.site(plot) for plot in hoosfield.PLOTS)
    years = np.arange(1852, 1999)
    for site, plant in ((unmanured, 1.6), (manured, 2.8)):
        sums = site.plant_input.reshape(-1, 12).sum(axis=1)
        assert sums[0] == pytest.approx(1.7)
        fallow = np.isin(years, (1912, 1933, 1943, 1967))
        np.testing.assert_allclose(sums[1:], np.where(fallow, 0, plant))
        assert not site.cover.reshape(-1, 12)[1:][fallow].any()
    assert unmanured.manure.sum() == 0
    assert manured.manure.sum() == pytest.approx(3 * 147)
    assert residue.manure.sum() == pytest.approx(3 * 20)
    assert residue.plant_input.reshape(-1, 12).sum(axis=1)[-1] == pytest.approx(1.6)


def test_the_measured_start_is_the_measured_stock(hoosfield) -> None:
    for plot in hoosfield.PLOTS:
        assert hoosfield.simulated(plot, "measured")[0] == pytest.approx(30.7, abs=1e-9)
