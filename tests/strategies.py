"""What properties are tested on, for hypothesis: worlds of RothC with their edges among them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from hypothesis import strategies as st

from edaphos.kernels.rothc_arrays import Array, Forcing, Soil, State

FORCING = tuple(field.name for field in fields(Forcing))
#: Where the temperature modifier starts, would divide by zero, and would overflow.
COLD_EDGES = (-5.0, -5.001, -18.27, -18.2700001, -40.0)


@dataclass(frozen=True, repr=False)
class World:
    """Pixels side by side: what drives them, their soil, and where they stand."""

    forcing: Forcing
    soil: Soil
    state: State

    @property
    def pixels(self) -> int:
        return self.forcing.pixels

    def part(self, pixels: slice | Array) -> World:
        """These pixels alone."""
        return World(
            forcing_like(self.forcing, lambda _, a: a[:, pixels]),
            Soil(self.soil.clay[pixels], self.soil.depth[pixels]),
            State(self.state.pools[:, pixels], self.state.deficit[pixels]),
        )

    def changed(self, name: str, row: int, pixel: int, value: float) -> World:
        """One number is another: `row` of the forcing's field or of the pools."""

        def put(a: Array) -> Array:
            copy = np.array(a, np.result_type(a, np.float32))
            copy[(row % len(a), pixel) if a.ndim == 2 else pixel] = value
            return copy

        owner = next(k for k in ("forcing", "soil", "state") if hasattr(getattr(self, k), name))
        old = getattr(self, owner)
        return replace(self, **{owner: replace(old, **{name: put(getattr(old, name))})})

    def of(self, dtype: type) -> World:
        """The same with the state in another type."""
        pools, deficit = self.state.pools.astype(dtype), self.state.deficit.astype(dtype)
        return replace(self, state=State(pools, deficit))


def forcing_like(forcing: Forcing, change) -> Forcing:
    """The forcing with ``change(name, array)`` in place of each array."""
    given = {name: a for name in FORCING if (a := getattr(forcing, name)) is not None}
    return Forcing(**{name: change(name, a) for name, a in given.items()})


def scaled(forcing: Forcing, factor: float | Array) -> Forcing:
    """The forcing with all carbon that enters multiplied."""
    return forcing_like(
        forcing, lambda name, a: a * factor if name in ("plant_input", "manure") else a
    )


def world(
    seed: int,
    pixels: int = 40,
    months: int = 12,
    *,
    manure: bool = True,
    tilled: bool = False,
    warm: bool = False,
) -> World:
    """Seasons from the poles to the tropics, deserts and marshes, sand, clay, bare soil.

    In a `warm` world something decomposes in every pixel.
    """
    rng = np.random.default_rng(seed)
    size = (months, pixels)
    season = np.cos(2 * np.pi * (np.arange(months)[:, None] / 12 + rng.random(pixels)))
    temperature = rng.uniform(-30, 30, pixels) + rng.uniform(0, 25, pixels) * season
    temperature = np.where(rng.random(size) < 0.05, rng.choice(COLD_EDGES, size), temperature)
    if warm:
        temperature[min(6, months - 1)] = rng.uniform(5, 30, pixels)
    clay = rng.choice([0.0, 100.0, -1.0], pixels, p=[0.1, 0.1, 0.8])
    clay = np.where(clay < 0, rng.uniform(0, 100, pixels), clay)
    soil = Soil(clay, rng.choice([1.0, 23.0, 30.0, 100.0], pixels))
    driest = -(20 + 1.3 * clay - 0.01 * clay**2) * soil.depth / 23
    plant = rng.uniform(0, 0.6, size) * (rng.random(size) < 0.7) * (rng.random(pixels) < 0.9)
    if warm:
        plant[0] = 0.1
    shares = np.array([0.05, 0.3, 0.05, 1.0])[:, None]
    return World(
        Forcing(
            temperature,
            rng.gamma(1.0, rng.choice([1, 60, 200], pixels), size),
            rng.gamma(2.0, rng.choice([1, 30, 100], pixels), size),
            (rng.random(size) < rng.random(pixels)).astype(np.uint8),
            plant,
            rng.choice([0.25, 0.67, 1.44], size),
            rng.uniform(0, 1, size) * (rng.random(size) < 0.2) if manure else None,
            rng.uniform(0.5, 1.5, size) if tilled else None,
        ),
        soil,
        State(rng.uniform(0, 60, (4, pixels)) * shares, driest * rng.random(pixels)),
    )


seeds = st.integers(0, 2**32 - 1)
anyhow = {"manure": st.booleans(), "tilled": st.booleans()}
worlds = st.builds(world, seeds, **anyhow)
warm_worlds = st.builds(world, seeds, **anyhow, warm=st.just(True))
