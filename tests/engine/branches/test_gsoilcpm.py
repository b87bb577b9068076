"""One model of the world and its regions: maps and rows agree, regions teach what they may."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pyproj import Geod

from edaphos.engine.branches.model_file import card_text, digest_of_model, read_card
from edaphos.engine.branches.regions_out import distance_km, outside, place_codes
from edaphos.engine.branches.settings import WAYS
from edaphos.engine.errors import InputError
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.models.protocol import description_of

from ..branch_world import (
    GROUPS,
    REGION,
    TOLERANCE,
    check_map,
    make_model,
    make_samples,
    region_profiles,
    tile_of,
)
from ..conv_world import DEPTHS, make_cube, world_grid

#: Columns of profiles.
RAW = ["profile_id", "source", "lon", "lat", "year", "top_cm", "bottom_cm", "soc_g_kg"]


def test_a_map_says_what_rows_say_and_files_hold_it(world, cube) -> None:
    model, samples, folder = world
    check_map(model, cube, samples)
    again = GsoilcpmModel.load(folder)
    assert again.emits == model.emits
    assert again.reads == model.reads
    assert again.reads.halo == 2
    for name, values in again.predict_rows(samples).items():
        np.testing.assert_array_equal(values, model.predict_rows(samples)[name])
    assert {p.suffix for p in folder.iterdir()} == {".json", ".safetensors", ".npy"}
    told = card_text(read_card(folder))
    for words in ("relief, window of 5", "cover: class", "licence: CC0-1.0", "calibration_CCC"):
        assert words in told


def test_the_region_and_its_surroundings_teach_the_world_nothing(world) -> None:
    model, samples, _ = world
    lon, lat = (samples.table[k].to_numpy() for k in ("lon", "lat"))
    west, south, east, north = REGION
    edge = np.concatenate(
        [np.stack([np.linspace(west, east, 400), np.full(400, side)], 1) for side in (south, north)]
        + [
            np.stack([np.full(400, side), np.linspace(south, north, 400)], 1)
            for side in (west, east)
        ]
    )
    geod = Geod(a=6371008.8, b=6371008.8)
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    far = np.array(
        [
            min(geod.inv(np.full(len(edge), x), np.full(len(edge), y), edge[:, 0], edge[:, 1])[2])
            for x, y in zip(lon[::3], lat[::3], strict=True)
        ]
    )
    wanted = np.where(inside[::3], 0.0, far / 1000)
    np.testing.assert_allclose(distance_km(lon, lat, REGION)[::3], wanted, atol=3.0, rtol=0.01)
    kept = outside(samples, (REGION,), 50.0)
    assert model.fitted.summary["left out"] == len(samples) - len(kept) > 50
    assert set(model.fitted.places) == set(place_codes(kept))
    gone = samples.take(
        ~np.isin(np.arange(len(samples)), np.flatnonzero(distance_km(lon, lat, REGION) > 50))
    )
    assert not np.isin(place_codes(gone), model.fitted.places).any()
    with pytest.raises(InputError, match="nothing is left"):
        outside(samples, ((-180.0, -90.0, 180.0, 90.0),), 0.0)


def test_a_region_takes_the_best_way_by_its_own_rows(world, region, cube) -> None:
    model = make_model(start=str(world[2]), fine_tuning={"ways": WAYS}).fit(region)
    ways = model.fitted.ways
    assert {w.way for w in ways} == {"zero_shot", "head", "all", "gradual", "adapters"}
    assert [w.way for w in ways if w.corrected] == ["zero_shot"]
    assert len(ways) == 6
    assert list(ways) == sorted(ways, key=lambda w: w.error)
    assert model.fitted.nets.nets[0].training is False
    check_map(model, cube, region)
    y = np.log1p(region.y)
    before, after = (np.log1p(m.predict_rows(region)["soc_q50"]) for m in (world[0], model))
    assert abs((after - y).mean()) < abs((before - y).mean())
    notes = " ".join(model.notes)
    assert "Intervals are those of the world" in notes
    assert "in 5 parts of whole spatial blocks" in notes
    assert len(model.fitted.nets.nets) == (1 if ways[0].way == "zero_shot" else 5)
    assert "Ways of fine-tuning" in notes
    assert "fine-tuned to the region" in description_of(model)["summary"]


@pytest.mark.parametrize("way", ["zero_shot", "head", "adapters"])
def test_a_way_trains_what_it_says(way, world, region) -> None:
    told = {"ways": (way,), "correction": "none", "epochs": 2, "rank": 1}
    tuned = make_model(start=str(world[2]), fine_tuning=told).fit(region).fitted.nets
    before, after = (n.nets[0].state_dict() for n in (world[0].fitted.nets, tuned))
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    if way == "zero_shot":
        assert not changed
        assert (tuned.centre, tuned.spread) == (
            world[0].fitted.nets.centre,
            world[0].fitted.nets.spread,
        )
    elif way == "head":
        assert changed
        assert all(k.startswith("head") for k in changed)
    else:
        change = (after["head.0.0.weight"] - before["head.0.0.weight"]).numpy()
        values = np.linalg.svd(change, compute_uv=False)
        assert values[0] > 0
        assert (values[1:] < 1e-4 * values[0]).all()


def test_drawn_to_the_world_a_region_stays_near_it(world, region) -> None:
    def moved(**told) -> float:
        tuning = {"ways": ("all",), "correction": "none", "rate_share": 1.0, **told}
        nets = make_model(start=str(world[2]), fine_tuning=tuning).fit(region).fitted.nets.nets
        pairs = zip(nets[0].parameters(), world[0].fitted.nets.nets[0].parameters(), strict=True)
        return sum(((a - b) ** 2).sum().item() for a, b in pairs)

    free = moved()
    assert moved(l2_sp=100.0) < 0.2 * free
    assert moved(coral=1.0) != free


def test_a_correction_is_the_weighted_line_through_rows_learned_from(world, region) -> None:
    told = {"ways": ("zero_shot",)}
    model = make_model(start=str(world[2]), fine_tuning=told).fit(region)
    first = model.fitted.ways[0]
    if first.corrected:
        nets = model.fitted.nets
        slope = nets.spread / world[0].fitted.nets.spread
        assert 0.2 <= slope <= 5.0
    assert {w.corrected for w in model.fitted.ways} == {True, False}
    assert first.error <= model.fitted.ways[1].error


def test_a_region_without_a_group_is_mapped_without_it(world, cube, tmp_path) -> None:
    model = make_model(start=str(world[2]), lacking=("relief",), fine_tuning={"ways": ("head",)})
    assert model.covariates == ("wet", "cover")
    samples = make_samples(cube, tmp_path / "set", model, region_profiles())
    model.fit(samples)
    check_map(model, cube, samples)
    assert "Without the group relief" in " ".join(model.notes)
    model.save(tmp_path / "model")
    again = GsoilcpmModel.load(tmp_path / "model")
    assert again.covariates == ("wet", "cover")
    with pytest.raises(InputError, match="no group soil; it has climate, relief, cover"):
        make_model(start=str(world[2]), lacking=("soil",))


def test_a_group_is_there_as_a_whole_or_not_at_all(world, cube, tmp_path) -> None:
    two = ({"name": "climate", "covariates": ("wet", "relief")}, GROUPS[2])
    always = make_model(groups=two, group_dropout=0.0, training={"epochs": 1})
    samples = make_samples(cube, tmp_path / "set", always)
    always.fit(samples).save(tmp_path / "model")
    lacking = make_model(start=str(tmp_path / "model"), lacking=("cover",))
    few = make_samples(cube, tmp_path / "few", lacking, region_profiles())
    with pytest.raises(InputError, match="never learned to do without a group"):
        lacking.fit(few)
    part = GsoilcpmModel(lacking.told, depths=DEPTHS)
    held = make_samples(
        cube,
        tmp_path / "part",
        make_model(groups=({"name": "a", "covariates": ("wet",)},)),
        region_profiles(),
    )
    with pytest.raises(InputError, match='part of group "climate" and lacks relief'):
        part.fit(held)


def test_what_a_region_may_not_be_is_told(world, region, cube, tmp_path) -> None:
    start = str(world[2])
    who = region.table["profile_id"].to_numpy()
    five = region.take(np.isin(who, np.unique(who)[:5]))
    with pytest.raises(InputError, match=r"needs 10 locations or more .* found 5"):
        make_model(start=start).fit(five)
    table = region.table.assign(y=region.y / 10)
    with pytest.raises(InputError, match=r"as if it were in per cent.*--unit soc=%"):
        make_model(start=start).fit(replace(region, table=table))
    trusting = {"trust_units": True, "ways": ("zero_shot",)}
    make_model(start=start, fine_tuning=trusting).fit(replace(region, table=table))
    with pytest.raises(InputError, match="learned soc in g kg-1, the region's samples are stock"):
        make_model(start=start).fit(replace(region, target=("stock", "kg m-2")))
    raw = (region.patches / "set.json").read_text()  # type: ignore[operator]
    other = tmp_path / "other"
    other.mkdir()
    for part in region.patches.iterdir():  # type: ignore[union-attr]
        (other / part.name).symlink_to(part)
    (other / "set.json").unlink()
    told = json.loads(raw)
    told["windows"]["1"]["variables"]["wet"]["units"] = "degF"
    (other / "set.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match='units of "wet": "1" in the world, "degF" here'):
        make_model(start=start).fit(replace(region, patches=other))
    with pytest.raises(InputError, match="its SHA-256 is another"):
        make_model(start=start, start_digest="0" * 64)
    make_model(start=start, start_digest=digest_of_model(world[2]))


def test_another_cube_is_refused(world, cube, tmp_path) -> None:
    begun = make_model(start=str(world[2]))
    for model in (world[0], begun):
        model.check_cube(cube, world_grid())
        with pytest.raises(InputError, match='it has no variable "relief"'):
            model.check_cube(
                make_cube(tmp_path / model.told.licence, relief="height"), world_grid()
            )


def test_places_that_taught_the_world_are_counted(world) -> None:
    again = make_model(start=str(world[2]), fine_tuning={"ways": ("zero_shot",)}).fit(world[1])
    learned = len(world[0].fitted.places)
    assert again.fitted.summary["places that taught the world"] == learned == 210
    assert "210 of the region's places taught the model of the world" in " ".join(again.notes)
    table = world[1].table.assign(lon=world[1].table["lon"] + 2e-3)
    moved = place_codes(replace(world[1], table=table))
    assert not np.isin(moved, world[0].fitted.places).any()


def test_places_that_taught_a_region_count_where_it_is_fine_tuned_further(
    world, region, tmp_path
) -> None:
    told = {"ways": ("zero_shot",)}
    make_model(start=str(world[2]), fine_tuning=told).fit(region).save(tmp_path / "region")
    again = make_model(start=str(tmp_path / "region"), fine_tuning=told).fit(region)
    here = len(place_codes(region))
    assert again.fitted.summary["places that taught the world"] == here


@pytest.mark.parametrize("head", ["quantile", "gaussian"])
def test_heads_beside_the_mean_and_the_year_go_through(head, world, cube, tmp_path) -> None:
    model = make_model(head=head, sees_year=True, members=2, training={"epochs": 2})
    samples = replace(world[1], table=world[1].table)
    model.fit(samples)
    check_map(model, cube, samples)
    said = model.predict_rows(samples)
    assert (said["soc_q05"] <= said["soc_q95"]).all()
    inside = (samples.y >= said["soc_q05"]) & (samples.y <= said["soc_q95"])
    assert inside.mean() > 0.8
    undated = replace(samples, table=samples.table.assign(year=np.nan))
    assert not np.array_equal(model.predict_rows(undated)["soc_mean"], said["soc_mean"])


def test_the_released_network_reads_class_codes_as_numbers(world, cube, tmp_path) -> None:
    groups = tuple({**g, "window": 1} for g in GROUPS)
    told = {"groups": groups, "faithful": True, "transform": "none", "width": 32, "merged": 128}
    told |= {"dense": (256, 128), "dropout": (0.2, 0.5), "training": {"epochs": 1}}
    with pytest.raises(InputError, match="learns one layer"):
        make_model(**told).fit(world[1])
    with pytest.raises(InputError, match="set every window to 1"):
        make_model(**{**told, "groups": GROUPS})
    first = world[1].take(world[1].top == 0)
    samples = make_samples(cube, tmp_path / "set", make_model(**told), first.table[RAW])
    model = GsoilcpmModel(make_model(**told).told, depths=((0, 15),), seed=1).fit(samples)
    (net,) = model.fitted.nets.nets
    # 1 -> 32 three times, 96 -> 128, 128 -> 256 -> 128 -> 1: no depth, mask or embedding
    wanted = 3 * 64 + 96 * 128 + 128 + 128 * 256 + 256 + 256 * 128 + 128 + 129
    assert sum(p.numel() for p in net.parameters()) == wanted
    place = world_grid().locate(samples.table["lon"], samples.table["lat"])[:2]
    made = tile_of(model, cube, 0, 0, 80, 80)[1]["soc_mean"]
    rows = model.predict_rows(samples)["soc_mean"]
    np.testing.assert_allclose(made[0, 0][place], rows, rtol=TOLERANCE, atol=TOLERANCE)
    # the affine map before the first ReLU, by its inputs: covariates scaled, codes as numbers
    bands = [c.bands[0] for c in model.fitted.nets.channels.channels]
    x = np.stack([(samples.table[b.plane[0]] - b.centre) * b.factor for b in bands], axis=1)
    state = {k: v.numpy().astype(float) for k, v in net.state_dict().items()}
    joined = [x[:, [k]] @ state[f"branches.{k}.0.weight"][:, :, 0, 0].T for k in range(3)]
    h = np.concatenate([j + state[f"branches.{k}.0.bias"] for k, j in enumerate(joined)], axis=1)
    h = h @ state["merge.0.weight"][:, :, 0, 0].T + state["merge.0.bias"]
    for k in range(3):
        h = h @ state[f"head.{k}.0.weight"].T + state[f"head.{k}.0.bias"]
        h = np.maximum(h, 0) if k < 2 else h
    nets = model.fitted.nets
    said = np.clip(h[:, 0] * nets.spread + nets.centre, nets.low, nets.high)
    np.testing.assert_allclose(rows, said, rtol=1e-3, atol=1e-3)


def test_many_places_in_few_blocks_take_over_the_intervals_of_the_world(
    world, region, monkeypatch
) -> None:
    monkeypatch.setattr("edaphos.engine.branches.tuning.OWN_INTERVALS", 20)
    who = np.unique(region.table["profile_id"], return_inverse=True)[1]
    spot = who % 7
    near = region.table.assign(lon=11.5 + 0.6 * spot + 1e-5 * who, lat=12.0 + 1e-5 * who)
    told = {"ways": ("zero_shot",), "trust_units": True}
    fitted = (
        make_model(start=str(world[2]), fine_tuning=told).fit(replace(region, table=near)).fitted
    )
    assert len(np.unique(fitted.held_out.rows.block)) == 7
    assert fitted.rows["calibrated with"] == 0
    assert np.isfinite(fitted.predictive.margins).all()


def test_samples_without_squares_are_refused(world) -> None:
    with pytest.raises(InputError, match="samples have no patches"):
        make_model().fit(replace(world[1], patches=None))


def test_a_small_region_that_spreads_more_than_the_world_has_wider_intervals(world, region) -> None:
    one = np.unique(region.table["profile_id"])[:40]
    few = region.take(region.table["profile_id"].isin(one).to_numpy())
    calm = make_model(start=str(world[2]), fine_tuning={"ways": ("zero_shot",)}).fit(few)
    known = world[0].fitted.predictive
    at = [world[0].depths.index(d) for d in calm.depths]
    kept = np.array(calm.fitted.predictive.margins)
    assert (kept >= np.array(known.margins)[:, at]).all()
    # targets that nothing explains, far apart
    noise = np.exp(np.random.default_rng(0).normal(0, 1.5, len(few)))
    wild = replace(few, table=few.table.assign(y=few.y * noise))
    told = {"ways": ("zero_shot",), "trust_units": True}
    loud = make_model(start=str(world[2]), fine_tuning=told).fit(wild)
    assert (np.array(loud.fitted.predictive.margins) > kept + 0.5).all()
    said = loud.predict_rows(wild)
    low, high = (said[f"soc_{q}"] for q in ("q05", "q95"))
    assert np.mean((wild.y >= low) & (wild.y <= high)) > 0.85
    before = calm.predict_rows(wild)
    assert np.mean((wild.y >= before["soc_q05"]) & (wild.y <= before["soc_q95"])) < 0.75
