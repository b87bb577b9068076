"""The hybrid as a model: map and samples agree, arms relate as they should, cells are judged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edaphos.engine.assess.crossval import fit_and_predict
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models import poml
from edaphos.engine.models.poml import OWN_START, PomlModel
from edaphos.engine.models.poml_sites import of_samples, site_years
from edaphos.engine.models.protocol import ModelSpec, TileInputs, model_class
from edaphos.engine.samples import Samples
from edaphos.engine.site_sampling import draw_sites
from edaphos.engine.status import Status
from edaphos.kernels.evapotranspiration import thornthwaite
from edaphos.kernels.productivity import miami_npp

from ..changing_land import (
    GRID,
    SETTINGS,
    SHAPE,
    YEARS,
    make_model,
    survey,
    write_land,
)
from ..changing_land import values as values_of_land

#: Calibration is another file's; without it a fit takes a moment.
AS_IT_IS = {"process": {"calibrate": False}}


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Cube:
    return write_land(tmp_path_factory.mktemp("poml") / "c.zarr")


def drawn(cube: Cube, model: PomlModel, **how: Any) -> Samples:
    return draw_sites(survey(**how), cube, GRID, model.learns_from, model.site_span)[0]


def fitted(cube: Cube, changes: dict[str, Any] | None = None, **how: Any) -> PomlModel:
    model = make_model({**AS_IT_IS, **(changes or {})})
    model.check_cube(cube, GRID)
    return model.fit(drawn(cube, model, **how))


def inputs(cube: Cube, model: PomlModel) -> TileInputs:
    values = cube.read(GRID.whole, model.reads.variables, model.reads.years)
    return TileInputs(GRID.whole, values, np.ones(GRID.shape, bool), model.told.years)


@pytest.fixture(scope="module")
def model(cube: Cube) -> PomlModel:
    return fitted(cube)


@pytest.fixture(scope="module")
def mapped(cube: Cube, model: PomlModel) -> dict[str, np.ndarray]:
    return model.predict(inputs(cube, model))


def test_the_map_at_sites_is_what_rows_of_samples_say(cube, model, mapped) -> None:
    samples = drawn(cube, model)
    said = model.predict_rows(samples)
    row, col = np.divmod(samples.table["cell"].to_numpy(), GRID.shape[1])
    year = samples.table["year"].to_numpy(int) - YEARS[0]
    for name in ("ml", "po", "poml"):
        there = mapped[f"stock_{name}_mean"][0, year, row, col]
        np.testing.assert_array_equal(there, said[f"stock_{name}_mean"].astype(np.float32))
    assert (mapped["status"] == 0).all()


def test_the_process_begins_with_the_forest_and_ends_elsewhere(mapped) -> None:
    ml, po = mapped["stock_ml_mean"][0], mapped["stock_po_mean"][0]
    np.testing.assert_allclose(po[0], ml[0], rtol=1e-6)
    assert (np.abs(po[-1] - ml[-1]) > 0.01).mean() > 0.9


def test_before_the_first_sample_the_process_says_nothing(cube: Cube) -> None:
    late = fitted(cube, dates=(1982, 1985))
    found = late.predict(inputs(cube, late))
    assert np.isnan(found["stock_po_mean"][0, :2]).all()
    assert np.isfinite(found["stock_po_mean"][0, 2:]).all()
    assert np.isfinite(found["stock_ml_mean"]).all()
    assert (found["status"] == 0).all()


def test_without_weight_of_simulations_the_hybrid_is_the_forest(cube: Cube) -> None:
    plain = fitted(cube, {"w_p": 0.0})
    found = plain.predict(inputs(cube, plain))
    np.testing.assert_array_equal(found["stock_poml_mean"], found["stock_ml_mean"])


def test_a_model_reads_no_more_than_its_map_needs(cube: Cube) -> None:
    alone = make_model({"emit": ("ml",), "climate_features": False})
    assert alone.reads.variables == ("clay", "elevation", "fertiliser")
    assert len(alone.learns_from) == 3 + 24
    alone = fitted(cube, {"emit": ("ml",), "climate_features": False})
    found = alone.predict(inputs(cube, alone))
    assert set(found) == {"stock_ml_mean", "status"}
    assert np.isfinite(found["stock_ml_mean"]).all()


def test_chunks_do_not_matter(cube, model, mapped, monkeypatch) -> None:
    monkeypatch.setattr(poml, "CHUNK_CELLS", 7)
    cut = model.predict(inputs(cube, model))
    for name, values in mapped.items():
        np.testing.assert_array_equal(cut[name], values, err_msg=name)


def test_saved_and_loaded_it_says_the_same(cube, model, mapped, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = model_class("poml").load(tmp_path / "m")
    found = again.predict(inputs(cube, again))
    for name, values in mapped.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert {p.suffix for p in (tmp_path / "m").rglob("*") if p.is_file()} == {".json", ".npy"}
    assert again.describe() == model.describe()
    (tmp_path / "m" / "arms.json").unlink()
    with pytest.raises(InputError, match="incomplete; fit the model again"):
        model_class("poml").load(tmp_path / "m")


@pytest.mark.parametrize(
    "changes",
    [
        {"w_p": "tuned"},
        {"coupling": "guarded"},
        {"coupling": "covariate"},
        {"coupling": "residual"},
        {"process": {"kind": "icbm", "calibrate": False}},
        {"coupling": "guarded", "uncertainty": {"members": 2, "folds": 2}},
    ],
    ids=lambda changes: "-".join(str(v) for v in changes.values()),
)
def test_couplings_are_mapped_by_any_chunks_and_kept(
    cube, mapped, tmp_path: Path, monkeypatch, changes: dict[str, Any]
) -> None:
    joined = fitted(cube, changes)
    found = joined.predict(inputs(cube, joined))
    assert (found["status"] == 0).all()
    np.testing.assert_array_equal(found["stock_ml_mean"], mapped["stock_ml_mean"])
    other = np.abs(found["stock_poml_mean"] - mapped["stock_poml_mean"]).max()
    assert 0.01 < other < 3
    joined.save(tmp_path / "m")
    again = PomlModel.load(tmp_path / "m")
    assert again.describe() == joined.describe()
    monkeypatch.setattr(poml, "CHUNK_CELLS", 13)
    for name, values in again.predict(inputs(cube, again)).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_with_members_the_map_and_its_files_tell_intervals(cube, mapped, tmp_path: Path) -> None:
    sure = fitted(cube, {"uncertainty": {"members": 4, "folds": 2}})
    found = sure.predict(inputs(cube, sure))
    for name in ("ml", "po", "poml"):  # means are what they are without
        np.testing.assert_array_equal(found[f"stock_{name}_mean"], mapped[f"stock_{name}_mean"])
    assert {o.name for o in sure.emits.outputs} == set(found) - {"status"}
    sure.save(tmp_path / "m")
    again = PomlModel.load(tmp_path / "m")
    for name, values in again.predict(inputs(cube, again)).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert again.resident_bytes() == sure.resident_bytes() > 0
    samples = drawn(cube, sure)
    said = sure.predict_rows(samples)
    row, col = np.divmod(samples.table["cell"].to_numpy(), GRID.shape[1])
    year = samples.table["year"].to_numpy(int) - YEARS[0]
    for name in ("stock_poml_q05", "change_poml_p"):
        there = found[name][0, year, row, col]
        np.testing.assert_array_equal(there, said[name].astype(np.float32), err_msg=name)


def test_a_held_out_sites_stock_reaches_its_own_process_and_nothing_else(cube: Cube) -> None:
    spec = ModelSpec("poml", {"settings": {**SETTINGS, **AS_IT_IS}, "seed": 3})
    samples = drawn(cube, spec.build())
    held_out = samples.table["lon"].to_numpy() > 106
    table = samples.table.copy()
    table.loc[held_out, "y"] *= 2
    ours = fit_and_predict(spec, samples, held_out)
    theirs = fit_and_predict(spec, Samples(table, samples.features, samples.target), held_out)
    for name in ("stock_ml_mean", "stock_po_mean", "stock_poml_mean"):
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert (np.abs(theirs[OWN_START] - ours[OWN_START])[1:7] > 1).all()
    first = samples.table["year"].to_numpy()[held_out] == 1980
    assert np.isnan(ours[OWN_START][first]).all()


def test_rows_of_a_site_are_not_separated(cube: Cube, model: PomlModel) -> None:
    samples = drawn(cube, model)
    with pytest.raises(InputError, match="split samples by location or block, not by row"):
        model.fit(samples.take(np.arange(len(samples)) % 2 == 0))


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("clay", np.nan, Status.INVALID_CLAY),
        ("clay", 120.0, Status.INVALID_CLAY),
        ("rain_05", 5000.0, Status.INVALID_CLIMATE),
        ("temperature_05", np.nan, Status.INVALID_CLIMATE),
        ("fertiliser", -1.0, Status.INVALID_INPUT),
        ("fertiliser", 0.0, Status.NO_EQUILIBRIUM),
        ("fertiliser", 0.5, Status.NO_EQUILIBRIUM),
        ("elevation", np.nan, Status.INVALID_INPUT),
    ],
)
def test_cells_that_cannot_run_are_told(cube, model, mapped, name, value, status) -> None:
    given = inputs(cube, model)
    values = {k: v.copy() for k, v in given.values.items()}
    where = values[name] if values[name].ndim == 2 else values[name][0]
    where[3, 4] = value
    found = model.predict(TileInputs(given.window, values, given.wanted, given.years))
    assert found["status"][3, 4] == status
    others = np.ones(GRID.shape, bool)
    others[3, 4] = False
    assert (found["status"][others] == 0).all()
    for output in ("stock_ml_mean", "stock_po_mean", "stock_poml_mean"):
        np.testing.assert_array_equal(found[output][..., others], mapped[output][..., others])


def test_soils_out_of_the_process_domain_teach_nothing_and_are_left_out(tmp_path: Path) -> None:
    cover = np.full(SHAPE, 10.0)
    cover[2, 3], cover[2, 4], cover[2, 5] = 11.0, 95.0, 12.0
    cold = values_of_land()
    for month in range(1, 13):
        cold[f"temperature_{month:02d}"][:, 6, 6] -= 40.0
    cube = write_land(tmp_path / "c.zarr", {**cold, "landcover": cover})
    domain = {
        "wetland": {"landcover": (11,)},
        "mangrove": {"landcover": (95,)},
        "paddy": {"landcover": (12,)},
    }
    model = fitted(cube, {"domain": domain, "emit": ("ml", "po", "poml")})
    found = model.predict(inputs(cube, model))

    def of(row: int, col: int) -> set[int]:
        """Codes of a cube's cell, which four of the grid's lie in."""
        return set(found["status"][2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist())

    assert of(2, 3) == {Status.WETLAND}
    assert of(2, 4) == {Status.MANGROVE}
    assert of(2, 5) == {Status.PADDY}
    assert Status.FROZEN in of(6, 6)
    samples = drawn(cube, model)
    table = samples.table.copy()
    wet = table["landcover"].to_numpy() == 11
    assert wet.any()
    table.loc[wet, "y"] *= 5
    again = make_model({**AS_IT_IS, "domain": domain})
    again.fit(Samples(table, samples.features, samples.target))
    for name, layer in again.predict(inputs(cube, again)).items():
        np.testing.assert_array_equal(layer, found[name], err_msg=name)
    strict = fitted(cube, {"domain": {"organic_above": 25.0}})  # t/ha; stocks are about 3 kg/m²
    found = strict.predict(inputs(cube, strict))
    rich = (found["stock_ml_mean"][0] > 2.5).any(axis=0)
    assert rich.any()
    assert (found["status"][rich] == Status.ORGANIC_OUTSIDE).all()


def test_evapotranspiration_is_thornthwaites_of_each_year(cube: Cube, model: PomlModel) -> None:
    samples = drawn(cube, model)
    values, places, stock, _ = of_samples(model.told, samples)
    data, status = site_years(model.told, values, places, stock)
    assert (status == 0).all()
    months = [f"temperature_{m:02d}" for m in range(1, 13)]
    for site, year in ((0, 0), (17, 3), (41, 6)):
        row = site * len(YEARS) + year
        t = samples.table.loc[row, months].to_numpy(float)[:, None]
        wanted = thornthwaite(t, np.array([places.cell_lat[site]]))[:, 0]
        rows = slice(12 * year, 12 * year + 12)
        found = data.drivers.climate.evapotranspiration[rows, site]
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
        np.testing.assert_allclose(data.drivers.climate.temperature[rows, site], t[:, 0])
        feature = data.yearly[site, year, data.yearly_names.index("temperature_of_year")]
        assert feature == pytest.approx(t.mean(), rel=1e-6)
        assert data.yearly[site, year, 0] == samples.table["fertiliser"][row]
    np.testing.assert_array_equal(np.isfinite(data.stock).sum(axis=0), [60, 0, 0, 0, 0, 0, 60])


def test_a_climate_that_repeats_and_the_drivers_there_are(tmp_path: Path) -> None:
    month = np.arange(12)[:, None, None] * np.ones(SHAPE)
    usual = {"temperature": 10 + month, "rain": 40 + 5 * month}
    gone = {f"{n}_{m:02d}": None for n in ("temperature", "rain") for m in range(1, 13)}
    cover = np.where(np.arange(80).reshape(SHAPE) % 2, 12.0, 5.0)
    cube = write_land(tmp_path / "c.zarr", {**usual, **gone, "landcover": cover})
    changes = {
        "climate": {},
        "driver": {},
        "plants": {"cover": {"variable": "landcover", "legend": "igbp"}},
    }
    same = fitted(cube, changes)
    found = same.predict(inputs(cube, same))
    po = found["stock_po_mean"][0]
    np.testing.assert_allclose(po, np.broadcast_to(po[0], po.shape), rtol=1e-5)
    values, places, _, _ = of_samples(same.told, drawn(cube, same))
    data, _ = site_years(same.told, values, places)
    assert data.drivers.climate.months == 12
    assert set(np.round(data.drivers.dpm_rpm, 2)) == {1.44, 0.25}
    assert "temperature_of_year" in data.static_names
    with pytest.raises(InputError, match=r"climate.transient = true"):
        make_model({"climate": {}, "driver": {"kind": "miami"}})


def test_miami_follows_the_climate_of_each_year(cube: Cube) -> None:
    model = make_model({"driver": {"kind": "miami"}})
    samples = drawn(cube, model)
    values, places, _, _ = of_samples(model.told, samples)
    data, _ = site_years(model.told, values, places)
    t, rain = (
        np.mean([samples.table[f"{name}_{m:02d}"] for m in range(1, 13)], axis=0)
        for name in ("temperature", "rain")
    )
    wanted = miami_npp(t, rain * 12).reshape(-1, len(YEARS)).T
    np.testing.assert_allclose(data.drivers.input_driver, wanted, rtol=1e-5)


def test_a_driver_near_nothing_at_the_start_teaches_no_wild_stocks(tmp_path: Path) -> None:
    """A third of the land begins with hardly any fertiliser, and grows two hundredfold."""
    driver = values_of_land()["fertiliser"]
    driver[0, :, :3] = 0.5
    cube = write_land(tmp_path / "c.zarr", {"fertiliser": driver})
    model = fitted(cube)
    found = model.predict(inputs(cube, model))
    known = found["stock_poml_mean"][np.isfinite(found["stock_poml_mean"])]
    observed = drawn(cube, model).y
    assert known.max() < 1.3 * np.nanmax(observed)
    assert (found["status"][:, :5] == Status.NO_EQUILIBRIUM).all()
    assert (found["status"][:, 6:] == 0).all()


@pytest.mark.parametrize(
    ("told", "base"),
    [
        ({"kind": "miami"}, "mean"),
        ({"kind": "miami", "base": "start"}, "start"),
        ({"kind": "variable", "variable": "fertiliser"}, "start"),
        ({"kind": "variable", "variable": "fertiliser", "base": "mean"}, "mean"),
    ],
)
def test_what_follows_the_weather_is_over_its_mean(cube: Cube, told, base: str) -> None:
    model = make_model({"driver": told})
    cells, places, _, _ = of_samples(model.told, drawn(cube, model))
    assert site_years(model.told, cells, places)[0].drivers.input_base == base


def test_what_happened_in_the_fit_is_told_and_kept(tmp_path: Path) -> None:
    driver = values_of_land()["fertiliser"]
    driver[0, :, :2] = 0.0
    driver[3, :, 8:] = -1.0
    cube = write_land(tmp_path / "c.zarr", {"fertiliser": driver})
    model = make_model()
    table = survey(14, dates=(1981, 1984))
    once = (table["year"] == 1984) & table["profile_id"].isin([f"p{i}" for i in range(10)])
    samples = draw_sites(table[~once], cube, GRID, model.learns_from, model.site_span)[0]
    model.fit(samples)
    bad = int((samples.table.groupby("profile_id")["fertiliser"].min() < 0).sum())
    assert bad > 0
    left_out, standard, beyond = model.notes
    assert left_out == f"{bad} of 14 sampled sites teach nothing (invalid input: {bad})."
    assert standard.startswith("The process has its standard rates: nothing was calibrated")
    assert "from 1981 to 1984" in beyond
    assert "3 of the 7 years" in beyond
    again = make_model().fit(drawn(cube, make_model(), sites=40))
    lost = [n for n in again.notes if "have no simulation" in n]
    assert len(lost) == 1
    assert not any("years mapped lie beyond" in n for n in again.notes)
    again.save(tmp_path / "m")
    assert model_class("poml").load(tmp_path / "m").notes == again.notes
    assert lost[0] in again.describe()["support"]


def test_a_process_that_samples_contradict_is_told(cube: Cube) -> None:
    """No steady soil gains a tenth in six years under ICBM's rates, within their bounds."""
    model = make_model({"process": {"kind": "icbm"}, "driver": {"kind": "none"}})
    model.fit(drawn(cube, model))
    (told,) = model.notes
    assert told.startswith("The process was calibrated on 60 sites")
    assert "the best k2 lies on its lower bound" in told
    assert re.search(r"a bias of -0\.\d\d and an RMSE", told)


def test_a_first_year_that_hardly_any_sample_knows_is_told(cube: Cube) -> None:
    table = survey(30, dates=(1982, 1986))
    early = table[table["profile_id"].isin(["p0", "p1"]) & (table["year"] == 1982)]
    table = pd.concat([table, early.assign(year=1980)])
    for emit, told in ((("ml", "po"), True), (("ml", "poml"), False)):
        model = make_model({**AS_IT_IS, "emit": emit})
        model.fit(draw_sites(table, cube, GRID, model.learns_from, model.site_span)[0])
        words = "begins everywhere in 1980, of which 2 of 62 samples are"
        assert any(words in note for note in model.notes) == told


def test_one_month_of_the_climate_may_be_a_covariate(cube: Cube) -> None:
    some = {"yearly": ("temperature_01",), "climate_features": False, "emit": ("ml", "poml")}
    model = fitted(cube, some)
    assert model.reads.variables == ("clay", "elevation", "temperature_01")
    assert np.isfinite(model.predict(inputs(cube, model))["stock_poml_mean"]).all()


def test_normals_are_what_the_spin_up_takes(tmp_path: Path) -> None:
    month = np.arange(12)[:, None, None] * np.ones(SHAPE)
    cube = write_land(tmp_path / "c.zarr", {"temperature": 10 + month, "rain": 40 + month})
    model = fitted(cube, {"climate": {"transient": True, "normals": True}})
    values, places, _, _ = of_samples(model.told, drawn(cube, model))
    normals = site_years(model.told, values, places)[0].drivers.normals
    assert normals is not None
    np.testing.assert_allclose(normals.temperature[:, 0], 10 + np.arange(12))
    found = model.predict(inputs(cube, model))
    assert np.isfinite(found["stock_poml_mean"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"years": (1980,)}, "a span of years"),
        ({"first": 1981}, "the span must hold them"),
        ({"emit": ("soc",)}, "expected some of ml, po, poml"),
        ({"w_p": 1.5}, r"model\.w_p"),
        ({"process": {"kind": "century"}}, "expected rothc, icbm"),
        ({"process": {"settings": {"speed": 3}}}, r"process\.settings"),
        ({"static": (), "yearly": (), "climate_features": False}, "no covariate"),
        ({"climate": {"normals": True}}, "normals is for transient"),
        ({"yearly": (), "climate_features": False}, "maps of all years would be the same"),
        ({"yearly": (), "climate": {}, "driver": {}}, "maps of all years would be the same"),
    ],
)
def test_settings_that_make_no_sense(cube: Cube, changes, message) -> None:
    with pytest.raises(InputError, match=message):
        fitted(cube, changes)


def test_a_cube_that_is_not_what_it_is_taken_for(tmp_path: Path, cube: Cube) -> None:
    with pytest.raises(InputError, match=r'"fertiliser" is yearly.*under model\.yearly'):
        make_model({"static": ("fertiliser",)}).check_cube(cube, GRID)
    with pytest.raises(InputError, match=r'"elevation" is static.*under model\.static'):
        make_model({"yearly": ("elevation",)}).check_cube(cube, GRID)
    with pytest.raises(InputError, match='"elevation" is static, and drives the process'):
        make_model({"driver": {"kind": "variable", "variable": "elevation"}}).check_cube(cube, GRID)
    with pytest.raises(InputError, match=r"lacks 1987, 1988.*narrow model\.first"):
        make_model({"last": 1988}).check_cube(cube, GRID)
    other = write_land(tmp_path / "c.zarr", {"rain_04": None, "rain_11": None})
    with pytest.raises(InputError, match=r'"rain" as twelve yearly.*lacks rain_04, rain_11'):
        make_model().check_cube(other, GRID)
    kelvin = {f"temperature_{m:02d}": np.full((7, *SHAPE), 290.0) for m in range(1, 13)}
    with pytest.raises(InputError, match="kelvin"):
        make_model().check_cube(write_land(tmp_path / "d.zarr", kelvin), GRID)
