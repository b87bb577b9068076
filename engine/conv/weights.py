"""A net on disk, together with what it may be asked about.

One safetensors file holds the weights and, as JSON in its header, the net's shape, the bands it
was trained on with their scaling, its target, and the cube variables with their units and kinds.
So the weights cannot part from what they mean, and a cube that does not hold the same is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edaphos.kernels.conv_net import ConvShape, build

from ..cube.cube import Cube
from ..errors import InputError, StoreError, did_you_mean
from ..grid import Grid
from ..need_torch import need_torch
from ..place import Place
from ..store import write_atomically
from ..tensor_file import Tensors, read_tensor_file, tensor_file

if TYPE_CHECKING:
    from edaphos.kernels.patch_net import PatchNet

SCHEMA = 1
VERSIONED = ("edaphos", "torch", "numpy", "safetensors")
#: Cell sizes may differ by this share.
_SAME_SIZE = 1e-6


@dataclass(frozen=True)
class Seen:
    """A cube variable as a net learned it."""

    kind: str
    time: str
    units: str


@dataclass(frozen=True)
class NetCard:
    """What a net is, beside its weights.

    Parameters
    ----------
    bands
        Names of its channels, in order.
    channels
        How they are made from the cube's values: the scaling of each, in plain values.
    target, units
        What it says, and in which units after `scaling` is undone.
    scaling
        How its output becomes the target: plain values that the model understands.
    variables
        The cube variables behind its channels.
    crs, cell
        CRS and cell size of the grid that its patches lie on.
    more
        Anything else that the model wants to find again, in plain values.
    """

    bands: tuple[str, ...]
    channels: Mapping[str, Any]
    target: str
    units: str
    scaling: Mapping[str, Any]
    variables: Mapping[str, Seen]
    crs: str
    cell: float
    more: Mapping[str, Any] = field(default_factory=dict)

    def check(self, cube: Cube, grid: Grid) -> None:
        """Refuse a cube or a grid on which this net would not see what it learned.

        Raises
        ------
        InputError
            Naming each variable that is missing, or has other units, another kind or time axis;
            or the grid, where its cells are of another size or CRS.
        """
        problems = list(self._problems(cube))
        if problems:
            raise InputError(
                f"{cube.path}: the net cannot be applied to this cube: {'; '.join(problems)}. "
                "Use the cube that it was trained on, or one built alike; or train a net for this "
                "one"
            )
        crs, cell = _cells(grid)
        if crs != self.crs or abs(cell / self.cell - 1) > _SAME_SIZE:
            raise InputError(
                f'grid "{grid.name}": the net learned from patches of cells of {self.cell:g} in '
                f"{self.crs}, and this grid's are of {cell:g} in {crs}; what lies around a place "
                "would look otherwise to it. Map on the grid of the training, or train for this one"
            )

    def _problems(self, cube: Cube) -> list[str]:
        known = cube.manifest.variables
        found = []
        for name, seen in self.variables.items():
            if name not in known:
                found.append(f'it has no variable "{name}" ({did_you_mean(name, known)})')
                continue
            for what, learned in asdict(seen).items():
                given = getattr(known[name], what)
                if given != learned:
                    found.append(f'{what} of "{name}": "{learned}" in training, "{given}" here')
        return found


def variables_seen(cube: Cube, names: Sequence[str]) -> dict[str, Seen]:
    """Return cube variables as a net trained on this cube learns them."""
    held = {name: cube.variable(name) for name in dict.fromkeys(names)}
    return {name: Seen(v.kind, v.time, v.units) for name, v in held.items()}


def grid_seen(grid: Grid) -> dict[str, Any]:
    """Return ``crs`` and ``cell`` of a card for patches on this grid."""
    crs, cell = _cells(grid)
    return {"crs": crs, "cell": cell}


def save_net(path: Place, net: PatchNet, card: NetCard) -> None:
    """Write a net and its card as one file, whole or not at all."""
    if len(card.bands) != net.bands:
        raise ValueError(f"the net takes {net.bands} bands, the card names {len(card.bands)}")
    about = {
        "schema": SCHEMA,
        "shape": asdict(net.shape),
        "outputs": net.outputs,
        "heads": len(net.heads),
        "extra": net.extra,
        "card": asdict(card),
        "versions": {name: version(name) for name in VERSIONED},
    }
    write_atomically(path, tensor_file(net.state_dict(), about))


def load_net(path: Place) -> tuple[PatchNet, NetCard]:
    """Read what :func:`save_net` wrote; the net is in evaluation mode.

    Raises
    ------
    InputError
        There is no such file, it was written by a newer edaphos, or torch is not installed.
    StoreError
        It is damaged, or its weights are not of the shape that it names.
    """
    need_torch()
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights; fit the model again")
    tensors, about = read_tensor_file(path, "fit the model again")
    if about.get("schema", 0) > SCHEMA:
        raise InputError(
            f"{path}: schema {about['schema']} is newer than this edaphos knows ({SCHEMA}); "
            f"it was written by edaphos {about.get('versions', {}).get('edaphos', '?')}"
        )
    try:
        shape, card = ConvShape(**about["shape"]), about["card"]
        seen = {name: Seen(**held) for name, held in card["variables"].items()}
        found = NetCard(**{**card, "bands": tuple(card["bands"]), "variables": seen})
        sizes = (about["outputs"], about["heads"], about["extra"])
        net = build(shape, len(found.bands), *sizes, seed=0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not readable ({error!r}); fit the model again") from error
    _fill(path, net, tensors)
    return net.eval(), found


def _fill(path: Place, net: PatchNet, tensors: Tensors) -> None:
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != given:
        names = sorted(k for k in {*wanted, *given} if wanted.get(k) != given.get(k))
        raise StoreError(
            f"{path}: its weights are not of the shape that it names: {', '.join(names)}; fit the "
            "model again"
        )
    net.load_state_dict(tensors)


def _cells(grid: Grid) -> tuple[str, float]:
    epsg = grid.crs.to_epsg()
    return (f"EPSG:{epsg}" if epsg else grid.crs.to_wkt()), grid.resolution[0]
