"""The working table of quality assurance: drops, flags and conversions, each of them recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .qa_report import Action, QALine, lines_by_source


class Audit:
    """A profile table under examination; every change goes through a method that records it.

    Parameters
    ----------
    table
        Columns of :data:`~edaphos.engine.profiles.schema.COLUMNS` plus ``file`` and ``row``, with a
        unique index.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.lines: list[QALine] = []
        self._rejected: list[pd.DataFrame] = []
        self._flags: list[tuple[str, pd.Index[Any]]] = []

    def __len__(self) -> int:
        return len(self.table)

    def values(self, column: str) -> NDArray[np.float64]:
        """Return a numeric column as float64."""
        return self.table[column].to_numpy(np.float64)

    def drop(self, mask: NDArray[np.bool_], rule: str, why: str, detail: Any = None) -> None:
        """Take the rows out of the table and write them down with their reason.

        `detail`, aligned with the table, gives a reason for each row in place of `why`.
        """
        if not mask.any():
            return
        part = self.table[mask]
        self._log(part, rule, "dropped", why)
        reason = why if detail is None else np.asarray(detail, dtype=object)[mask]
        self._rejected.append(part.assign(rule=rule, reason=reason))
        self.table = self.table[~mask]

    def flag(self, mask: NDArray[np.bool_], rule: str, why: str) -> None:
        """Mark rows that stay in the table."""
        if mask.any():
            self._log(self.table[mask], rule, "flagged", why)
            self._flags.append((rule, self.table.index[mask]))

    def note(self, mask: NDArray[np.bool_], rule: str, why: str) -> None:
        """Record something found, which leaves the rows as they are and unmarked."""
        if mask.any():
            self._log(self.table[mask], rule, "noted", why)

    def drop_or_flag(self, choice: str, mask: NDArray[np.bool_], rule: str, why: str) -> None:
        """Drop or flag rows, as the user chose."""
        (self.drop if choice == "drop" else self.flag)(mask, rule, why)

    def convert(
        self, mask: NDArray[np.bool_], column: str, values: NDArray[Any], rule: str, why: str
    ) -> None:
        """Replace values of a column where `mask` is true; `values` is aligned with the table."""
        if mask.any():
            self._log(self.table[mask], rule, "converted", why)
            self._set(column, mask, values)

    def blank(self, mask: NDArray[np.bool_], column: str, rule: str, why: str) -> None:
        """Set values of a column to missing where `mask` is true."""
        if mask.any():
            self._log(self.table[mask], rule, "set missing", why)
            self._set(column, mask, np.full(len(self.table), np.nan))

    def rejected(self) -> pd.DataFrame:
        """Return all dropped rows with ``file``, ``row``, ``rule`` and ``reason`` first."""
        first = ["file", "row", "rule", "reason"]
        if not self._rejected:
            return self.table.iloc[:0].assign(rule="", reason="")[
                [*first, *self.table.columns.difference(first, sort=False)]
            ]
        table = pd.concat(self._rejected).sort_index()
        return table[[*first, *[c for c in table if c not in first]]].reset_index(drop=True)

    def flags(self) -> pd.Series[str]:
        """Return the rules that flagged each remaining row, separated by blanks."""
        text = pd.Series(np.full(len(self.table), "", dtype=object), index=self.table.index)
        for rule, rows in self._flags:
            here = rows.intersection(text.index)
            text.loc[here] = text.loc[here] + (rule + " ")
        return text.str.strip()

    def _set(self, column: str, mask: NDArray[np.bool_], values: NDArray[Any]) -> None:
        new = self.table[column].to_numpy(copy=True)
        new[mask] = values[mask]
        self.table = self.table.assign(**{column: new})

    def _log(self, part: pd.DataFrame, rule: str, action: Action, why: str) -> None:
        self.lines += lines_by_source(part, rule, action, why)
