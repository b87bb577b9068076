"""Patches are mirrored and turned, all eight ways alike, by a generator that is given."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from edaphos.engine.conv.augment import SYMMETRIES, augmented, turned


def symmetries(patch: np.ndarray) -> set[bytes]:
    """All eight, built from transposing and reversing rows alone."""
    found, todo = set(), [patch]
    while todo:
        one = np.ascontiguousarray(todo.pop())
        if one.tobytes() not in found:
            found.add(one.tobytes())
            todo += [one.swapaxes(1, 2), one[:, ::-1]]
    return found


def test_the_eight_are_those_of_a_square() -> None:
    patch = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    found = turned(np.repeat(patch[None], SYMMETRIES, axis=0), np.arange(SYMMETRIES))
    assert {one.tobytes() for one in found} == symmetries(patch)
    assert len(symmetries(patch)) == 8
    np.testing.assert_array_equal(found[0], patch)


def test_each_is_as_likely_and_drawn_by_the_generator() -> None:
    patches = np.repeat(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3), 4000, axis=0)
    found = augmented(patches, np.random.default_rng(1))
    _, counts = np.unique(found.reshape(4000, 9), axis=0, return_counts=True)
    assert len(counts) == 8
    assert chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(found, augmented(patches, np.random.default_rng(1)))
    assert not np.array_equal(found, augmented(patches, np.random.default_rng(2)))
    np.testing.assert_array_equal(found[:, :, 1, 1], 4)
