from __future__ import annotations

import numpy as np
import pytest

from edaphos.engine.products.colours import (
    CARBON,
    CHANGE,
    COUNTS,
    PALETTE,
    SIGNED,
    WIDTH,
    lab_to_rgb,
)
from edaphos.engine.products.significance import COLOURS, GAIN, LOSS


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """The forward transform, CIE 15:2004, written separately from the inverse under test."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = linear @ matrix.T / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def test_published_colours() -> None:
    # Lindbloom's calculator, sRGB, D65: the primaries and mid grey.
    known = {
        (53.24, 80.09, 67.20): (1, 0, 0),
        (87.73, -86.18, 83.18): (0, 1, 0),
        (32.30, 79.19, -107.86): (0, 0, 1),
        (53.585, 0.0, 0.0): (0.50196, 0.50196, 0.50196),
    }
    np.testing.assert_allclose(lab_to_rgb(list(known)), list(known.values()), atol=0.01)


@pytest.mark.parametrize("colours", [CARBON, WIDTH, COUNTS])
def test_ramps_darken_steadily_in_even_steps(colours) -> None:
    lab = rgb_to_lab(np.asarray(colours.colors)[:, :3])
    assert (np.diff(lab[:, 0]) < 0).all()
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.std() / steps.mean() < 0.12


def test_the_signed_ramp_is_lightest_in_the_middle() -> None:
    light = rgb_to_lab(np.asarray(SIGNED.colors)[:, :3])[:, 0]
    middle = int(light.argmax())
    assert abs(middle - 127.5) < 16
    assert (np.diff(light[: middle + 1]) > 0).all()
    assert (np.diff(light[middle:]) < 0).all()


def test_gains_and_losses_have_one_colour_on_all_maps() -> None:
    colours = np.asarray(CHANGE.colors)[:, :3]
    for end, code in ((colours[:64], LOSS), (colours[-64:], GAIN)):
        own = np.array(COLOURS[code])
        assert (np.sign(end[:, 0] - end[:, 2]) == np.sign(own[0] - own[2])).all()  # rust or teal


def test_palette_colours_cannot_be_mistaken_for_each_other() -> None:
    assert len(set(PALETTE)) == len(PALETTE) == len(set(PALETTE.values()))
