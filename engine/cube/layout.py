"""How a cube lies on disk: the contract between building it and reading it.

::

    world.zarr/
        zarr.json                 root group
        cube.json                 CubeManifest: written last, so a cube without it is unfinished
        stacks/<stack>/           one Zarr group for each (source grid, dtype, time axis)
            values                (band, y, x) | (month, band, y, x) | (year, band, y, x)
            x, y                  cell centres in the source's CRS
            spatial_ref           CF grid mapping

A stack keeps its sources' own resolution. Amounts are float32 with NaN for missing, classes are
int16 with -1 for missing. y always runs from north to south and x from west to east; the readers
in ``engine/build`` put sources that are laid out otherwise in this order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from odc.geo.geobox import GeoBox

from ..errors import InputError, did_you_mean
from ..place import Place
from ..store import StoredObject, safe_key

SCHEMA = 1
MANIFEST = "cube.json"
CLASS_FILL = -1
#: Derived variables whose values depend on the points of the compass.
DIRECTIONAL = ("aspect_sin", "aspect_cos")

Kind = Literal["amount", "class"]
Time = Literal["static", "monthly", "yearly"]


@dataclass(frozen=True)
class Variable:
    """One covariate of a cube.

    Parameters
    ----------
    name
        As models ask for it.
    kind
        ``amount`` (resampled by bilinear weights or area average) or ``class`` (nearest or mode).
    time
        ``static``, ``monthly`` (a climatology) or ``yearly``.
    stack, band
        Where it lies: the stack's name and the index along its band axis.
    units, long_name
        CF attributes.
    years
        The years held, ascending, for yearly variables.
    source, licence, citation
        Where it came from; travels into every product.
    filled_cells, fill_radius_deg
        Source cells filled from neighbours at build (coastal gaps), and the radius allowed.
    seasonal_gap
        Declared: missing in some months or places on purpose and never filled.
    derived_from
        Names of the variables it was computed from at build, if any.
    directional
        Declared: values depend on the points of the compass (aspect, wind components), so that a
        mirrored or turned patch of them is none that could occur.
    """

    name: str
    kind: Kind
    time: Time
    stack: str
    band: int
    units: str = "1"
    long_name: str = ""
    years: tuple[int, ...] = ()
    source: str = ""
    licence: str = ""
    citation: str = ""
    filled_cells: int = 0
    fill_radius_deg: float = 0.0
    seasonal_gap: bool = False
    derived_from: tuple[str, ...] = ()
    directional: bool = False


@dataclass(frozen=True)
class Stack:
    """An array of variables that share grid, type and time axis."""

    name: str
    crs: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    kind: Kind
    time: Time
    bands: tuple[str, ...]
    years: tuple[int, ...] = ()

    @property
    def geobox(self) -> GeoBox:
        """The source grid."""
        from affine import Affine

        return GeoBox(self.shape, Affine(*self.transform), self.crs)

    @property
    def path(self) -> str:
        """Path of the group below the cube's root."""
        return f"stacks/{self.name}"


@dataclass(frozen=True)
class MaskRoles:
    """Which variables tell where soil can be.

    Parameters
    ----------
    soil_mask
        Class variable with the codes of :class:`edaphos.engine.status.Status` (or "" if none):
        derived at build from the land mask and land cover.
    """

    soil_mask: str = ""


@dataclass(frozen=True)
class CubeManifest:
    """What a cube holds and what it was made from.

    ``digest`` is the SHA-256 over the keys, sizes and checksums of all objects below ``stacks/``,
    as recorded while they were written.
    """

    stacks: Mapping[str, Stack]
    variables: Mapping[str, Variable]
    masks: MaskRoles
    objects: tuple[StoredObject, ...]
    digest: str
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA

    def variable(self, name: str) -> Variable:
        """Return a variable, or say which one was probably meant."""
        if name not in self.variables:
            raise InputError(
                f'the cube has no variable "{name}": {did_you_mean(name, self.variables)}'
            )
        return self.variables[name]

    def to_json(self) -> str:
        """Return the manifest as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, default=list) + "\n"


def objects_digest(objects: tuple[StoredObject, ...]) -> str:
    """Return the SHA-256 over key, size and checksum of `objects`, by key."""
    digest = hashlib.sha256()
    for item in sorted(objects, key=lambda o: o.key):
        digest.update(f"{item.key}\0{item.size}\0{item.crc32c}\n".encode())
    return digest.hexdigest()


def read_manifest(cube: Place) -> CubeManifest:
    """Read ``cube.json``; an absent one means the cube was never finished.

    Raises
    ------
    InputError
        There is no cube, or its manifest cannot be read, or names a place outside the cube.
    """
    path = cube / MANIFEST
    if not cube.exists():
        raise InputError(f"{cube}: no such cube; build it with `edaphos cube build`")
    if not path.exists():
        raise InputError(
            f"{cube}: no {MANIFEST}, so building was interrupted or this is no cube; "
            "run `edaphos cube build` again, it continues where it stopped"
        )
    try:
        raw = json.loads(path.read_text())
        if raw["schema"] > SCHEMA:
            raise InputError(
                f"{path}: schema {raw['schema']} is newer than this edaphos knows ({SCHEMA})"
            )
        manifest = CubeManifest(
            stacks={k: Stack(**_tuples(v)) for k, v in raw["stacks"].items()},
            variables={k: _variable(v) for k, v in raw["variables"].items()},
            masks=MaskRoles(**raw["masks"]),
            objects=tuple(StoredObject(**o) for o in raw["objects"]),
            digest=raw["digest"],
            sources=raw["sources"],
            schema=raw["schema"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a readable cube manifest ({error}); build the cube again"
        ) from error
    _check_keys(manifest, path)
    return manifest


def _check_keys(manifest: CubeManifest, path: Place) -> None:
    """Refuse a manifest that would have anything read from outside the cube's stacks."""
    keys = [item.key for item in manifest.objects]
    named = [*manifest.stacks, *(stack.name for stack in manifest.stacks.values())]
    try:
        for key in keys + named:
            safe_key(key)
        strange = [key for key in keys if not key.startswith("stacks/")]
        strange += [name for name in named if "/" in name]
        strange += [v.stack for v in manifest.variables.values() if v.stack not in manifest.stacks]
        if strange:
            raise InputError(f'"{strange[0]}" is not below the cube\'s stacks')
    except InputError as error:
        raise InputError(
            f"{path}: {error}; the manifest was not written by edaphos, or altered since"
        ) from error


def _variable(raw: Mapping[str, Any]) -> Variable:
    """Return a variable; of cubes built before it was told, derived aspect is directional."""
    told = _tuples(raw)
    if "directional" not in told:
        told["directional"] = bool(told["derived_from"]) and told["name"] in DIRECTIONAL
    return Variable(**told)


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
