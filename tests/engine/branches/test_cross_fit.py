"""Cross-fitting: what nets of a region say of rows that taught them nothing."""

from dataclasses import replace

import numpy as np
import pytest

from edaphos.engine.branches.cross_fit import RACED, without
from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.conv.learning_rows import CALIBRATE, LEARN, STOP

from ..branch_world import make_model

PARTS = 5


@pytest.fixture(scope="module")
def tuned(world, region):
    """A region whose dense layers were trained further."""
    return make_model(start=str(world[2]), fine_tuning={"ways": ("head",)}).fit(region)


def test_each_row_is_held_out_once_and_stops_one_net(tuned) -> None:
    held = tuned.fitted.held_out
    roles = np.stack([without(held.rows, held.part, out, PARTS).part for out in range(PARTS)])
    for role, times in ((CALIBRATE, 1), (STOP, 1), (LEARN, PARTS - 2)):
        assert ((roles == role).sum(axis=0) == times).all()
    blocks = held.rows.block
    assert all(len(np.unique(held.part[blocks == block])) == 1 for block in np.unique(blocks))
    assert len(tuned.fitted.nets.nets) == PARTS == len(tuned.fitted.trainings)


def test_what_is_held_out_knows_nothing_of_its_target(tuned, world, region) -> None:
    """Other targets in one part change what is said of the others, and not of that part."""
    before = tuned.fitted.held_out
    out = before.part == 2
    y = np.where(out, region.y * 1.4, region.y)
    y = np.clip(y, region.y.min(), region.y.max())  # what nets say is kept within
    told = {"ways": ("head",), "trust_units": True}
    other = replace(region, table=region.table.assign(y=y))
    after = make_model(start=str(world[2]), fine_tuning=told).fit(other).fitted.held_out
    np.testing.assert_array_equal(after.part, before.part)
    np.testing.assert_allclose(after.said.centre[out], before.said.centre[out], rtol=1e-9)
    assert (np.abs(after.said.centre - before.said.centre)[~out] > 1e-6).mean() > 0.9


def test_what_is_held_out_is_of_the_net_that_did_not_see_it(tuned, region) -> None:
    fitted, held = tuned.fitted, tuned.fitted.held_out
    for part, net in enumerate(fitted.nets.nets):
        at = np.flatnonzero(held.part == part)
        alone = replace(fitted.nets, nets=(net,))
        said = alone.of_rows(
            GroupSet.open(region.patches), held.rows.patch[at], held.rows.extra[at]
        )
        np.testing.assert_allclose(held.said.centre[at], alone.together(said).centre)


def test_a_correction_is_the_weighted_line_through_the_other_parts(world, region) -> None:
    told = {"ways": ("zero_shot",)}
    fitted = make_model(start=str(world[2]), fine_tuning=told).fit(region).fitted
    assert fitted.ways[0].corrected  # the region has half as much carbon again
    nets, held, plain = fitted.nets, fitted.held_out, world[0].fitted.nets
    rows = held.rows
    wide = replace(plain, low=nets.low, high=nets.high)
    said = wide.together(wide.of_rows(GroupSet.open(region.patches), rows.patch, rows.extra)).centre
    for part in range(PARTS):
        out = held.part == part
        slope, shift = np.polyfit(said[~out], rows.target[~out], 1, w=np.sqrt(rows.weight[~out]))
        by_hand = np.clip(slope * said[out] + shift, nets.low, nets.high)
        near = (said[out] > plain.low + 1e-9) & (said[out] < plain.high - 1e-9)
        np.testing.assert_allclose(held.said.centre[out][near], by_hand[near], rtol=1e-6)
    slope = np.polyfit(said, rows.target, 1, w=np.sqrt(rows.weight))[0]
    assert np.isclose(nets.spread / plain.spread, slope)


def test_ways_are_compared_on_the_same_rows_in_one_unit(world, region) -> None:
    told = {"ways": ("zero_shot", "head", "adapters"), "trust_units": True}
    fitted = make_model(start=str(world[2]), fine_tuning=told).fit(region).fitted
    held, rows = fitted.held_out, fitted.held_out.rows
    assert list(fitted.ways) == sorted(fitted.ways, key=lambda way: way.error)
    seen = held.part < RACED
    away = (held.said.centre - rows.target)[seen] / world[0].fitted.nets.spread
    assert np.isclose(fitted.ways[0].error, np.average(away**2, weights=rows.weight[seen]))
    best = fitted.ways[0].way
    nets = {
        way: sum(t.name.startswith(f"fine-tuning, {way},") for t in fitted.trainings)
        for way in ("head", "adapters")
    }
    assert nets == {way: PARTS if way == best else RACED for way in nets}
