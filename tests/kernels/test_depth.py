"""The spline's properties, against the paper's dense matrices and numerical integrals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from edaphos.kernels.depth import (
    CLIPPED,
    LIMITED,
    DepthCurve,
    bounded,
    fit_spline,
    left_out_errors,
    steps,
)
from edaphos.kernels.depth_layers import separate
from edaphos.kernels.depth_means import interval_means


@dataclass(frozen=True)
class Profile:
    """Layers of one profile."""

    top: np.ndarray
    bottom: np.ndarray
    value: np.ndarray

    def fit(self, lam: float = 0.1) -> DepthCurve:
        return fit_spline(self.top, self.bottom, self.value, [0, len(self.top)], lam)


@st.composite
def profiles(draw: st.DrawFn, least: int = 1, gaps: bool = True) -> Profile:
    """Layers of 1 to 50 cm, some with gaps between them, of any positive values."""
    n = draw(st.integers(least, 8))
    several = {"min_size": n, "max_size": n}
    thick = draw(st.lists(st.floats(1, 50), **several))
    gap = draw(st.lists(st.sampled_from([0.0, 0.0, 3.5, 40.0] if gaps else [0.0]), **several))
    value = draw(st.lists(st.floats(0.01, 500), **several))
    top = np.cumsum(np.add(gap, np.concatenate([[0.0], thick[:-1]])))
    return Profile(top, top + thick, np.array(value))


LAMBDAS = st.sampled_from([0.0, 1e-6, 0.01, 0.1, 1.0, 100.0])


def together(many: list[Profile]) -> tuple[np.ndarray, ...]:
    parts = [np.concatenate([getattr(p, n) for p in many]) for n in ("top", "bottom", "value")]
    return (*parts, np.cumsum([0, *(len(p.top) for p in many)]))


def dense(profile: Profile, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Return s and b of Bishop et al. 1999 by its matrices as printed."""
    thick = profile.bottom - profile.top
    gap = profile.top[1:] - profile.bottom[:-1]
    n = len(thick)
    r = np.diag(2 * (thick[:-1] + thick[1:]) + 6 * gap)
    r += np.diag(thick[1:-1], 1) + np.diag(thick[1:-1], -1)
    q = -np.eye(n - 1, n) + np.eye(n - 1, n, 1)
    z = np.eye(n) + 6 * n * lam * q.T @ np.linalg.inv(r) @ q
    s = np.linalg.solve(z, profile.value)
    return s, 6 * np.linalg.solve(r, q @ s)


def at(curve: DepthCurve, depth: float) -> float:
    """The curve of one profile at a depth, read from its definition."""
    i = int(np.searchsorted(curve.top, depth, side="right")) - 1
    d = min(depth, curve.bottom[i]) - curve.top[i]
    inside = float(curve.alfa[i] + curve.b0[i] * d + curve.gamma[i] * d**2)
    if depth <= curve.bottom[i]:
        return inside
    return inside + float(curve.b1[i]) * (depth - curve.bottom[i])


@given(profiles(least=2), LAMBDAS)
def test_it_solves_the_papers_matrices(profile: Profile, lam: float) -> None:
    curve = profile.fit(lam)
    s, b = dense(profile, lam)
    scale = np.abs(profile.value).max()
    np.testing.assert_allclose(curve.mean, s, atol=1e-9 * scale)
    np.testing.assert_allclose(curve.b0[1:], b, atol=1e-9 * scale)
    np.testing.assert_array_equal(curve.b1[:-1], curve.b0[1:])
    assert curve.b0[0] == curve.b1[-1] == 0


@given(profiles(least=2), LAMBDAS)
def test_the_curve_is_continuous(profile: Profile, lam: float) -> None:
    curve = profile.fit(lam)
    thick = curve.bottom - curve.top
    end = curve.alfa + curve.b0 * thick + curve.gamma * thick**2
    gap = curve.top[1:] - curve.bottom[:-1]
    bridge = end[:-1] + curve.b1[:-1] * gap
    np.testing.assert_allclose(bridge, curve.alfa[1:], atol=1e-8 * np.abs(profile.value).max())


@given(profiles(least=3), st.sampled_from([0.01, 0.1, 1.0]))
@settings(max_examples=25)
def test_no_other_quadratic_spline_is_better(profile: Profile, lam: float) -> None:
    """Of curves of this form, none has less misfit plus roughness: random ones are tried."""
    curve, n = profile.fit(lam), len(profile.top)
    thick, gap = profile.bottom - profile.top, profile.top[1:] - profile.bottom[:-1]

    def objective(mean: np.ndarray, slope: np.ndarray) -> float:
        b0, b1 = np.append(0, slope), np.append(slope, 0)
        rough = (thick * (b0**2 + b0 * b1 + b1**2) / 3).sum() + (gap * slope**2).sum()
        return ((profile.value - mean) ** 2).mean() + lam * rough

    # The means of such a curve follow from its slopes and one constant.
    def means(slope: np.ndarray, level: float) -> np.ndarray:
        b0, b1 = np.append(0, slope), np.append(slope, 0)
        half = thick * (b0 + b1) / 2
        start = level + np.append(0, np.cumsum(half[:-1] + gap * slope))
        return start + thick * (2 * b0 + b1) / 6

    slope, level = curve.b1[:-1], curve.alfa[0]
    best = objective(means(slope, level), slope)
    np.testing.assert_allclose(means(slope, level), curve.mean, atol=1e-7 * profile.value.max())
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        other = slope + size * profile.value.max() / 50 * rng.standard_normal((20, n - 1))
        levels = level + size * profile.value.max() * rng.standard_normal(20)
        tried = [objective(means(s, a), s) for s, a in zip(other, levels, strict=True)]
        assert min(tried) >= best * (1 - 1e-9)


@given(profiles(), LAMBDAS, st.booleans())
@settings(max_examples=40)
def test_means_are_the_integrals_of_the_curve(profile: Profile, lam: float, thin: bool) -> None:
    curve = profile.fit(lam)
    first, last = float(curve.top[0]), float(curve.bottom[-1])
    upper = first - 3 + (last - first) * 0.3
    lower = upper + (0.01 if thin else (last - first) * 0.9)
    found = interval_means(curve, [upper], [lower])
    a, b = max(upper, first), min(lower, last)
    if b <= a:
        assert np.isnan(found.value[0, 0])
        assert found.covered[0, 0] == 0
        return
    breaks = [float(x) for x in np.concatenate([curve.top, curve.bottom]) if a < x < b]
    ends = [a, *sorted(breaks), b]
    whole = sum(quad(lambda x: at(curve, x), *pair)[0] for pair in pairwise(ends))
    scale = np.abs(profile.value).max()
    assert found.value[0, 0] == pytest.approx(whole / (b - a), abs=1e-8 * scale)
    assert found.covered[0, 0] == pytest.approx((b - a) / (lower - upper))
    inside = np.clip(np.minimum(curve.bottom, b) - np.maximum(curve.top, a), 0, None).sum()
    assert found.sampled[0, 0] == pytest.approx(inside / (lower - upper), abs=1e-12)


@given(profiles(), LAMBDAS)
def test_layer_means_are_s_and_without_smoothing_the_data(profile: Profile, lam: float) -> None:
    for each in (lam, 0.0):
        curve = profile.fit(each)
        found = interval_means(curve, profile.top, profile.bottom).value[0]
        np.testing.assert_allclose(found, curve.mean, atol=1e-9 * profile.value.max())
    np.testing.assert_array_equal(profile.fit(0.0).mean, profile.value)


@given(profiles(gaps=False), LAMBDAS)
def test_mass_of_the_whole_profile_is_that_of_its_parts(profile: Profile, lam: float) -> None:
    curve = bounded(profile.fit(lam))
    edges = np.linspace(profile.top[0], profile.bottom[-1], 14)
    parts = interval_means(curve, edges[:-1], edges[1:]).value[0]
    whole = (curve.mean * (curve.bottom - curve.top)).sum()
    assert (parts * np.diff(edges)).sum() == pytest.approx(whole, rel=1e-9)


@given(profiles(), LAMBDAS, st.floats(0.1, 900))
def test_a_constant_profile_stays_constant(profile: Profile, lam: float, value: float) -> None:
    flat = Profile(profile.top, profile.bottom, np.full(len(profile.top), value))
    found = interval_means(flat.fit(lam), [0, 20, 33.3], [20, 33.3, 400])
    np.testing.assert_allclose(found.value[found.covered > 0], value, rtol=1e-12)


@given(profiles(least=2), LAMBDAS, st.floats(-3, 3), st.floats(-50, 50))
def test_it_is_linear_in_the_values(profile: Profile, lam: float, a: float, b: float) -> None:
    other = profile.value[::-1] ** 0.5
    mixed = Profile(profile.top, profile.bottom, a * profile.value + b * other)
    single = Profile(profile.top, profile.bottom, other)
    upper, lower = [0, 5, 15, 30], [5, 15, 30, 60]
    one, two, both = (
        interval_means(p.fit(lam), upper, lower).value for p in (profile, single, mixed)
    )
    scale = (abs(a) + abs(b)) * np.abs(profile.value).max() + abs(b) + 1
    np.testing.assert_allclose(both, a * one + b * two, atol=1e-8 * scale)


@given(st.lists(profiles(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_many_at_once_are_each_alone_in_any_order(many: list[Profile], random) -> None:
    upper, lower = [0, 5, 30], [5, 30, 100]
    shuffled = list(enumerate(many))
    random.shuffle(shuffled)
    batch = bounded(fit_spline(*together([p for _, p in shuffled]), 0.1))
    found = interval_means(batch, upper, lower).value
    for row, (_, profile) in zip(found, shuffled, strict=True):
        alone = interval_means(bounded(profile.fit(0.1)), upper, lower).value[0]
        np.testing.assert_array_equal(row, alone)


@given(profiles(least=2), LAMBDAS, st.sampled_from([(0.0, np.inf), (5.0, 300.0)]))
def test_bounded_curves_stay_within_and_keep_their_mass(
    profile: Profile, lam: float, bounds: tuple[float, float]
) -> None:
    raw = profile.fit(lam)
    curve = bounded(raw, *bounds)
    within = (raw.mean >= bounds[0]) & (raw.mean <= bounds[1])
    np.testing.assert_array_equal(curve.mean[within], raw.mean[within])
    np.testing.assert_array_equal(curve.state == CLIPPED, ~within)
    scale = profile.value.max()
    for i in range(len(profile.top)):
        d = np.linspace(0, profile.bottom[i] - profile.top[i], 50)
        before = raw.alfa[i] + raw.b0[i] * d + raw.gamma[i] * d**2
        after = curve.alfa[i] + curve.b0[i] * d + curve.gamma[i] * d**2
        assert after.min() >= bounds[0] - 1e-9 * scale
        assert after.max() <= bounds[1] + 1e-9 * scale
        if curve.state[i] == 0:
            np.testing.assert_array_equal(after, before)
        if curve.state[i] == LIMITED:  # it touches the bound that it would cross
            ends = np.array([after.min() - bounds[0], bounds[1] - after.max()])
            assert ends.min() < 0.02 * (np.ptp(before) + 1e-9)
    gaps = interval_means(curve, profile.bottom[:-1], profile.top[1:] + 1e-9).value
    assert not (gaps < bounds[0] - 1e-6 * scale).any()


def test_a_sharp_drop_is_limited_and_said() -> None:
    sharp = Profile(np.array([0.0, 5, 10]), np.array([5.0, 10, 40]), np.array([90.0, 4, 3]))
    raw = sharp.fit(0.0)
    assert interval_means(raw, [5], [10]).value[0, 0] == pytest.approx(4)
    assert interval_means(raw, [8], [10]).value[0, 0] < 0
    curve = bounded(raw)
    assert curve.state.tolist() == [0, LIMITED, LIMITED]
    found = interval_means(curve, [5, 8], [10, 10])
    assert found.value[0, 0] == pytest.approx(4)
    assert found.value[0, 1] >= 0
    assert found.state.tolist() == [[LIMITED, LIMITED]]


def test_steps_take_shares_of_layers() -> None:
    curve = steps([0, 10, 30], [10, 20, 50], [6.0, 3, 1], [0, 3])
    found = interval_means(curve, [0, 5, 15, 50], [10, 15, 40, 60], gaps=False)
    np.testing.assert_allclose(found.value, [[6, 4.5, (5 * 3 + 10 * 1) / 15, np.nan]])
    np.testing.assert_allclose(found.sampled, [[1, 1, 15 / 25, 0]])
    np.testing.assert_array_equal(found.covered, found.sampled)


def test_leaving_out_is_fitting_without() -> None:
    many = [
        Profile(
            np.array([0.0, 10, 25, 60]), np.array([10.0, 25, 50, 90]), np.array([30.0, 12, 9, 2])
        ),
        Profile(np.array([0.0, 5]), np.array([5.0, 9]), np.array([3.0, 1])),
    ]
    errors = left_out_errors(*together(many), [0.1, 1.0])
    assert np.isnan(errors[[0, 3, 4, 5]]).all()
    for row, out in ((1, 1), (2, 2)):
        kept = np.arange(4) != out
        left = Profile(*(getattr(many[0], n)[kept] for n in ("top", "bottom", "value")))
        for k, lam in enumerate((0.1, 1.0)):
            mean = interval_means(left.fit(lam), many[0].top[[out]], many[0].bottom[[out]]).value
            assert errors[row, k] == pytest.approx(float(mean[0, 0]) - many[0].value[out])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [1, np.nan, 3]}, r"layer 1 \(profile 0\) is not finite: 10 to 20 cm"),
        ({"top": [0, 9, 30]}, r"layer 1 \(profile 0\) begins above the end of the one before: 9"),
        ({"bottom": [10, 20, 30]}, r"layer 2 \(profile 1\) has no thickness: 30 to 30 cm"),
        ({"offsets": [0, 4]}, "offsets must ascend from 0 to the number of layers, 3"),
        ({"top": [0, 10]}, "2 tops, 3 bottoms and 3 values"),
        ({"lam": -1.0}, "lambda must be 0 or more, found -1"),
    ],
)
def test_bad_input_is_named(change: dict, message: str) -> None:
    given_ = {
        "top": [0, 10, 30], "bottom": [10, 20, 60], "value": [5, 4, 3], "offsets": [0, 2, 3],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        fit_spline(**{**given_, **change})


def test_intervals_and_bounds_must_be_in_order() -> None:
    curve = fit_spline([0], [10], [5], [0, 1])
    with pytest.raises(ValueError, match="end below where they begin"):
        interval_means(curve, [10], [10])
    with pytest.raises(ValueError, match="must not lie above"):
        bounded(curve, 3, 2)


def test_overlapping_layers_are_cut_and_averaged() -> None:
    top = np.array([0.0, 0.0, 10.0, 40.0, 0.0, 20.0])
    bottom = np.array([20.0, 20.0, 30.0, 60.0, 20.001, 30.0])
    value = np.array([8.0, 4.0, 2.0, 1.0, 7.0, 3.0])
    *parts, changed = separate(top, bottom, value, np.array([0, 4, 6]))
    assert [p.tolist() for p in parts] == [
        [0, 10, 20, 40, 0, 20], [10, 20, 30, 60, 20, 30], [6, 14 / 3, 2, 1, 7, 3], [0, 4, 6],
    ]  # fmt: skip
    assert changed.tolist() == [True, False]


@given(st.lists(profiles(gaps=False), min_size=1, max_size=4))
def test_layers_that_do_not_overlap_stay(many: list[Profile]) -> None:
    top, bottom, value, offsets = together(many)
    *parts, changed = separate(top, bottom, value, offsets)
    assert not changed.any()
    np.testing.assert_allclose(parts[0], top, atol=0.0051)
    np.testing.assert_array_equal(parts[2], value)
    np.testing.assert_array_equal(parts[3], offsets)
