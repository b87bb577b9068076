"""A cube's TOML: what is wrong in it is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

import edaphos.recipes.cube_schema as cube_schema
from edaphos.engine.build.derive import CLIMATE_OUTPUTS
from edaphos.engine.errors import InputError
from edaphos.recipes.cube_schema import read_cube_spec

RECIPES = Path(cube_schema.__file__).parent
LAYER = '[[layer]]\nname = "rain"\nfile = "rain.tif"\nkind = "amount"\n'


def read(folder: Path, text: str, data: Path | None = None):
    path = folder / "cube.toml"
    path.write_text(text)
    return read_cube_spec(path, data)


def test_defaults_are_those_of_the_engine(tmp_path: Path) -> None:
    from edaphos.engine.build.spec import LayerSpec

    spec = read(tmp_path, LAYER)
    assert spec.layers == (LayerSpec("rain", "rain.tif", "amount"),)
    assert (spec.base, spec.terrain, spec.climate, spec.soil_mask) == (tmp_path, (), (), None)


def test_everything_reaches_the_engine(tmp_path: Path) -> None:
    text = LAYER + (
        'time = "yearly"\nfiles = { 2000 = "b.tif", 1990 = "a.tif" }\n'.replace("file = ", "")
        + "directional = true\n"
        "scale = 0.1\nnodata = [-1, 99]\nselect = { depth = 2 }\nvalid_min = -5\n"
        '[[derive]]\nkind = "terrain"\nelevation = "relief"\noutputs = ["slope"]\n'
        'below_sea = "keep"\n'
        '[[derive]]\nkind = "climate"\nrain = "rain"\noutputs = ["rain_annual"]\n'
        '[soil_mask]\nlandcover = "cover"\nwater = [0, 17]\nexclude_south_of = -60\n'
    )
    spec = read(tmp_path, text.replace('file = "rain.tif"\n', ""))
    (layer,) = spec.layers
    assert (layer.years, layer.files) == ((1990, 2000), ("a.tif", "b.tif"))
    assert (layer.scale, layer.nodata, layer.valid_min) == (0.1, (-1, 99), -5)
    assert layer.select == (("depth", 2),)
    assert layer.directional
    assert (spec.terrain[0].elevation, spec.terrain[0].below_sea) == ("relief", "keep")
    assert (spec.climate[0].rain, spec.climate[0].temperature) == ("rain", "")
    assert spec.soil_mask is not None
    assert (spec.soil_mask.water, spec.soil_mask.exclude_south_of) == ((0, 17), -60)


def test_a_changing_climate_is_twelve_layers(tmp_path: Path) -> None:
    text = LAYER + 'time = "yearly"\nyears = [1990, 1991]\nby_month = "month"\n'
    layers = read(tmp_path, text + "select = { depth = 2 }\n").layers
    assert [layer.name for layer in layers] == [f"rain_{month:02d}" for month in range(1, 13)]
    assert layers[4].select == (("depth", 2), ("month", 5.0))
    assert {layer.years for layer in layers} == {(1990, 1991)}
    with pytest.raises(InputError, match="two layers are called rain_07"):
        read(tmp_path, text + LAYER.replace('"rain"', '"rain_07"'))


WRONG = {
    'by_month = "month"': 'by_month is for time = "yearly"',
    "nodta = [1]": r'layer\.0\.nodta: unknown key; did you mean "nodata"',
    "fill_radius = 1": r'layer\.0\.fill_radius: unknown key; did you mean "fill_radius_deg"',
    "fill_radius_deg = -1": r"layer\.0\.fill_radius_deg: .*greater than or equal to 0",
    'longitudes = "360"': r"layer\.0\.longitudes: .*0-360",
    "valid_min = 3\nvalid_max = 2": "valid_min must be below valid_max",
    "seasonal_gap = true\nfill_radius_deg = 1": "a seasonal gap is never filled",
    "scale = 0": "scale must not be 0",
    'time = "yearly"': "a yearly layer needs years",
    "years = [2000]": 'years is for time = "yearly"',
    'time = "yearly"\nyears = [2000, 1990]': "years must be ascending",
    'time = "yearly"\nyears = [2000, 2000]': "years must be ascending, each once",
    "bounds = [0, 10, 20, 5]": "west < east and south < north",
    'files = { 1 = "a.tif" }': "either file or files",
    'files = { 1 = "a.tif" }\ntime = "monthly"': "either file or files",
    "crop = [0, 10, 20, 5]": "crop must be west < east and south < north",
    "select = { depth = [5, 10] }": "with as many weights",
    "select = { depth = [5, 10] }\nweights = [5]": "with as many weights",
    "select = { depth = 5 }\nweights = [5]": "with as many weights",
    "select = { depth = [5, 10] }\nweights = [5, 0]": r"weights\.1",
    'per_day = true\nunits = "mm"': 'per_day is for kind = "amount", time = "monthly"',
    'per_day = true\ntime = "monthly"': "state those of the totals",
    "at_least = 999": 'at_least gives classes 0 and 1: declare kind = "class"',
    "band = 0": r"layer\.0\.band",
    "[soil_mask]\nwater = [1]": "name land, landcover or both",
    '[soil_mask]\nland = "land"\nwater = [1]': "no landcover layer",
    '[soil_mask]\nlandcover = "c"\nwater = [1]\nice = [1]': "listed under two",
    '[[derive]]\nkind = "terain"\noutputs = ["slope"]': r"derive\.0",
    '[[derive]]\nkind = "terrain"\nelevation = "e"\noutputs = []': r"derive\.0.*outputs",
    LAYER: "two layers are called rain",
    LAYER.replace("rain", "Rain Fall"): r"layer\.1\.name",
    "[layers]": r'layers: unknown key; did you mean "layer"',
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InputError, match=WRONG[wrong]):
        read(tmp_path, LAYER + wrong + "\n")


@pytest.mark.parametrize("missing", ["name", "kind", "file"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    text = "\n".join(line for line in LAYER.splitlines() if not line.startswith(missing))
    with pytest.raises(InputError, match=missing):
        read(tmp_path, text)


def test_a_class_has_no_scale_and_no_mean(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classes have no scale or offset"):
        read(tmp_path, LAYER.replace("amount", "class") + "scale = 0.1\n")
    with pytest.raises(InputError, match='directional is for kind = "amount"'):
        read(tmp_path, LAYER.replace("amount", "class") + "directional = true\n")
    text = LAYER.replace("amount", "class") + "select = { depth = [1, 2] }\nweights = [1, 2]\n"
    with pytest.raises(InputError, match="classes are not averaged"):
        read(tmp_path, text)


def test_several_values_reach_the_engine(tmp_path: Path) -> None:
    (layer,) = read(tmp_path, LAYER + "select = { t = 3, z = [5, 10] }\nweights = [5, 5]\n").layers
    assert layer.select == (("t", 3), ("z", (5, 10)))
    assert layer.weights == (5, 5)


@pytest.mark.parametrize("month", ['13 = "m.tif"', 'jan = "m.tif"'])
def test_months_are_those_from_1_to_12(tmp_path: Path, month: str) -> None:
    text = LAYER.replace('file = "rain.tif"\n', "") + 'time = "monthly"\n'
    with pytest.raises(InputError, match=r"months from 1 to 12|all months"):
        read(tmp_path, text + f"files = {{ {month} }}\n")


def test_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert read(tmp_path, '[paths]\ndata = "data"\n' + LAYER).base == tmp_path / "data"
    assert read(tmp_path, LAYER, tmp_path / "data").base == tmp_path / "data"
    with pytest.raises(InputError, match=r"paths\.data: no folder .*absent; correct it.*--data"):
        read(tmp_path, '[paths]\ndata = "absent"\n' + LAYER)
    only_packages = LAYER.replace("rain.tif", "package:itur/rain")
    assert read(tmp_path, '[paths]\ndata = "absent"\n' + only_packages).layers


def test_a_missing_or_broken_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_cube_spec(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="not readable as TOML"):
        read(tmp_path, "[[layer")


@pytest.mark.parametrize(
    "name", ["world_cube", "demo_cube", "rothc_world_cube", "rothc_south_america_cube"]
)
def test_our_own_cubes_are_readable_and_complete(tmp_path: Path, name: str) -> None:
    spec = read_cube_spec(RECIPES / f"{name}.toml", tmp_path)
    names = {layer.name for layer in spec.layers}
    assert {terrain.elevation for terrain in spec.terrain} <= names
    for climate in spec.climate:
        assert {climate.temperature, climate.rain} <= names
        assert set(climate.outputs) <= {*CLIMATE_OUTPUTS, "koeppen"}
    assert spec.soil_mask is not None
    assert {spec.soil_mask.land, spec.soil_mask.landcover} <= names
    for layer in spec.layers:
        if not layer.file.startswith("package:"):
            assert layer.source, layer.name
            assert layer.licence, layer.name
            assert layer.citation, layer.name
