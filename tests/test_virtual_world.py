"""The virtual worlds: what is true in them, what is given of it, and how arms are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from edaphos.engine.hybrid.rothc_process import RothCProcess
from edaphos.engine.hybrid.site_years import Climate

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def virtual(benchmark_module):
    """The benchmark's modules."""
    names = (
        "truths", "world", "world_make", "world_places", "world_plan", "world_pools",
        "world_results", "world_run", "world_scores", "world_table", "world_words",
    )  # fmt: skip
    return SimpleNamespace(**{n: benchmark_module(f"virtual_{n}") for n in names})


@pytest.fixture(scope="module")
def even(virtual):
    """Thirty years in which nothing differs from the time before, at places that differ."""
    rng = np.random.default_rng(5)
    years, places = 31, 12
    season = np.cos(2 * np.pi * (np.arange(12) - 6.5) / 12)[:, None]
    t = rng.uniform(8, 18, places) + 9 * season
    normals = Climate(t, rng.uniform(30, 110, (12, places)), np.maximum(4.5 * t, 3))
    carbon, rate = rng.uniform(1.5, 5, places), rng.uniform(0.8, 1.3, places)
    return virtual.truths.Conditions(
        climate=Climate(*(np.tile(a, (years, 1)) for a in vars(normals).values())),
        normals=normals,
        carbon=np.tile(carbon, (years, 1)),
        rate=np.tile(rate, (years, 1)),
        carbon_before=carbon,
        rate_before=rate,
        cover=np.repeat((np.arange(12) < 8)[:, None], places, axis=1).astype(float),
        dpm_rpm=np.full(places, 1.44),
        clay=rng.uniform(5, 45, places),
        depth_cm=20.0,
    )


# -- truths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", ["rothc", "microbial", "century", "still"])
def test_truths_start_from_their_equilibrium(virtual, even, truth: str) -> None:
    stock = virtual.truths.TRUTHS[truth](even)
    assert stock.shape == (12, 31)
    assert (stock > 0.3).all()
    assert (stock < 15).all()
    np.testing.assert_allclose(stock, stock[:, [0]] * np.ones(31), rtol=1e-9)


@pytest.mark.parametrize("name", ["Microbes", "Century"])
def test_carbon_is_neither_made_nor_lost(virtual, even, name: str) -> None:
    model = getattr(virtual.world_pools, name)(even.clay)
    factor = virtual.world_pools.year_factor(even.climate, even.rate)
    carbon = even.carbon * np.linspace(0.5, 2, 31)[:, None]
    start = model.equilibrium(even.carbon[0], factor[0]) * 0.7
    course = virtual.world_pools.integrate(model.flow, start, carbon, factor)
    total = np.concatenate([start[None], course.pools]).sum(axis=1)
    assert (course.pools > 0).all()
    assert (course.co2 > 0).all()
    np.testing.assert_allclose(np.diff(total, axis=0), carbon - course.co2, atol=1e-10)
    assert np.abs(np.diff(total, axis=0)).max() > 0.5


@pytest.mark.parametrize("name", ["Microbes", "Century"])
def test_pools_agree_with_a_general_solver(virtual, even, name: str) -> None:
    model = getattr(virtual.world_pools, name)(even.clay[:2])
    factor = virtual.world_pools.year_factor(even.climate, even.rate)[0, :2]
    carbon = 1.6 * even.carbon[0, :2]
    start = model.equilibrium(even.carbon[0, :2], factor)
    course = virtual.world_pools.integrate(
        model.flow, start, np.tile(carbon, (10, 1)), np.tile(factor, (10, 1))
    )
    solved = solve_ivp(
        lambda _, y: model.flow(y.reshape(3, 2), carbon, factor)[0].ravel(),
        (0, 10), start.ravel(), method="LSODA", rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(course.pools[-1].ravel(), solved.y[:, -1], rtol=2e-5)


def test_more_input_helps_microbes_less_than_in_proportion(virtual, even) -> None:
    factor = virtual.world_pools.year_factor(even.climate, even.rate)[0]
    stocks = {
        name: [getattr(virtual.world_pools, name)(even.clay).equilibrium(c, factor).sum(axis=0)
               for c in (even.carbon_before, 2 * even.carbon_before)]
        for name in ("Microbes", "Century")
    }  # fmt: skip
    np.testing.assert_allclose(stocks["Century"][1], 2 * stocks["Century"][0])
    ratio = stocks["Microbes"][1] / stocks["Microbes"][0]
    assert (ratio > 1.02).all()
    assert (ratio < 1.7).all()


def test_known_rothc_is_what_the_process_simulates(virtual) -> None:
    make = virtual.world_make
    for dates in ((1980, 2000), (1985, 2000)):
        variant = make.Variant(sites=25, dates=dates)
        world = make.make_world(
            variant, 3, test_sites=2, nature=make.KNOWN, truth=virtual.truths.RothCTruth()
        )
        start = np.zeros(25, int)
        found = RothCProcess().simulate(world.train.drivers, start, world.train_truth[:, 0])
        np.testing.assert_allclose(found, world.train_truth, rtol=1e-9)
        assert np.ptp(found, axis=1).min() > 0.02


def test_the_truth_is_not_the_process(virtual) -> None:
    make = virtual.world_make
    world = make.make_world(make.Variant(sites=40), 3, test_sites=2)
    start = np.zeros(40, int)
    found = RothCProcess().simulate(world.train.drivers, start, world.train_truth[:, 0])
    assert np.sqrt(((found - world.train_truth)[:, 20] ** 2).mean()) > 0.1


# -- worlds ------------------------------------------------------------------------------------


def test_a_still_world_does_not_move(virtual) -> None:
    make = virtual.world_make
    for drivers in ("still", "rising"):
        world = make.make_still_world(4, sites=30, test_sites=20, drivers=drivers)
        for truth in (world.train_truth, world.test_truth):
            np.testing.assert_array_equal(truth, truth[:, :1] * np.ones(31))
        assert np.ptp(world.test_truth[:, 0]) > 0.5
        told = world.train.drivers.input_driver
        rise = np.log(told[20] / told[0]).mean()
        assert abs(rise) < 0.1 if drivers == "still" else rise > 0.2


def test_worlds_are_nested_and_share_their_land(virtual) -> None:
    make = virtual.world_make
    small = make.make_world(make.Variant(sites=20), 6, test_sites=8)
    large = make.make_world(make.Variant(sites=50, dates=(1980, 1990, 2000)), 6, test_sites=12)
    np.testing.assert_array_equal(large.train.lon[:20], small.train.lon)
    np.testing.assert_allclose(large.train_truth[:20], small.train_truth)
    np.testing.assert_allclose(large.test_truth[:8], small.test_truth)
    np.testing.assert_allclose(large.fresh[:8], small.fresh)
    np.testing.assert_allclose(large.train.yearly[:20], small.train.yearly, rtol=1e-6)
    np.testing.assert_allclose(large.train.stock[:20, [0, 20]], small.train.stock[:, [0, 20]])
    other = make.make_world(make.Variant(sites=20), 7, test_sites=8)
    assert not np.allclose(other.test_truth, small.test_truth, rtol=0.02)


def test_what_is_seen_is_noisy_and_only_at_the_dates(virtual) -> None:
    make = virtual.world_make
    world = make.make_world(make.Variant(sites=200), 8, test_sites=30)
    seen = np.isfinite(world.train.stock)
    assert seen[:, [0, 20]].all()
    assert seen.sum() == 400
    assert not np.isfinite(world.test.stock).any()
    error = (world.train.stock / world.train_truth - 1)[seen]
    assert error.std() == pytest.approx(0.07, rel=0.15)
    assert (world.fresh / world.test_truth - 1).std() == pytest.approx(0.07, rel=0.15)
    assert not np.isin(world.test.lon, world.train.lon).any()


def test_new_places_are_each_sampled_once(virtual) -> None:
    make = virtual.world_make
    world = make.make_world(
        make.Variant(sites=30, dates=(1980, 1990, 2000), revisited=False), 8, test_sites=5
    )
    seen = np.isfinite(world.train.stock)
    assert (seen.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(seen.sum(axis=0)[[0, 10, 20]], 30)


def test_wrong_and_lagged_drivers_are_told_not_true(virtual) -> None:
    make = virtual.world_make
    exact = {"nature": make.Nature(reported=0.0), "test_sites": 3}
    told, truth = {}, {}
    for given in ("right", "wrong", "lagged"):
        world = make.make_world(make.Variant(sites=15, drivers=given), 9, **exact)
        told[given], truth[given] = world.train.drivers.input_driver, world.train_truth
        np.testing.assert_allclose(world.train.yearly[:, :, 4].T, told[given], rtol=1e-6)
    np.testing.assert_array_equal(truth["right"], truth["wrong"])
    np.testing.assert_array_equal(truth["right"], truth["lagged"])
    right = told["right"] / told["right"][0]
    np.testing.assert_allclose(told["wrong"] / told["wrong"][0], 1 / right)
    np.testing.assert_allclose(told["lagged"][5:], told["right"][:-5])


def test_conversions_cost_carbon(virtual) -> None:
    make, places = virtual.world_make, virtual.world_places
    lon, lat = places.scatter(20, 300)
    land = places.make_places(10, lon, lat, np.arange(300.0))
    converted = np.isfinite(land.converted)
    assert 0.1 < converted.mean() < 0.35
    world = make.make_world(make.Variant(truth="century", sites=400), 10, test_sites=2)
    lon, lat, number = places.sample(10, 400)
    when = places.make_places(10, lon, lat, number).converted
    change = world.train_truth[:, 20] - world.train_truth[:, 0]
    early = when < 1990
    assert change[early].mean() < change[~np.isfinite(when)].mean() - 0.3


def test_sampling_prefers_fertile_land(virtual) -> None:
    make = virtual.world_make
    means = []
    for seed in range(11, 15):
        world = make.make_world(make.Variant(sites=100), seed, test_sites=100)
        means.append(world.train_truth[:, 0].mean() - world.test_truth[:, 0].mean())
    assert np.mean(means) > 0.05


# -- scores and comparisons ------------------------------------------------------------------------


def test_arms_are_limited_to_variants(virtual) -> None:
    plan = virtual.world_plan.read_plan()
    arms = {a.name: a for a in plan.arms}
    assert plan.seeds("base", arms["ml"]) == plan.worlds["base"]
    assert plan.seeds("base", arms["net"]) == plan.worlds["base"][: plan.few]
    assert plan.seeds("800 sites", arms["net"]) == ()
    for arm in ("ml", "po", "guarded", "trusted", "no process", "poml 0.5"):
        assert all(plan.seeds(v.name, arms[arm]) == plan.worlds[v.name] for v in plan.variants)


def test_scores_of_known_predictions(virtual) -> None:
    make, scores = virtual.world_make, virtual.world_scores
    world = make.make_world(make.Variant(sites=10), 12, test_sites=60)
    truth = world.test_truth
    exact = scores.score(world, truth)
    assert exact["between"] == exact["trend"] == exact["change"] == exact["beyond"] == 0
    assert exact["roughness"] == pytest.approx(1)
    noise = (world.fresh - truth)[:, [0, 20]]
    assert exact["sampled"] == pytest.approx(np.sqrt((noise**2).mean()))
    shifted = scores.score(world, truth + 0.4)
    assert shifted["between"] == pytest.approx(0.4)
    assert shifted["bias"] == pytest.approx(0.4)
    assert shifted["trend"] == pytest.approx(0, abs=1e-12)
    assert shifted["change"] == pytest.approx(0, abs=1e-12)
    line = np.repeat(truth[:, :1], 31, axis=1) + 0.03 * np.arange(31)
    found = scores.score(world, line)
    assert found["roughness"] == pytest.approx(0, abs=1e-9)
    gap = 0.6 - (truth[:, 20] - truth[:, 0])
    assert found["change"] == pytest.approx(np.sqrt((gap**2).mean()))
    assert np.isnan(scores.score(world, np.full_like(truth, np.nan))["between"])


def test_a_site_s_own_first_stock_is_no_score(virtual) -> None:
    make, scores = virtual.world_make, virtual.world_scores
    world = make.make_world(make.Variant(sites=30), 12, test_sites=2)
    told = world.train_truth.copy()
    told[:, 0] = 99
    found = scores.score_visited(world, told)
    assert found["between"] == found["beyond"] == 0
    assert found["sampled"] == pytest.approx(0.07 * world.train_truth.mean(), rel=0.3)
    once = make.make_world(make.Variant(sites=30, revisited=False), 12, test_sites=2)
    found = scores.score_visited(once, once.train_truth)
    assert "sampled" not in found
    assert found["trend"] == 0


def test_paired_intervals_cover_as_often_as_they_say(virtual) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for number in range(200):
        base = rng.normal(1, 0.5, 30)
        found = virtual.world_scores.paired(base - 0.1 + rng.normal(0, 0.2, 30), base, number)
        hits += found.low <= -0.1 <= found.high
    assert 0.88 <= hits / 200 <= 0.99
    sure = virtual.world_scores.paired([0.5, 0.6, 0.7], [0.7, 0.8, 0.9])
    assert sure.better
    assert not sure.worse
    assert sure.share == pytest.approx(-0.25)
    assert -0.2 / 0.7 <= sure.share_low < sure.share_high <= -0.2 / 0.9


# -- the run ---------------------------------------------------------------------------------------


def test_the_plan_is_whole_and_its_pilot_worlds_are_others(virtual) -> None:
    full, pilot = virtual.world_plan.read_plan(), virtual.world_plan.read_plan("pilot")
    seeds = {s for w in full.worlds.values() for s in w}
    assert not seeds & {s for w in pilot.worlds.values() for s in w}
    assert len(full.worlds["base"]) == 10
    assert {v.truth for v in full.variants} == {"rothc", "microbial", "century"}
    assert {v.drivers for v in full.variants} == {"right", "wrong", "lagged"}
    assert {v.sites for v in full.variants} == {50, 100, 200, 400, 800}
    assert {len(v.dates) for v in full.variants} == {2, 3, 5}
    assert {v.revisited for v in full.variants} == {True, False}
    base = full.variants[0]
    assert base == virtual.world_make.Variant()
    tasks = full.tasks()
    assert len({(t.variant.name, t.seed) for t in tasks}) == len(tasks)


@pytest.fixture
def tiny(virtual):
    """Two small worlds, three arms of which one cannot be made."""
    plan = virtual.world_plan
    arms = (
        plan.ArmPlan("ml", "ml"),
        plan.ArmPlan("po", "po", visited=True),
        plan.ArmPlan("odd", "no such arm"),
    )
    variant = virtual.world_make.Variant(sites=30)
    return plan.Plan((variant,), arms, {"base": (1, 2)}, 1, {"trees": 10}, {}, 20)


def test_a_run_goes_on_where_it_ended(virtual, tiny, tmp_path: Path, monkeypatch) -> None:
    run = virtual.world_run
    first = run.run_plan(tiny, tmp_path, processes=1)
    assert [r.arm for r in first] == ["ml", "po", "odd"] * 2
    assert [bool(r.error) for r in first] == [False, False, True] * 2
    assert "no such arm" in first[2].error
    store = tmp_path / "records.jsonl"
    store.write_text(store.read_text() + '{"variant": "ba')  # as if ended while writing
    asked = []
    monkeypatch.setattr(run, "run_task", lambda plan, task: asked.append(task) or [
        run.Record("base", task.seed, a.name, plan.digest(task.variant, a)) for a in task.arms
    ])  # fmt: skip
    again = run.run_plan(tiny, tmp_path, processes=1)
    assert [[a.name for a in task.arms] for task in asked] == [["odd"], ["odd"]]
    assert again[:2] == first[:2]
    asked.clear()
    other = replace(tiny, learner={"trees": 12})
    run.run_plan(other, tmp_path, processes=1)
    assert [len(task.arms) for task in asked] == [3, 3]


def test_two_processes_give_what_one_gives(virtual, tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))  # the processes import the benchmark, too
    plan = replace(tiny, arms=tiny.arms[:1])
    records = [virtual.world_run.run_plan(plan, tmp_path / str(n), processes=n) for n in (1, 2)]
    for one, two in zip(*records, strict=True):
        assert one.scores == two.scores


def test_the_table_says_what_the_records_say(virtual, tiny) -> None:
    """Arms made up to be better, worse and neither are called so."""
    record = virtual.world_run.Record
    names = ("ml", "guarded", "no process", "poml 0.3", "odd")
    arms = [virtual.world_plan.ArmPlan(n, "poml") for n in names]
    plan = replace(tiny, arms=tuple(arms), worlds={"base": (1, 2, 3, 4)})
    factor = {"ml": 1.0, "guarded": 0.8, "no process": 0.7, "poml 0.3": 1.3}
    records = [
        record(
            "base", seed, arm, "",
            dict.fromkeys(virtual.world_scores.COMPARED, factor[arm] * (1 + 0.1 * seed)),
        )
        for seed in (1, 2, 3, 4)
        for arm in factor
    ]  # fmt: skip
    records.append(record("base", 1, "odd", "", error="ValueError: no"))
    results = virtual.world_results.Results(plan, records)
    assert results.difference("base", "guarded", "trend").share == pytest.approx(-0.2)
    assert results.regret("base", "poml 0.3", ["ml", "guarded"], "trend").share == pytest.approx(
        0.5 / 0.8
    )
    said, scores = virtual.world_words.outcome(results), virtual.world_scores.COMPARED
    text = "\n".join(said)
    told = {n: "; ".join(f"{s}: base {n} %" for s in scores) for n in ("-20", "+30")}
    against = "5 comparisons with the forest alone. Less error in"
    assert f"`guarded`, {against} 5 ({told['-20']}); more in 0." in text
    assert f"`poml 0.3`, {against} 0; more in 5 ({told['+30']})." in text
    assert "`odd` in 1 worlds: ValueError: no" in said[-1]
    assert "`guarded` has, in 5 comparisons, clearly less error in 0; more in 5 (" in text
    assert "not confirmed" in said[0]
    table = virtual.world_table.table(results, "a machine")
    assert "**-0.250 [" in table


def test_the_committed_table_is_made_of_the_committed_records(virtual) -> None:
    world = virtual.world
    plan = virtual.world_plan.read_plan()
    records = list(virtual.world_run.read_records(world.KEPT))
    wanted = {(t.variant.name, t.seed, a.name) for t in plan.tasks() for a in t.arms}
    assert {(r.variant, r.seed, r.arm) for r in records} == wanted
    variants, arms = ({x.name: x for x in xs} for xs in (plan.variants, plan.arms))
    assert all(r.digest == plan.digest(variants[r.variant], arms[r.arm]) for r in records)
    text = world.TABLE.read_text(encoding="utf-8")
    machine = text.split(" on ", 1)[1].split(". Every sentence")[0]
    results = virtual.world_results.Results(plan, records)
    assert text == virtual.world_table.table(results, machine)
