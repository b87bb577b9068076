"""Reads soil layers from CSV, GeoPackage, Parquet and WoSIS files into one table."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .columns import soc_unit, take_columns
from .qa_report import FileSummary
from .schema import COLUMNS, NUMERIC, ProfileFile
from .wosis import is_wosis2023, is_wosis_wide, read_wosis2023, wosis_wide_columns

#: Factors from a declared depth unit to cm.
_DEPTH_TO_CM = {"cm": 1.0, "m": 100.0, "mm": 0.1}


@dataclass(frozen=True)
class RawProfiles:
    """Layers of one file as found, in our columns.

    Parameters
    ----------
    table
        Our columns (numbers as float64, year as float64), ``file``, ``row`` (1 is the first row of
        data) and ``unreadable`` (columns in which the row holds no number).
    summary
        How it was read.
    file
        The file's description.
    """

    table: pd.DataFrame
    summary: FileSummary
    file: ProfileFile


def read_profiles(file: ProfileFile) -> RawProfiles:
    """Read one file.

    Raises
    ------
    InputError
        Where the file is missing, unreadable or empty, or lacks columns.
    """
    path = Path(file.path)
    if not path.exists():
        raise InputError(f"{path}: no such profile file")
    form = _format(file, path)
    if form == "wosis2023":
        frame, taken, units = read_wosis2023(path)
    else:
        frame, taken = _read_columns(file, path, form)
        units = _units(file, taken, form)
    if frame.empty:
        raise InputError(f"{path}: a profile table with rows was expected, it has none")
    table = _standard(frame, file, taken, units, form)
    summary = FileSummary(
        path.name, form, len(table), taken, units, licence=file.licence, citation=file.citation
    )
    return RawProfiles(table, summary, file)


def parse_year(values: pd.Series[Any]) -> pd.Series[float]:
    """Return years from numbers or from date texts, whole or partial.

    >>> parse_year(pd.Series(["2001-??-??", "1984-07-01", "?", "19620503"])).tolist()
    [2001.0, 1984.0, nan, 1962.0]
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.dt.year.astype(np.float64)
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    text = values.astype("string").str.extract(r"((?:1[6-9]|20)\d\d)", expand=False)
    years = pd.to_numeric(text, errors="coerce").astype(np.float64)
    plain_year = numbers.notna() & (numbers.abs() < 9999)
    return numbers.where(plain_year, years)


def _format(file: ProfileFile, path: Path) -> str:
    if file.format != "auto":
        return file.format
    if path.is_dir():
        return "wosis2023"
    suffix = path.suffix.lower()
    if suffix in (".gpkg", ".parquet"):
        return suffix[1:]
    header = _text_header(path)[0]
    if is_wosis2023(path, header):
        return "wosis2023"
    return "wosis" if is_wosis_wide(header) else "csv"


def _read_columns(file: ProfileFile, path: Path, form: str) -> tuple[pd.DataFrame, dict[str, str]]:
    try:
        if form == "gpkg":
            return _read_geopackage(file, path)
        if form == "parquet":
            return _read_parquet(file, path)
        return _read_text(file, path, form)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be read as {form}: {error}") from error


def _read_text(file: ProfileFile, path: Path, form: str) -> tuple[pd.DataFrame, dict[str, str]]:
    header, separator, encoding = _text_header(path)
    known = file
    if form == "wosis":
        known = ProfileFile(file.path, columns={**wosis_wide_columns(header), **file.columns})
    taken = take_columns(header, known)
    names = ("profile_id", "source", "positional_uncertainty")
    frame = pd.read_csv(
        path,
        sep=separator,
        encoding=encoding,
        usecols=list(dict.fromkeys(taken.values())),
        dtype={taken[name]: "str" for name in names if name in taken},
        low_memory=False,
    )
    return frame, taken


def _text_header(path: Path) -> tuple[list[str], str, str]:
    """Return column names, separator and encoding of a text table."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            head = stream.read(1 << 16)
            try:
                head.decode("utf-8")
                encoding = "utf-8-sig"
            except UnicodeDecodeError as error:
                encoding = "utf-8-sig" if error.start > len(head) - 4 else "latin-1"
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    first = head.split(b"\n", 1)[0].decode(encoding, "replace").strip("\r")
    if not first.strip():
        raise InputError(f"{path}: a table with a header line was expected, the file is empty")
    separator = max(",\t;|", key=first.count)
    try:
        frame = pd.read_csv(path, sep=separator, encoding=encoding, nrows=0)
    except (ValueError, UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a text table: {error}") from error
    return [str(name) for name in frame.columns], separator, encoding


def _read_parquet(file: ProfileFile, path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    import pyarrow.parquet as parquet

    taken = take_columns(list(parquet.read_schema(path).names), file)
    return pd.read_parquet(path, columns=list(dict.fromkeys(taken.values()))), taken


def _read_geopackage(file: ProfileFile, path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    import geopandas
    import pyogrio

    layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    if file.layer is None and len(layers) != 1:
        raise InputError(f"{path}: has the layers {', '.join(layers)}; say which, as layer")
    if file.layer is not None and file.layer not in layers:
        raise InputError(f'{path}: no layer "{file.layer}"; it has {", ".join(layers)}')
    frame = geopandas.read_file(path, layer=file.layer or layers[0])
    has_points = isinstance(frame, geopandas.GeoDataFrame)
    found = [str(c) for c in frame.columns if not has_points or c != frame.geometry.name]
    taken = take_columns(found, file, has_points=has_points)
    table = pd.DataFrame(frame[list(dict.fromkeys(taken.values()))])
    if "lon" not in taken or "lat" not in taken:
        if frame.crs is None:
            raise InputError(
                f"{path}: its points have no coordinate system; set one in the file, or map "
                "columns.lon and columns.lat"
            )
        points = frame.geometry.to_crs(4326).representative_point()
        table["geometry x"], table["geometry y"] = points.x.to_numpy(), points.y.to_numpy()
        taken = {**taken, "lon": "geometry x", "lat": "geometry y"}
    return table, taken


def _units(file: ProfileFile, taken: dict[str, str], form: str) -> dict[str, str]:
    units = {
        name: file.unit(name) for name in ("bulk_density", "coarse_fraction", "texture", "depth")
    }
    if form == "wosis" and "coarse_fraction" not in file.units:
        units["coarse_fraction"] = "%"
    nitrogen = file.unit("nitrogen")
    return {"soc": soc_unit(file, taken), **units, "nitrogen": nitrogen, "lon": file.unit("lon")}


def _standard(
    frame: pd.DataFrame, file: ProfileFile, taken: dict[str, str], units: dict[str, str], form: str
) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    unreadable = pd.Series("", index=frame.index, dtype=object)
    for name in NUMERIC:
        columns[name], bad = _numbers(frame, taken.get(name))
        unreadable = unreadable.where(~bad, unreadable + (name + " "))
    depth = _DEPTH_TO_CM[units["depth"]]
    columns["top_cm"], columns["bottom_cm"] = (
        columns["top_cm"] * depth,
        columns["bottom_cm"] * depth,
    )
    if units["nitrogen"] == "%":
        columns["nitrogen_g_kg"] = columns["nitrogen_g_kg"] * 10.0
    if units["lon"] == "0..360":
        columns["lon"] = columns["lon"].where(columns["lon"] <= 180, columns["lon"] - 360)
    columns["year"] = parse_year(frame[taken["year"]]) if "year" in taken else np.nan
    columns["litter"] = _truth(frame, taken.get("litter"))
    for name in ("profile_id", "positional_uncertainty"):
        columns[name] = _text(frame, taken.get(name))
    columns["source"] = _source(frame, file, taken, form)
    table = pd.DataFrame(columns, index=frame.index)[list(COLUMNS)]
    table["file"] = Path(file.path).name
    table["row"] = np.arange(1, len(table) + 1)
    table["unreadable"] = unreadable.str.strip()
    return table


def _source(
    frame: pd.DataFrame, file: ProfileFile, taken: dict[str, str], form: str
) -> pd.Series[Any]:
    """Return the source of each row: its column, the declared name, or that of the file."""
    stem = "WoSIS" if form.startswith("wosis") else Path(file.path).name.split(".")[0]
    default = file.source or stem
    if "source" in taken and (file.source is None or "source" in file.columns):
        return _text(frame, taken["source"]).fillna(default)
    return pd.Series(default, frame.index)


def _numbers(frame: pd.DataFrame, column: str | None) -> tuple[pd.Series[float], pd.Series[bool]]:
    """Return a column as float64, decimal commas understood, and where it holds no number."""
    if column is None:
        return pd.Series(np.nan, frame.index), pd.Series(False, frame.index)
    values = frame[column]
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(np.float64), pd.Series(False, frame.index)
    text = values.astype("string").str.strip().replace("", pd.NA)
    comma = text.str.fullmatch(r"-?\d+,\d+").fillna(False).astype(bool)
    text = text.where(~comma, text.str.replace(",", ".", regex=False))
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    bad = (text.notna() & numbers.isna()).astype(bool)
    return numbers.astype(np.float64), bad


def _truth(frame: pd.DataFrame, column: str | None) -> pd.Series[bool]:
    if column is None:
        return pd.Series(False, frame.index)
    return frame[column].astype("string").str.lower().isin(["true", "t", "1", "1.0", "yes", "y"])


def _text(frame: pd.DataFrame, column: str | None) -> pd.Series[Any]:
    if column is None:
        return pd.Series(None, frame.index, dtype=object)
    values = frame[column]
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("string").str.strip().replace("", pd.NA).astype(object)
