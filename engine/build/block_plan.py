"""From what a cube is to hold to the arrays that will hold it, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from odc.geo.geobox import GeoBox

from ..cube.layout import MaskRoles, Stack, Variable
from ..errors import InputError, did_you_mean
from .derive import derive
from .fields import Field, FilledField, MaskedField, SourceField
from .native import Rect
from .packaged import PACKAGE, dataset
from .sources import open_source
from .spec import CubeSpec, LayerSpec

CHUNK = 256
_LARGEST_SHARD = 2048
_SHARD_BYTES = 256 * 2**20


class Block(NamedTuple):
    """One shard's rectangle of a stack: the unit of building."""

    stack: str
    row: int
    column: int

    @property
    def name(self) -> str:
        """Name of its record."""
        return f"{self.stack}.{self.row}.{self.column}"


@dataclass(frozen=True)
class Plan:
    """Stacks and variables of the cube to be, and the fields that give their values."""

    stacks: Mapping[str, Stack]
    variables: Mapping[str, Variable]
    fields: Mapping[str, Field]
    notes: Mapping[str, tuple[str, ...]]
    masks: MaskRoles

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks, stack by stack, row by row."""
        for name, stack in self.stacks.items():
            side = shard_side(stack)
            for row in range(math.ceil(stack.shape[0] / side)):
                for column in range(math.ceil(stack.shape[1] / side)):
                    yield Block(name, row, column)

    def rect(self, block: Block) -> Rect:
        """Return the cells of a block."""
        stack = self.stacks[block.stack]
        side = shard_side(stack)
        row, column = block.row * side, block.column * side
        return Rect(
            row, min(row + side, stack.shape[0]), column, min(column + side, stack.shape[1])
        )


def shard_side(stack: Stack) -> int:
    """Return cells along a shard's side: up to 2048, less where many bands share it."""
    layers = len(stack.bands) * (12 if stack.time == "monthly" else 1)
    side = _LARGEST_SHARD
    while side > CHUNK and layers * side * side * 4 > _SHARD_BYTES:
        side //= 2
    return min(side, math.ceil(max(stack.shape) / CHUNK) * CHUNK)


def open_plan(spec: CubeSpec, staging: Path | None = None) -> Plan:
    """Open all sources and lay out the cube.

    Raises
    ------
    InputError
        Where a source cannot be used as declared, or names clash.
    """
    fields: dict[str, Field] = {}
    variables: dict[str, Variable] = {}
    notes: dict[str, tuple[str, ...]] = {}
    unfilled: dict[str, Field] = {}
    for layer in spec.layers:
        _refuse_double(layer.name, variables)
        if layer.seasonal_gap and layer.fill_radius_deg > 0:
            raise InputError(
                f'layer "{layer.name}": a seasonal gap is never filled: remove seasonal_gap or '
                "fill_radius_deg"
            )
        source = open_source(layer, spec.base, staging)
        field: Field = SourceField(layer, source)
        if layer.missing_with:
            field = MaskedField(field, _mask(layer, field, unfilled))
        unfilled[layer.name] = field
        if layer.fill_radius_deg > 0:
            if not field.geobox.crs.geographic:
                raise InputError(
                    f'layer "{layer.name}": fill_radius_deg needs a grid in degrees, found '
                    f"{source.geobox.crs}; remove it"
                )
            field = FilledField(field, layer.fill_radius_deg)
        fields[layer.name] = field
        notes[layer.name] = source.layout.notes
        variables[layer.name] = _described(layer, source.native.units, source.native.long_name)
    for variable, field in derive(spec, fields, variables):
        _refuse_double(variable.name, variables)
        fields[variable.name], variables[variable.name] = field, variable
    stacks, variables = _stacked(fields, variables)
    role = "soil_mask" if spec.soil_mask is not None else ""
    return Plan(stacks, variables, fields, notes, MaskRoles(role))


def _mask(layer: LayerSpec, field: Field, above: Mapping[str, Field]) -> Field:
    """Return the layer that `layer` is missing with, before it is filled."""
    where = f'layer "{layer.name}": missing_with = "{layer.missing_with}"'
    if layer.missing_with not in above:
        raise InputError(f"{where} is no layer above it: {did_you_mean(layer.missing_with, above)}")
    mask = above[layer.missing_with]
    if mask.geobox != field.geobox or mask.steps not in (1, field.steps):
        raise InputError(
            f"{where} lies on another grid or time axis: {mask.steps} step(s) of "
            f"{mask.geobox.shape} cells, expected 1 or {field.steps} of {field.geobox.shape}"
        )
    return mask


def _refuse_double(name: str, variables: Mapping[str, Variable]) -> None:
    if name in variables:
        raise InputError(f'two layers are called "{name}"; give each its own name')


def _described(layer: LayerSpec, units: str, long_name: str) -> Variable:
    """Return a source layer's variable, not yet placed in a stack."""
    source, licence, citation = layer.source, layer.licence, layer.citation
    if layer.file.startswith(PACKAGE):
        packaged = dataset(layer)
        source = source or f"{packaged.source} {packaged.version}"
        licence, citation = licence or packaged.licence, citation or packaged.citation
    return Variable(
        name=layer.name,
        kind=layer.kind,
        time=layer.time,
        stack="",
        band=0,
        units=layer.units or ("1" if layer.kind == "class" else units or "1"),
        long_name=layer.long_name or long_name,
        years=layer.years if layer.time == "yearly" else (),
        source=source,
        licence=licence,
        citation=citation,
        fill_radius_deg=layer.fill_radius_deg,
        seasonal_gap=layer.seasonal_gap,
        directional=layer.directional,
    )


def _stacked(
    fields: Mapping[str, Field], variables: Mapping[str, Variable]
) -> tuple[dict[str, Stack], dict[str, Variable]]:
    """Put variables that share grid, kind and time axis into one stack each."""
    members: dict[tuple[object, ...], list[str]] = {}
    for name, variable in variables.items():
        box = fields[name].geobox
        key = (str(box.crs), tuple(box.affine[:6]), tuple(box.shape))
        members.setdefault((*key, variable.kind, variable.time, variable.years), []).append(name)
    stacks: dict[str, Stack] = {}
    placed: dict[str, Variable] = {}
    for names in members.values():
        first, box = variables[names[0]], fields[names[0]].geobox
        title = base = f"{first.kind}_{first.time}_{_resolution(box)}"
        while title in stacks:
            title = f"{base}_{sum(other.startswith(base) for other in stacks) + 1}"
        stacks[title] = Stack(
            name=title,
            crs=str(box.crs),
            transform=tuple(float(v) for v in box.affine[:6]),  # type: ignore[arg-type]
            shape=(int(box.shape[0]), int(box.shape[1])),
            kind=first.kind,
            time=first.time,
            bands=tuple(names),
            years=first.years,
        )
        for band, name in enumerate(names):
            placed[name] = replace(variables[name], stack=title, band=band)
    return stacks, {name: placed[name] for name in variables}


def _resolution(box: GeoBox) -> str:
    unit = "deg" if box.crs.geographic else "m"
    return f"{float(box.affine.a):.6g}{unit}"
