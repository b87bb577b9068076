"""Shapes of patch CNNs: what a net is built of, as plain numbers that JSON can hold.

Importable without torch; :func:`build` needs it. The blocks are those of Han et al. 2025
(convolution - activation - max pooling - batch normalisation - dropout, flatten, dense layers);
the paper prints no sizes, so the numbers are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .patch_net import PatchNet


@dataclass(frozen=True)
class ConvShape:
    """Sizes of a patch CNN.

    Parameters
    ----------
    patch
        Cells along a side of the square patch, odd: the cell in the middle is predicted.
    channels, kernels
        Output channels and kernel side of each convolution.
    padding
        Zeros put around what each convolution reads. With 0 a whole map costs little more than
        one convolution over it; with more, what a patch's rim says depends on where the patch
        lies, and a map costs several times as much (:mod:`edaphos.kernels.dense`).
    pool_after
        Convolutions, counted from 1, that 2 x 2 max pooling follows.
    dropout
        Share of values dropped in training, after each block and each hidden dense layer.
    dense
        Units of the hidden dense layers.
    activation
        ``swish`` (x times its logistic) or ``relu``.
    batch_norm
        Whether blocks and hidden dense layers normalise by batch.

    Raises
    ------
    ValueError
        Sizes that fit no net: the message names the parameter.
    """

    patch: int = 9
    channels: tuple[int, ...] = (32, 64, 128)
    kernels: tuple[int, ...] = (3, 3, 2)
    padding: int = 0
    pool_after: tuple[int, ...] = (2,)
    dropout: float = 0.2
    dense: tuple[int, ...] = (128, 64)
    activation: Literal["swish", "relu"] = "swish"
    batch_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "pool_after", "dense"):  # lists, where JSON was read
            object.__setattr__(self, name, tuple(int(v) for v in getattr(self, name)))
        if self.patch < 1 or self.patch % 2 == 0:
            raise ValueError(f"patch: must be odd, found {self.patch}")
        if not self.channels or min((*self.channels, *self.kernels, *self.dense)) < 1:
            raise ValueError("channels, kernels, dense: must be at least 1, and one convolution")
        if len(self.kernels) != len(self.channels):
            raise ValueError(
                f"kernels: one for each of {len(self.channels)} channels, found {len(self.kernels)}"
            )
        if not set(self.pool_after) <= set(range(1, len(self.channels) + 1)):
            raise ValueError(
                f"pool_after: convolutions from 1 to {len(self.channels)}, "
                f"found {list(self.pool_after)}"
            )
        if self.padding < 0:
            raise ValueError(f"padding: must not be negative, found {self.padding}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), found {self.dropout}")
        if self.activation not in ("swish", "relu"):
            raise ValueError(f'activation: "swish" or "relu", found "{self.activation}"')
        if min(self.sizes) < 1:
            raise ValueError(
                f"patch: {self.patch} cells shrink to nothing; sides after each convolution and "
                f"pooling would be {list(self.sizes)}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Side of what each convolution block hands on, in cells.

        Examples
        --------
        >>> ConvShape().sizes
        (7, 2, 1)
        """
        side, found = self.patch, []
        for place, kernel in enumerate(self.kernels, 1):
            side = side + 2 * self.padding - kernel + 1
            if place in self.pool_after:
                side //= 2
            found.append(side)
        return tuple(found)

    @property
    def halo(self) -> int:
        """Cells that a map needs beyond each side."""
        return self.patch // 2


#: What methods.md section 2 takes where the paper prints no sizes.
SPEC_SHAPE = ConvShape(kernels=(3, 3, 3), padding=1, pool_after=(1, 2))


def build(
    shape: ConvShape,
    bands: int,
    outputs: int = 1,
    heads: int = 1,
    extra: int = 0,
    *,
    seed: int,
) -> PatchNet:
    """Return a new net of `shape`, its first weights drawn by NumPy from `seed`.

    Parameters
    ----------
    bands
        Channels of a patch.
    outputs
        Values of each head.
    heads
        Dense parts that share the convolutions: one, or one for each depth.
    extra
        Numbers joined after the convolutions: depth, where the net reads it.

    Raises
    ------
    ModuleNotFoundError
        Without torch.
    """
    from .patch_net import PatchNet

    return PatchNet(shape, bands, outputs, heads, extra, seed=seed)
