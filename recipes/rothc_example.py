"""An example of the official RothC input file, with numbers of our own."""

from __future__ import annotations

import numpy as np

from edaphos.engine.rothc_input import SiteInput, site_input_text

COMMENTS = (
    "RothC-26.3 input: clay %, depth of the layer cm, IOM t C/ha, nsteps months in all.",
    "Year 1 is repeated until the soil is at equilibrium; the later years are run once, in order.",
    "modern % modern; Tmp degC; Rain, Evap (open pan) mm; C_inp, FYM t C/ha; PC 1 covered, 0 bare.",
)
FIRST, YEARS = 2001, 20
MANURED_FROM = 2006


def example_site() -> SiteInput:
    """Return a temperate field under wheat that is manured from its sixth year on."""
    n = YEARS + 1
    month = np.tile(np.arange(1, 13), n)
    year = np.repeat([1, *range(FIRST, FIRST + YEARS)], 12)
    season = np.cos(2 * np.pi * (month - 7) / 12)  # 1 in July
    grown = np.isin(month, (4, 5, 6, 7))
    return SiteInput(
        clay=21.0,
        depth=23.0,
        iom=3.1,
        year=year,
        month=month,
        modern=np.full(12 * n, 100.0),
        temperature=np.round(9.8 + 7.4 * season, 1),
        rain=np.round(57 + 8 * np.cos(2 * np.pi * (month - 11) / 12), 1),
        evaporation=np.round(56 + 49 * season, 1),
        plant_input=np.where(grown, np.round(0.14 * (month - 3), 2), 0.0),
        manure=np.where((year >= MANURED_FROM) & (month == 10), 1.5, 0.0),
        cover=np.where(np.isin(month, (8, 9, 10)), 0.0, 1.0),
        dpm_rpm=np.full(12 * n, 1.44),
    ).checked()


def example_text() -> str:
    """Return the example in the official layout."""
    return site_input_text(example_site(), COMMENTS)
