from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.assess.strata import (
    DEPTH_LABELS,
    KoeppenSource,
    depth_groups,
    koeppen_zones,
    row_strata,
    tercile_stratum,
)
from edaphos.engine.errors import InputError
from edaphos.engine.samples import Samples
from edaphos.kernels.climate import KOEPPEN_NAMES_32, koeppen

from ..assess_world import make_samples


@pytest.mark.parametrize(
    ("top", "bottom", "label"),
    [
        (0, 5, "0-5 cm"),
        (0, 10, "5-15 cm"),
        (0, 20, "5-15 cm"),
        (0, 30, "15-30 cm"),
        (29, 30, "15-30 cm"),
        (20, 40, "30-60 cm"),
        (100, 200, "100-200 cm"),
        (190, 210, "200+ cm"),
        (-3, 10, "above 0 cm"),
    ],
)
def test_depth_group_by_midpoint(top, bottom, label):
    assert DEPTH_LABELS[depth_groups(np.array([float(top)]), np.array([float(bottom)]))[0]] == label


def test_every_row_is_in_one_group_of_each_partition():
    samples = make_samples()
    strata = {s.by: s for s in row_strata(samples, koeppen_zones(samples, KoeppenSource()))}
    partitions = ("all", "depth", "source", "source_depth", "koeppen_group", "koeppen_zone")
    for by in (*partitions, "koeppen_depth"):
        assert strata[by].codes.min() >= 0
        assert strata[by].codes.max() < len(strata[by].labels)
    topsoil = strata["topsoil"].codes == 0
    middle = (samples.top + samples.bottom) / 2
    np.testing.assert_array_equal(topsoil, middle < 30)
    cross = strata["source_depth"]
    i = 17
    expected = f"{samples.table['source'][i]}, {DEPTH_LABELS[strata['depth'].codes[i]]}"
    assert cross.labels[cross.codes[i]] == expected
    cross, group = strata["koeppen_depth"], strata["koeppen_group"]
    for i in (0, 17, 444):
        depth = DEPTH_LABELS[strata["depth"].codes[i]]
        assert cross.labels[cross.codes[i]] == f"{group.labels[group.codes[i]]}, {depth}"


def test_rows_of_no_zone_are_in_no_group_by_zone_and_depth():
    samples = make_samples()
    zones = koeppen_zones(samples, KoeppenSource())
    assert zones is not None
    zones = np.where(np.arange(len(zones)) % 7 == 0, "", zones)
    cross = next(s for s in row_strata(samples, zones) if s.by == "koeppen_depth")
    np.testing.assert_array_equal(cross.codes == -1, zones == "")


def test_zones_come_from_monthly_climate_before_a_column():
    samples = make_samples()
    zones = koeppen_zones(samples, KoeppenSource())
    t, p = (
        samples.table[[f"{v}_{m:02d}" for m in range(1, 13)]].to_numpy().T
        for v in ("temperature", "rain")
    )
    codes = koeppen(t, p)
    assert len(set(zones)) > 3
    table = samples.table.drop(columns=[f"rain_{m:02d}" for m in range(1, 13)])
    assert koeppen_zones(Samples(table, ()), KoeppenSource()) is None
    coded = Samples(table.assign(koeppen=np.where(np.arange(len(codes)) < 3, -1, codes)), ())
    from_codes = koeppen_zones(coded, KoeppenSource())
    assert (from_codes[:3] == "").all()
    np.testing.assert_array_equal(from_codes[3:], zones[3:])


def test_another_legend_must_be_given():
    table = make_samples().table[["profile_id"]].assign(koeppen=31.0)
    with pytest.raises(InputError, match=r"legend.*31"):
        koeppen_zones(Samples(table, ()), KoeppenSource())
    zones = koeppen_zones(Samples(table, ()), KoeppenSource(names=KOEPPEN_NAMES_32))
    assert set(zones) == {"ET"}


def test_temperatures_that_are_not_degrees_are_named():
    samples = make_samples()
    names = [f"temperature_{m:02d}" for m in range(1, 13)]
    table = samples.table.copy()
    table[names] *= 10
    with pytest.raises(InputError, match="°C"):
        koeppen_zones(Samples(table, ()), KoeppenSource())


def test_terciles_hold_a_third_each():
    mean = np.r_[np.nan, np.random.default_rng(1).normal(size=300)]
    stratum = tercile_stratum(mean)
    assert stratum.codes[0] == -1
    assert np.bincount(stratum.codes[1:]).tolist() == [100, 100, 100]
    assert mean[stratum.codes == 0].max() < mean[stratum.codes == 2].min()
