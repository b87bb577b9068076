"""The carbon stock of each soil layer, as a column of a profile table.

``stock = SOC x bulk density x (1 - coarse fraction) x thickness`` of the row's own layer; an
unknown coarse fraction is taken as 0, which makes the stock an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from edaphos.kernels.stock import stock_kg_m2

from ..progress import QUIET, Reporter
from ..samples import Target
from .profiles import Profiles

#: What models of layer stocks learn.
STOCK_TARGET: Target = ("stock", "stock_kg_m2", "kg m-2")


@dataclass(frozen=True)
class LayerStockCounts:
    """How many layers got a stock, and what the others lack.

    Parameters
    ----------
    layers
        Rows of the table.
    stocks
        Those with a stock.
    without_density
        Those that hold carbon but no bulk density, and so no stock.
    without_fragments
        Of `stocks`, those whose unknown coarse fraction was taken as 0.
    """

    layers: int
    stocks: int
    without_density: int
    without_fragments: int

    def to_text(self) -> str:
        """Return the counts as one line."""
        parts = [f"{self.stocks:,} of {self.layers:,} layers have a carbon stock"]
        if self.without_density:
            parts.append(f"{self.without_density:,} lack bulk density")
        if self.without_fragments:
            parts.append(
                f"{self.without_fragments:,} have no coarse fraction, which is taken as 0: their "
                "stocks are upper bounds"
            )
        return "; ".join(parts)


def with_layer_stocks(table: pd.DataFrame) -> tuple[pd.DataFrame, LayerStockCounts]:
    """Return a profile table with the stock of each layer, ``stock_kg_m2``, NaN where unknown.

    Parameters
    ----------
    table
        A clean profile table, of layers as sampled or at depths.
    """
    soc, density, coarse, top, bottom = (
        table[name].to_numpy(np.float64)
        for name in ("soc_g_kg", "bulk_density_g_cm3", "coarse_fraction", "top_cm", "bottom_cm")
    )
    stock = stock_kg_m2(soc, density, bottom - top, np.nan_to_num(coarse))
    known = np.isfinite(stock)
    counts = LayerStockCounts(
        layers=len(table),
        stocks=int(known.sum()),
        without_density=int((np.isfinite(soc) & ~np.isfinite(density)).sum()),
        without_fragments=int((known & ~np.isfinite(coarse)).sum()),
    )
    return table.assign(**{STOCK_TARGET[1]: stock}), counts


def profiles_with_stocks(profiles: Profiles, reporter: Reporter = QUIET) -> Profiles:
    """Return profiles whose table has the stock of each layer."""
    table, counts = with_layer_stocks(profiles.table)
    reporter.say(counts.to_text())
    return replace(profiles, table=table)
