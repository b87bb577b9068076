from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest

from edaphos.engine.grid import Grid
from edaphos.engine.products.cog import export_cogs
from edaphos.engine.products.stac import write_stac

from ..maps import fake_map, homolosine_patch

ONE = ((0, 5),)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    ds = fake_map(Grid.preset("global-1deg"), depths=ONE, years=(1990, 2010))
    products = export_cogs(ds, folder / "products")
    return write_stac(ds, products, folder / "stac", name="My run!")


def documents(collection: Path) -> list[Path]:
    return sorted(collection.parent.rglob("*.json"))


def test_pystac_reads_it_back(catalogue: Path) -> None:
    collection = pystac.Collection.from_file(str(catalogue))
    assert collection.id == "My-run"
    items = sorted(collection.get_items(), key=lambda i: i.id)
    assert [i.id for i in items] == ["My-run-1990", "My-run-2010"]
    for item in items:
        assert set(item.assets) >= {f"soc_0-5cm_mean_{item.id[-4:]}", "status"}
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href() or "").is_file()


def test_all_links_are_relative_and_inside(catalogue: Path) -> None:
    for path in documents(catalogue):
        raw = json.loads(path.read_text())
        hrefs = [link["href"] for link in raw["links"]]
        hrefs += [asset["href"] for asset in raw.get("assets", {}).values()]
        assert hrefs
        for href in hrefs:
            assert href.startswith("."), href
            assert (path.parent / href).resolve().is_file(), href


def test_the_catalogue_survives_being_moved(catalogue: Path, tmp_path: Path) -> None:
    import shutil

    moved = shutil.copytree(catalogue.parent.parent, tmp_path / "elsewhere")
    item = next(pystac.Collection.from_file(str(moved / "stac/collection.json")).get_items())
    href = item.assets["status"].get_absolute_href() or ""
    assert Path(href).is_file()
    assert str(tmp_path) in href


def test_bands_say_how_to_read_the_numbers(catalogue: Path) -> None:
    item = next(pystac.Collection.from_file(str(catalogue)).get_items())
    asset = item.assets["soc_0-5cm_mean_1990"]
    band = asset.extra_fields["raster:bands"][0]
    assert (band["scale"], band["offset"], band["nodata"]) == (0.1, 0.0, -32768)
    assert (band["unit"], band["data_type"]) == ("g kg-1", "int16")
    assert asset.extra_fields["soil:depth_bottom_cm"] == 5.0
    assert asset.extra_fields["soil:statistic"] == "mean"
    assert asset.media_type == pystac.MediaType.COG
    assert asset.extra_fields["file:size"] > 0


def test_the_collection_says_where_the_map_comes_from(catalogue: Path) -> None:
    collection = pystac.Collection.from_file(str(catalogue))
    assert collection.license == "CC-BY-4.0"
    assert collection.description.startswith("VIRTUAL")
    assert "virtual" in (collection.keywords or [])
    names = [p.name for p in collection.providers or []]
    assert names == ["edaphos tests", "made-up climate", "made-up <relief>"]
    assert collection.extra_fields["edaphos:covariate_resolution"] == "5 arc-minutes to 0.75 degree"
    start, end = collection.extent.temporal.intervals[0]
    assert start is not None
    assert end is not None
    assert (start.year, end.year) == (1990, 2010)


def test_an_item_tells_by_itself_what_its_values_are(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=ONE)
    ds.attrs |= {"method": "A forest.", "support": "Means of cells.", "run": "12ab"}
    made = write_stac(ds, export_cogs(ds, tmp_path), tmp_path)
    item = next(pystac.Collection.from_file(str(made)).get_items())
    facts = item.properties
    assert (facts["start_datetime"], facts["end_datetime"]) == (
        "2010-01-01T00:00:00Z",
        "2010-12-31T23:59:59Z",
    )
    assert facts["edaphos:nominal_resolution"] == "1 degree"
    assert facts["edaphos:covariate_resolution"] == "5 arc-minutes to 0.75 degree"
    assert facts["edaphos:support"] == "Means of cells."
    assert facts["edaphos:method"] == "A forest."
    assert facts["edaphos:license"] == "CC-BY-4.0"
    assert facts["edaphos:run"] == "12ab"
    assert [s["licence"] for s in facts["edaphos:sources"]] == ["CC BY 4.0", "CC0-1.0"]
    assert facts["edaphos:sources"][0]["citation"] == "Nobody (2024) Climate of nowhere"
    basis = item.assets["soc_0-5cm_mean"].extra_fields["soil:basis"]
    assert basis == "dry mass of the fine earth (< 2 mm)"


def test_projection_is_stated(catalogue: Path) -> None:
    item = next(pystac.Collection.from_file(str(catalogue)).get_items())
    assert item.properties["proj:code"] == "EPSG:4326"
    assert item.properties["proj:shape"] == [180, 360]
    assert item.bbox == [-180.0, -90.0, 180.0, 90.0]


def test_a_projection_without_a_code_is_given_as_wkt(tmp_path: Path) -> None:
    ds = fake_map(homolosine_patch(), depths=ONE)
    products = export_cogs(ds, tmp_path / "products")
    collection = pystac.Collection.from_file(str(write_stac(ds, products, tmp_path / "stac")))
    item = next(collection.get_items())
    assert "Homolosine" in item.properties["proj:wkt2"]
    west, south, east, north = item.bbox or []
    assert -30 < west < -15
    assert 35 < east < 50
    assert -28 < south < -26
    assert 26 < north < 28


def test_a_real_map_is_not_called_virtual(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=ONE, banner="")
    products = export_cogs(ds, tmp_path / "products")
    text = write_stac(ds, products, tmp_path / "stac").read_text()
    assert json.loads(text)["edaphos:virtual"] is False
    assert "VIRTUAL" not in text


def test_core_schemas_accept_it(catalogue: Path) -> None:
    pytest.importorskip("jsonschema", reason="pystac's schema check needs jsonschema")
    from pystac.validation.local_validator import LocalValidator

    validator = LocalValidator()
    for path in documents(catalogue):
        raw = json.loads(path.read_text())
        check = (
            validator.item_validator if raw["type"] == "Feature" else validator.collection_validator
        )
        problems = list(check(pystac.get_stac_version()).iter_errors(raw))
        assert problems == [], problems[:3]
