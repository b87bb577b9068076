"""Layers computed from other layers at build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .cube_layout import Variable
from .cube_spec import CubeSpec
from .fields import Field


def derive(
    spec: CubeSpec, fields: Mapping[str, Field], variables: Mapping[str, Variable]
) -> Iterator[tuple[Variable, Field]]:
    """Yield each derived variable and its field."""
    yield from ()
