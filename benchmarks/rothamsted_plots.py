"""The ley-arable experiments of Rothamsted (Highfield and Fosters) as sites and years.

Percent carbon of 0-23 cm becomes a stock by each field's density at the start: density was measured
once, and a layer of constant soil mass is what can be compared through time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.hybrid.site_years import Climate, Drivers, SiteYears

from .hoosfield import CLAY, DEPTH, PAN, RAIN, TEMPERATURE

#: Folder, name, density at the start (g/cm³, as the data state it).
FIELDS = (
    ("01-HLA-SOC4814", "Highfield", 0.944),
    ("01-FLASOC5014", "Fosters", 1.176),
)
#: Code of a rotation to the class of land use. What is not named is left out: F and Al, fallow and
#: arable from 2009 on, where there had been leys.
CLASS_OF = {
    "A": "arable",
    **dict.fromkeys(("L", "Lc", "Ln", "Lu", "Cg", "Lc (Lc)", "Lc (Ln)", "Lc (Lu)"), "ley-arable"),
    **dict.fromkeys(("G", "Gc", "Gn", "[G]", "[Gc]"), "permanent grass"),
    **dict.fromkeys(("R", "Rc", "Rn"), "reseeded grass"),
    **dict.fromkeys(("Rp", "Rpc", "Rpn"), "grass, arable 1963-1972"),
}
#: RothC's ratios for crops and for grassland.
DPM_RPM = {"arable": 1.44, "ley-arable": 1.0}
GRASS = 0.67
#: Potential evapotranspiration of an average year, from the open pan.
PET = tuple(0.75 * pan for pan in PAN)


@dataclass(frozen=True, eq=False)
class Plots:
    """Plots of both experiments.

    Parameters
    ----------
    data
        Sites and years; stocks of all dates.
    name, field, use
        Of each plot: ``Highfield 09/10``, its field, its class of land use.
    """

    data: SiteYears
    name: NDArray[np.str_]
    field: NDArray[np.str_]
    use: NDArray[np.str_]


def read_plots(folder: Path, fewest: int = 5) -> Plots:
    """Return plots measured in at least `fewest` years.

    Parameters
    ----------
    folder
        ``rothamsted`` of the open data.
    fewest
        Dates that a plot must have.
    """
    table = pd.concat([_read(folder / name, *rest) for name, *rest in FIELDS])
    wide = table.pivot_table(index=["plot", "field", "use"], columns="year", values="stock")
    wide = wide[wide.notna().sum(axis=1) >= fewest].sort_index()
    years = np.arange(int(wide.columns.min()), int(wide.columns.max()) + 1)
    stock = wide.reindex(columns=years).to_numpy()
    name, field, use = (wide.index.get_level_values(i).to_numpy(str) for i in range(3))
    sites, uses = len(wide), sorted(set(use))
    codes = np.array([uses.index(u) for u in use])
    static = np.stack([field == "Highfield", codes], axis=1).astype(np.float32)
    passed = np.broadcast_to(years - years[0], (sites, len(years)))
    drivers = Drivers(
        years=years,
        climate=_average_year(sites),
        input_driver=np.ones((len(years), sites)),
        cover=np.ones((12, sites)),
        dpm_rpm=np.array([DPM_RPM.get(u, GRASS) for u in use]),
        clay=np.full(sites, CLAY),
        depth_cm=DEPTH,
    )
    data = SiteYears(
        drivers=drivers,
        stock=stock,
        static=static,
        yearly=passed[:, :, None].astype(np.float32),
        static_names=("field", "use"),
        yearly_names=("year",),
        # one place: folds by place hold out one plot at a time
        lon=np.round(-0.36 + 0.01 * np.arange(sites), 4),
        lat=np.full(sites, 51.8),
        source=field.astype(object),
    )
    return Plots(data, name, field, use)


def _read(folder: Path, field: str, density: float) -> pd.DataFrame:
    """Return mean stocks of a field's main plots, kg/m², by year."""
    table = pd.read_csv(folder / "soil_data.csv", na_values="*", skipinitialspace=True)
    table = table[table["percent_soc"].notna() & table["year"].notna()].copy()
    table["stock"] = table["percent_soc"] / 100 * density * 1000 * DEPTH / 100
    table["year"] = table["year"].astype(int)
    begun = table[table["year"] == table["year"].min()]
    table = table[table["main_plot"].notna()].copy()
    table["plot"] = [_plot(field, plot) for plot in table["main_plot"]]
    table["use"] = table["rotation_factor_level_code"].str.strip().map(CLASS_OF)
    table = table[table["use"].notna() & (table["soil_depth"] == "0-23")].copy()
    # a plot of arable in 1951 that became a ley is a ley
    last = table.sort_values("year").groupby("plot")["use"].last()
    start = pd.DataFrame({"plot": last.index, "year": begun["year"].iloc[0]})
    start["stock"] = begun["stock"].mean()
    table = pd.concat([table[table["year"] > begun["year"].iloc[0]], start], ignore_index=True)
    table["use"] = table["plot"].map(last)
    table["field"] = field
    return table.groupby(["plot", "field", "use", "year"], as_index=False)["stock"].mean()


def _plot(field: str, numbers: str) -> str:
    """Return one name of a plot, which the files spell 09/10 and 009/010."""
    first, second = numbers.strip().split("/")
    return f"{field} {int(first):02d}/{int(second):02d}"


def _average_year(sites: int) -> Climate:
    """Return Rothamsted's average year at every plot."""
    rows = (
        np.repeat(np.array(values)[:, None], sites, axis=1) for values in (TEMPERATURE, RAIN, PET)
    )
    return Climate(*rows)
