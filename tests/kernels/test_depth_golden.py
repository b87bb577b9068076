"""The spline against R's mpspline2: its parameters, and its means by slices of 1 cm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edaphos.kernels.depth import fit_spline
from edaphos.kernels.depth_means import interval_means, slice_means

FOLDER = Path(__file__).parents[1] / "golden" / "spline"
INPUTS = pd.read_csv(FOLDER / "spline_inputs.csv")
PROFILES = INPUTS["SID"].drop_duplicates().tolist()
NUMBER = INPUTS.groupby("SID", sort=False).size().to_numpy()
OFFSETS = np.concatenate([[0], np.cumsum(NUMBER)])
LAMBDAS = (0.01, 0.1, 1.0)
COLUMNS = {"mean": "s_bar", "b0": "b0", "b1": "b1", "gamma": "gamma", "alfa": "alfa"}


def curve(lam: float):
    return fit_spline(INPUTS["UD"], INPUTS["LD"], INPUTS["VAL"], OFFSETS, lam)


def golden(name: str, lam: float) -> pd.DataFrame:
    table = pd.read_csv(FOLDER / f"spline_{name}.csv")
    return table[table["lam"] == lam]


@pytest.mark.parametrize("lam", LAMBDAS)
def test_parameters_are_those_of_the_reference(lam: float) -> None:
    expected, found = golden("params", lam), curve(lam)
    splined = np.repeat(NUMBER > 1, NUMBER)  # the reference has none for a profile of one layer
    assert expected["SID"].tolist() == INPUTS["SID"][splined].tolist()
    for ours, theirs in COLUMNS.items():
        np.testing.assert_allclose(
            getattr(found, ours)[splined], expected[theirs], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("lam", LAMBDAS)
@pytest.mark.parametrize("scheme", ["gsm", "d20"])
def test_means_of_slices_are_those_of_the_reference(lam: float, scheme: str) -> None:
    expected = golden("layers", lam)
    expected = expected[expected["scheme"] == scheme]
    assert expected["SID"].drop_duplicates().tolist() == PROFILES
    upper, lower = expected["upper"].unique(), expected["lower"].unique()
    found = slice_means(curve(lam), upper, lower)
    wanted = expected["est"].to_numpy().reshape(found.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_slices_lie_above_the_integral_where_carbon_falls_with_depth() -> None:
    """By the thickness of a slice times half the mean slope: 4.5 % at 5-15 cm under forest."""
    found = curve(0.1)
    sliced = slice_means(found, [5], [15])[:, 0]
    exact = interval_means(found, [5], [15]).value[:, 0]
    assert sliced[PROFILES.index("soc_forest")] / exact[
        PROFILES.index("soc_forest")
    ] == pytest.approx(1.045, abs=0.001)
    assert sliced[PROFILES.index("soc_const")] == pytest.approx(
        exact[PROFILES.index("soc_const")], rel=1e-14
    )


def test_slices_need_whole_centimetres() -> None:
    with pytest.raises(ValueError, match="whole centimetres"):
        slice_means(curve(0.1), [0], [7.5])
