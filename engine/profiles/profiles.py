"""Soil profiles: reads tables of layers, checks them, and reports what became of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InputError
from ..progress import QUIET, Reporter
from .audit import Audit
from .coordinates import LandTest, check_coordinates, check_whole_file
from .declustering import decluster_weights
from .harmonise_report import HarmoniseReport
from .qa import (
    check_depths,
    check_duplicates,
    check_identity,
    check_layers,
    check_numbers,
    check_properties,
    check_selection,
    check_soc,
    check_years,
)
from .qa_report import QAReport, SourceSummary
from .readers import RawProfiles, read_profiles
from .schema import COLUMNS, ProfileFile, QARules
from .units import (
    convert_bulk_density,
    convert_coarse_fraction,
    convert_texture,
    declared_soc,
)

__all__ = ["COLUMNS", "ProfileFile", "Profiles", "QARules", "check_profiles", "load_profiles"]


@dataclass(frozen=True)
class Profiles:
    """A clean table of soil layers with the report on what was done to it.

    Parameters
    ----------
    table
        The columns of :data:`COLUMNS`, then ``location_id`` (rounded coordinates, shared by
        co-located profiles of all sources), ``replicates`` (rows that share profile, year and
        depths), ``flags`` (names of the rules that flagged the layer, separated by blanks),
        ``file`` and ``row`` (1 is the first row of data). Sorted by source, profile, year, depth
        and row.
    report
        What was dropped, flagged and converted, by rule and source.
    rejected
        Every dropped row as it stood, with ``file``, ``row``, ``rule`` and ``reason`` first.
    harmonised
        What became of layers that were turned into depths, which `table` then holds.
    """

    table: pd.DataFrame
    report: QAReport
    rejected: pd.DataFrame
    harmonised: HarmoniseReport | None = None

    def __len__(self) -> int:
        return len(self.table)

    def weights(self, cell_deg: float) -> NDArray[np.float64]:
        """Return declustering weights of the layers, mean 1; replicates share one weight."""
        return decluster_weights(
            self.table["lon"],
            self.table["lat"],
            cell_deg,
            profile=self.table["profile_id"],
            replicates=self.table["replicates"],
        )


def load_profiles(
    files: Sequence[ProfileFile],
    rules: QARules | None = None,
    reporter: Reporter = QUIET,
    *,
    land: LandTest | None = None,
) -> Profiles:
    """Read soil layers, apply the rules, and report each drop, flag and conversion.

    Parameters
    ----------
    files
        Files, the preferred one first (its copy is kept of a profile found in several).
    rules
        The rules; by default :class:`QARules` as it comes.
    reporter
        Told about each file and the outcome.
    land
        Tells land from sea, shape ``(n,)`` each; with it, swapped coordinates are also recognised
        where both orders are possible.

    Returns
    -------
    Profiles
        Rows read are rows kept plus rows rejected.

    Raises
    ------
    InputError
        Where a file cannot be read, lacks columns, has longitude and latitude swapped or another
        unit of SOC than declared, a source is misspelt in the rules, or no layer is left.
    """
    rules = rules or QARules()
    if not files:
        raise InputError("profiles: at least one file was expected, none was given")
    raws = []
    for file in files:
        raws.append(read_profiles(file))
        check_whole_file(raws[-1], land)
        reporter.say(f"profiles: {len(raws[-1].table):,} layers in {Path(file.path).name}")
    found = dict.fromkeys(str(name) for raw in raws for name in raw.table["source"].unique())
    rules.check_names(list(found))
    tables = [declared_soc(raw, rules.exclude_sources) for raw in raws]
    table = pd.concat([t.assign(file_no=i) for i, t in enumerate(tables)], ignore_index=True)
    profiles = _examine(table, raws, rules, land)
    report = profiles.report
    reporter.say(
        f"profiles: {report.rows_kept:,} of {report.rows_in:,} layers kept, "
        f"{report.rows_dropped:,} dropped"
    )
    return profiles


def check_profiles(
    files: Sequence[ProfileFile | Path | str],
    rules: QARules | None = None,
    reporter: Reporter = QUIET,
    *,
    land: LandTest | None = None,
) -> Profiles:
    """Load profiles from files or bare paths, whose format and columns are then recognised.

    Parameters and errors are those of :func:`load_profiles`.
    """
    known = [file if isinstance(file, ProfileFile) else ProfileFile(file) for file in files]
    return load_profiles(known, rules, reporter, land=land)


def _examine(
    table: pd.DataFrame, raws: Sequence[RawProfiles], rules: QARules, land: LandTest | None
) -> Profiles:
    audit = Audit(table)
    units = [raw.summary.units for raw in raws]
    check_identity(audit)
    check_numbers(audit)
    convert_bulk_density(audit, [unit["bulk_density"] for unit in units])
    convert_coarse_fraction(audit, [unit["coarse_fraction"] for unit in units])
    convert_texture(audit, [unit["texture"] for unit in units])
    check_selection(audit, rules)
    check_coordinates(audit, land)
    check_depths(audit, rules)
    check_soc(audit, rules)
    check_years(audit, rules)
    check_properties(audit, rules)
    check_duplicates(audit, rules)
    check_layers(audit, rules)
    report = QAReport(
        tuple(raw.summary for raw in raws), _summaries(table, audit.table), tuple(audit.lines)
    )
    if audit.table.empty:
        raise InputError(
            f"profiles: none of {len(table):,} layers meets the rules:\n{report.to_text()}"
        )
    rejected = audit.rejected()[["file", "row", "rule", "reason", *COLUMNS]]
    return Profiles(_tidy(audit, rules), report, rejected)


def _tidy(audit: Audit, rules: QARules) -> pd.DataFrame:
    table = audit.table.assign(flags=audit.flags())
    decimals = rules.location_decimals
    # Adding zero turns -0.0 into 0.0, so that one place has one name.
    lon, lat = table["lon"].round(decimals) + 0.0, table["lat"].round(decimals) + 0.0
    form = f"{{:.{decimals}f}}".format
    table["location_id"] = lon.map(form) + "," + lat.map(form)
    order = ["source", "profile_id", "year", "top_cm", "bottom_cm", "file_no", "row"]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    return table[[*COLUMNS, "location_id", "replicates", "flags", "file", "row"]]


def _summaries(before: pd.DataFrame, after: pd.DataFrame) -> tuple[SourceSummary, ...]:
    summaries = []
    for source, rows in before.groupby("source", sort=False):
        kept = after[after["source"] == source]
        summaries.append(
            SourceSummary(
                str(source),
                len(rows),
                len(kept),
                kept["profile_id"].nunique(),
                int(kept["year"].isna().sum()),
                float(kept["soc_g_kg"].median()) if len(kept) else 0.0,
            )
        )
    return tuple(summaries)
