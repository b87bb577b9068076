"""The plots of Rothamsted as sites and years, and the table of what was hidden from models."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "rothamsted"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"needs the open data of Rothamsted, looked for at {DATA}"
)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT))
    yield importlib.import_module("benchmarks.rothamsted_poml")
    for name in [n for n in sys.modules if n.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def plots(bench):
    return bench.read_plots(DATA)


@needs_data
def test_plots_are_read_as_they_were_measured(bench, plots) -> None:
    years = plots.data.years
    row = int(np.flatnonzero(plots.name == "Highfield 09/10")[0])
    with (DATA / "01-HLA-SOC4814" / "soil_data.csv").open(encoding="latin-1") as file:
        rows = [r for r in csv.DictReader(file) if r["main_plot"].strip() == "09/10"]
    assert len(rows) >= 12
    for told in rows:
        percent, year = float(told["percent_soc"]), int(float(told["year"]))
        found = plots.data.stock[row, year - years[0]]
        assert found == pytest.approx(percent / 100 * 944 * 0.23)  # by 0.23 m, 944 kg/m3
    assert set(plots.use) <= set(
        importlib.import_module("benchmarks.rothamsted_plots").CLASS_OF.values()
    )
    begun = plots.data.stock[plots.field == "Fosters", 1950 - years[0]]
    assert len(begun) == 20
    np.testing.assert_allclose(begun, 1.52 / 100 * 1176 * 0.23, rtol=1e-12)


@needs_data
@pytest.mark.parametrize("design", ["between", "ahead"])
def test_what_is_hidden_is_not_seen(bench, plots, design: str) -> None:
    seen, asked = bench.hidden(plots.data, design)
    assert not (seen.sampled & asked).any()
    np.testing.assert_array_equal(seen.sampled | asked, plots.data.sampled)
    if design == "ahead":
        assert plots.data.years[seen.sampled.any(axis=0)].max() <= bench.LAST_SEEN
    else:
        assert (seen.sampled.sum(axis=1) == 2).all()


@needs_data
def test_straight_lines_pass_through_what_is_seen(bench, plots) -> None:
    seen, _ = bench.hidden(plots.data, "between")
    lines = bench.straight(seen)
    np.testing.assert_allclose(lines[seen.sampled], seen.stock[seen.sampled])
    middle = lines[:, 1:-1] - (lines[:, :-2] + lines[:, 2:]) / 2
    inside = (np.arange(1, lines.shape[1] - 1) > seen.first[:, None]) & ~seen.sampled[:, 1:-1]
    last = np.where(seen.sampled, np.arange(lines.shape[1]), -1).max(axis=1)
    inside &= np.arange(1, lines.shape[1] - 1) < last[:, None]
    assert np.abs(middle[inside]).max() < 1e-12


@needs_data
def test_errors_of_simple_ways_are_those_of_the_table(bench, plots) -> None:
    """Forests are left out: their last digits are the library's, not ours."""
    seen, asked = bench.hidden(plots.data, "ahead")
    told = bench.TABLE.read_text(encoding="utf-8")
    for name, way in (("persistence", bench.persistence), ("straight line", bench.straight)):
        error = (way(seen) - plots.data.stock)[asked]
        rmse = np.sqrt(np.mean(error**2))
        assert f"| ahead | {name} | {error.size} | {error.mean():+.2f} | {rmse:.3f} |" in told
