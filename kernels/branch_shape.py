"""Nets with a branch for each group of covariates: what one is built of, as plain numbers.

Importable without torch; :func:`build` needs it. GSoilCPM (Zhang L. et al. 2025) reads five groups
of covariates, each through a branch of its own, and merges them. Its released network looks at one
cell and has nothing non-linear before its first ReLU (:data:`PUBLISHED`); here a branch may see a
window of its own, and bend what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .branch_net import BranchNet

#: Side of the largest kernel of a branch, and sides from which 2 x 2 pooling follows it.
KERNEL, POOLED_FROM = 3, 4


@dataclass(frozen=True)
class Branch:
    """What one branch reads.

    Parameters
    ----------
    name
        Of the group of covariates.
    bands
        Channels that it reads.
    window
        Cells along a side of the square that it sees, odd; the cell in the middle is predicted.
    embedding
        Numbers that the channels of each cell become first, by one matrix: the embedding of a
        class whose codes are one-hot channels. 0: none.
    """

    name: str
    bands: int
    window: int = 1
    embedding: int = 0

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f'window of "{self.name}": must be odd, found {self.window}')
        if self.bands < 1 or self.embedding < 0:
            raise ValueError(f'"{self.name}": bands must be at least 1, embedding 0 or more')

    @property
    def kernels(self) -> tuple[tuple[int, bool], ...]:
        """Side of each convolution, and whether pooling follows, until one cell is left.

        Examples
        --------
        >>> Branch("relief", 6, 9).kernels
        ((3, True), (3, False))
        >>> Branch("climate", 19).kernels
        ((1, False),)
        """
        side = self.window
        found: list[tuple[int, bool]] = []
        while side > 1 or not found:
            kernel = min(KERNEL, side)
            side += 1 - kernel
            pooled = side >= POOLED_FROM
            side = side // 2 if pooled else side
            found.append((kernel, pooled))
        return tuple(found)


@dataclass(frozen=True)
class BranchShape:
    """Sizes of a net of branches.

    Parameters
    ----------
    branches
        One for each group of covariates.
    width
        Output channels of each convolution of a branch.
    merged
        Units that join the branches.
    dense
        Units of the hidden dense layers; a ReLU follows each.
    dropout
        Share of values dropped in training after each of them.
    between
        What bends values in branches and after they are joined: ``gelu``, or ``none`` as in the
        released network.
    group_dropout
        Share of training rows from which a group is hidden, each group on its own, so that the net
        learns to do without it.

    Raises
    ------
    ValueError
        Sizes that fit no net.
    """

    branches: tuple[Branch, ...]
    width: int = 32
    merged: int = 128
    dense: tuple[int, ...] = (256, 128)
    dropout: tuple[float, ...] = (0.2, 0.5)
    between: Literal["gelu", "none"] = "gelu"
    group_dropout: float = 0.0

    def __post_init__(self) -> None:
        given = tuple(b if isinstance(b, Branch) else Branch(**b) for b in self.branches)
        object.__setattr__(self, "branches", given)
        for name in ("dense", "dropout"):  # lists, where JSON was read
            object.__setattr__(self, name, tuple(getattr(self, name)))
        names = [b.name for b in given]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"branches: at least one, each of a name of its own, found {names}")
        if min((self.width, self.merged, *self.dense)) < 1:
            raise ValueError("width, merged, dense: must be at least 1")
        if len(self.dropout) != len(self.dense):
            raise ValueError(f"dropout: one for each of {len(self.dense)} hidden dense layers")
        if not all(0 <= share < 1 for share in (*self.dropout, self.group_dropout)):
            raise ValueError("dropout, group_dropout: must be in [0, 1)")
        if self.between not in ("gelu", "none"):
            raise ValueError(f'between: "gelu" or "none", found "{self.between}"')

    @property
    def window(self) -> int:
        """Cells along a side of the largest window."""
        return max(branch.window for branch in self.branches)

    @property
    def halo(self) -> int:
        """Cells that a map needs beyond each side."""
        return self.window // 2


#: The released network of GSoilCPM: MODIS reflectance, relief, WorldClim, EVI, GLiM's code.
PUBLISHED = BranchShape(
    branches=(
        Branch("band", 7),
        Branch("topo", 2),
        Branch("climate", 19),
        Branch("vege", 3),
        Branch("bedrock", 1),
    ),
    between="none",
)


def build(shape: BranchShape, outputs: int = 1, extra: int = 0, *, seed: int) -> BranchNet:
    """Return a new net of `shape`, its first weights drawn by NumPy from `seed`.

    Parameters
    ----------
    outputs
        Values for each row.
    extra
        Numbers joined to what the branches merge into: depth and year, where the net reads them.

    Raises
    ------
    ModuleNotFoundError
        Without torch.
    """
    from .branch_net import BranchNet

    return BranchNet(shape, outputs, extra, seed=seed)
