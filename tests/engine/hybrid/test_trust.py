"""Trust in terms of a course: recovered where data tell, at the prior where they don't."""

from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.hybrid.trust import site_means, trusted


def world(sites: int, revisited: bool, slopes: tuple[float, ...], noise: float = 0.3) -> tuple:
    """Return arguments of `trusted` for stocks with a trend of 0.2 and terms of known slopes."""
    rng = np.random.default_rng(sites)
    dates = np.array([-1.0, 1.0])
    if revisited:
        site, clock = np.repeat(np.arange(sites), 2), np.tile(dates, sites)
    else:
        site, clock = np.arange(sites), dates[np.arange(sites) % 2]
    level = 0.8 * rng.standard_normal(sites)
    per_site = rng.standard_normal((len(slopes), sites))
    terms = per_site[:, site] * clock
    left = level[site] + 0.2 * clock + np.array(slopes) @ terms
    return left + noise * rng.standard_normal(len(left)), site, np.ones(len(left)), clock, terms


def test_what_changes_bear_out_is_trusted_and_what_they_contradict_is_not() -> None:
    found = trusted(*world(400, True, (0.7, -0.6, 1.6)))
    assert found.trust[0] == pytest.approx(0.7, abs=0.12)  # two others are held back
    assert found.trust[1] == pytest.approx(0, abs=1e-9)
    assert found.trust[2] == pytest.approx(1)
    np.testing.assert_allclose(found.slope, [0.7, -0.6, 1.6], atol=0.06)
    assert found.trend == pytest.approx(0.2, abs=0.1)


def test_standard_errors_are_those_of_differences_between_dates() -> None:
    left, site, weight, clock, terms = world(300, True, (0.5,))
    found = trusted(left, site, weight, clock, terms)
    change, moved = np.diff(left.reshape(-1, 2))[:, 0], np.diff(terms[0].reshape(-1, 2))[:, 0]
    design = np.stack([np.full(300, 2.0), moved], axis=1)
    beta, residual, *_ = np.linalg.lstsq(design, change, rcond=None)
    error = np.sqrt(np.linalg.inv(design.T @ design)[1, 1] * residual[0] / 298)
    # levels still tell a little of time, so no less sure, and hardly surer
    assert found.slope[0] == pytest.approx(beta[1], abs=0.2 * error)
    assert 0.9 * error < found.error[0] < 1.05 * error


def test_sites_seen_once_tell_less_and_leave_more_to_the_prior() -> None:
    again, once = trusted(*world(60, True, (1.0,))), trusted(*world(60, False, (1.0,)))
    assert once.error[0] > 1.5 * again.error[0]
    assert (once.share == 0).all()
    assert (again.share > 0.5).all()


def test_without_evidence_trust_stays_where_it_was_and_there_is_no_trend() -> None:
    left, site, weight, _, _ = world(50, True, (1.0,))
    found = trusted(left, site, weight, np.zeros(100), np.zeros((1, 100)), prior=(0.3, 0.2))
    assert found.trust[0] == pytest.approx(0.3)
    assert found.trend == pytest.approx(0)
    sure = trusted(*world(400, True, (0.9,)), prior=(0.1, 0.001))
    assert sure.trust[0] == pytest.approx(0.1, abs=0.01)


def test_rows_of_no_weight_do_not_count() -> None:
    left, site, weight, clock, terms = world(200, True, (0.6,))
    plain = trusted(left[:200], site[:200], weight[:200], clock[:200], terms[:, :200])
    weight[200:] = 1e-12
    same = trusted(left, site, weight, clock, terms)
    assert same.slope[0] == pytest.approx(plain.slope[0], abs=1e-3)


def test_means_of_sites() -> None:
    found = site_means(np.array([1.0, 5.0, 3.0]), np.array([2, 0, 2]))
    assert found.tolist() == [2, 5, 2]
