"""What became of each row of the profile tables: the QA report, as data and as a text to read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table

Action = Literal["dropped", "flagged", "converted", "set missing", "noted"]


@dataclass(frozen=True)
class QALine:
    """One rule's outcome in one source."""

    rule: str
    source: str
    action: Action
    rows: int
    profiles: int
    why: str


def lines_by_source(part: pd.DataFrame, rule: str, action: Action, why: str) -> list[QALine]:
    """Return a line for each source among the rows that a rule touched."""
    return [
        QALine(rule, str(source), action, len(rows), rows["profile_id"].nunique(), why)
        for source, rows in part.groupby("source", sort=False)
    ]


@dataclass(frozen=True)
class SourceSummary:
    """Rows of one source before and after."""

    source: str
    rows_in: int
    rows_kept: int
    profiles_kept: int
    undated_rows: int
    median_soc_g_kg: float


@dataclass(frozen=True)
class FileSummary:
    """How a file was read: its format and which of its columns were taken for ours."""

    path: str
    format: str
    rows: int
    columns: Mapping[str, str]
    units: Mapping[str, str]
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class QAReport:
    """Every drop, flag and conversion by rule and source; rows dropped and kept are those read.

    Parameters
    ----------
    files
        How each file was read.
    sources
        Rows of each source in and out.
    lines
        Outcome of each rule that applied, in the order of the rules.
    """

    files: tuple[FileSummary, ...]
    sources: tuple[SourceSummary, ...]
    lines: tuple[QALine, ...]

    @property
    def rows_in(self) -> int:
        """Rows read."""
        return sum(s.rows_in for s in self.sources)

    @property
    def rows_kept(self) -> int:
        """Rows kept."""
        return sum(s.rows_kept for s in self.sources)

    @property
    def rows_dropped(self) -> int:
        """Rows dropped, over all rules."""
        return sum(line.rows for line in self.lines if line.action == "dropped")

    def count(self, rule: str, source: str | None = None) -> int:
        """Return the rows that a rule touched, in one source or in all."""
        return sum(
            line.rows for line in self.lines if line.rule == rule and source in (None, line.source)
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists; :meth:`from_json` reads them."""
        return {
            "files": [asdict(f) for f in self.files],
            "sources": [asdict(s) for s in self.sources],
            "lines": [asdict(line) for line in self.lines],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QAReport:
        """Rebuild a report from :meth:`to_json`."""
        return cls(
            tuple(FileSummary(**f) for f in data["files"]),
            tuple(SourceSummary(**s) for s in data["sources"]),
            tuple(QALine(**line) for line in data["lines"]),
        )

    def to_text(self, width: int = 120) -> str:
        """Return the report as tables of text, `width` characters wide."""
        console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
        for file in self.files:
            console.print(_file_line(file), markup=False, soft_wrap=False)
        console.print(_source_table(self))
        if self.lines:
            console.print(rule_table(self.lines))
        console.print(
            f"{self.rows_in:,} rows read = {self.rows_kept:,} kept + {self.rows_dropped:,} dropped"
        )
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _file_line(file: FileSummary) -> str:
    taken = ", ".join(
        ours if ours == theirs else f"{ours} = {theirs}" for ours, theirs in file.columns.items()
    )
    units = ", ".join(f"{name} {unit}" for name, unit in file.units.items())
    licence = f"\n  licence: {file.licence}" if file.licence else ""
    head = f"{file.path} ({file.format}), {file.rows:,} rows"
    return f"{head}\n  columns: {taken}\n  units: {units}{licence}"


def _source_table(report: QAReport) -> Table:
    table = Table("source", title="Sources", title_justify="left")
    for name in ("rows read", "dropped", "kept", "profiles", "undated rows", "median SOC g/kg"):
        table.add_column(name, justify="right")
    for s in report.sources:
        table.add_row(
            s.source,
            f"{s.rows_in:,}",
            f"{s.rows_in - s.rows_kept:,}",
            f"{s.rows_kept:,}",
            f"{s.profiles_kept:,}",
            f"{s.undated_rows:,}",
            f"{s.median_soc_g_kg:.1f}" if s.rows_kept else "-",
        )
    return table


def rule_table(rules: tuple[QALine, ...]) -> Table:
    """Return the lines as a table, by action and rule."""
    table = Table(title="Rules", title_justify="left")
    table.add_column("rule", no_wrap=True)
    table.add_column("action")
    table.add_column("source")
    table.add_column("rows", justify="right")
    table.add_column("profiles", justify="right")
    table.add_column("why", ratio=1)
    for lines in _by_rule(rules):
        table.add_section()
        for i, line in enumerate(lines):
            same = i > 0 and line.why == lines[i - 1].why and line.action == lines[i - 1].action
            table.add_row(
                line.rule if i == 0 else "",
                "" if same else line.action,
                line.source,
                f"{line.rows:,}",
                f"{line.profiles:,}",
                "" if same else line.why,
            )
    return table


def _by_rule(lines: tuple[QALine, ...]) -> Iterator[list[QALine]]:
    order = {"dropped": 0, "converted": 1, "set missing": 2, "flagged": 3, "noted": 4}
    rules = dict.fromkeys((line.rule, line.action) for line in lines)
    for rule, action in sorted(rules, key=lambda item: order[item[1]]):
        yield [line for line in lines if line.rule == rule and line.action == action]
