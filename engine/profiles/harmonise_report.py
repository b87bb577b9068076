"""What became of soil layers when they were turned into depths: as data and as a text to read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from .qa_report import QALine, rule_table


@dataclass(frozen=True)
class DepthCount:
    """Of one depth: how many profiles give a row, in part, or none though they reach it or not."""

    top_cm: float
    bottom_cm: float
    rows: int
    partly: int
    too_little: int
    not_reached: int


@dataclass(frozen=True)
class HarmoniseReport:
    """What became of the layers.

    Parameters
    ----------
    column
        The property that decided where rows are made.
    method
        ``spline`` or ``overlap``.
    lam
        λ of the spline.
    min_cover
        Share of a depth that must have been sampled.
    layers, profiles
        Mineral layers, and profiles at a date (all layers of one profile and year), that came in.
    rows
        Rows made, one for each profile and depth that it fills.
    surface
        Layers above the mineral soil, kept as they were.
    depths
        Counts by depth.
    values
        Rows that have a value, by property.
    moved_median, moved_p95
        By which share of its value smoothing moves a layer's mean: the median, and what 95 % of
        layers stay below.
    lines
        What became of layers, profiles and depths, by rule and source.
    """

    column: str
    method: str
    lam: float
    min_cover: float
    layers: int
    profiles: int
    rows: int
    surface: int
    depths: tuple[DepthCount, ...]
    values: Mapping[str, int]
    moved_median: float
    moved_p95: float
    lines: tuple[QALine, ...]

    def count(self, rule: str, source: str | None = None) -> int:
        """Return the rows that a rule touched, in one source or in all."""
        return sum(
            line.rows for line in self.lines if line.rule == rule and source in (None, line.source)
        )

    def profiles_of(self, rule: str) -> int:
        """Return the profiles that a rule touched."""
        return sum(line.profiles for line in self.lines if line.rule == rule)

    @property
    def way(self) -> str:
        """How depths were made, in words."""
        if self.method == "overlap":
            return "by the share of each layer in a depth"
        return f"by the mass-preserving spline (λ = {self.lam:g})"

    def summary(self) -> str:
        """Return the counts as one line."""
        by_depth = ", ".join(f"{d.top_cm:g}-{d.bottom_cm:g} cm {d.rows:,}" for d in self.depths)
        parts = [
            f"{self.layers:,} soil layers of {self.profiles:,} profiles at a date become "
            f"{self.rows:,} rows {self.way}: {by_depth}"
        ]
        told = {
            "no_value": f'layers have no "{self.column}"',
            "overlap_averaged": "lie in profiles with overlapping layers, which are averaged",
            "partly_sampled": "rows rest on a part of their depth",
            "one_layer": "rows repeat the only layer of their profile",
            "limited": "rows come from splines kept within what is possible",
            "clipped": "rows from layers whose smoothed mean was not possible",
        }
        parts += [f"{self.count(rule):,} {why}" for rule, why in told.items() if self.count(rule)]
        if self.count("profile_without_depth"):
            parts.append(
                f"{self.profiles_of('profile_without_depth'):,} profiles fill no depth to "
                f"{self.min_cover:.0%} and are left out"
            )
        if self.surface:
            parts.append(f"{self.surface:,} layers above the mineral soil stay as they are")
        if self.moved_p95:
            parts.append(
                f"smoothing moves the mean of a layer by {self.moved_median:.1%} (median; 95 % of "
                f"layers by less than {self.moved_p95:.0%})"
            )
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists; :meth:`from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HarmoniseReport:
        """Rebuild a report from :meth:`to_json`."""
        depths = tuple(DepthCount(**depth) for depth in data["depths"])
        lines = tuple(QALine(**line) for line in data["lines"])
        return cls(**{**data, "depths": depths, "lines": lines})

    def to_text(self, width: int = 120) -> str:
        """Return the report as tables of text, `width` characters wide."""
        console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
        console.print(_depth_table(self))
        if self.lines:
            console.print(rule_table(self.lines))
        console.print(self.summary(), markup=False)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _depth_table(report: HarmoniseReport) -> Table:
    table = Table("depth cm", title=f"Profiles by depth, {report.way}", title_justify="left")
    for name in ("rows", "of them in part", "sampled too little", "not reached"):
        table.add_column(name, justify="right")
    for d in report.depths:
        numbers = (d.rows, d.partly, d.too_little, d.not_reached)
        table.add_row(f"{d.top_cm:g}-{d.bottom_cm:g}", *(f"{n:,}" for n in numbers))
    return table
