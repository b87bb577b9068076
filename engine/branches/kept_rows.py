"""Training rows that are kept with a model of the world, for forests beside a region's nets.

Targets, depths and covariates of a layer each, and a code of its place
(:func:`~edaphos.engine.branches.regions_out.place_codes`), by which a region leaves out rows of its
own places. No coordinates are among them; who has maps of the same covariates can find the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import StoreError
from ..place import Place
from ..samples import Samples
from ..store import write_atomically
from ..tensor_file import read_tensor_file, tensor_file
from .regions_out import codes_of_rows

KEPT_ROWS = "kept_rows.safetensors"
_COLUMNS = ("y", "weight", "top_cm", "bottom_cm")


@dataclass(frozen=True)
class KeptRows:
    """Some training rows of the world.

    Parameters
    ----------
    columns
        ``y`` on the original scale, ``weight``, ``top_cm`` and ``bottom_cm``, and every feature, by
        name, ``(n,)`` float32.
    codes
        Of places, ``(n,)``.
    """

    columns: dict[str, NDArray[np.float32]]
    codes: NDArray[np.uint32]

    @classmethod
    def draw(cls, samples: Samples, number: int, seed: int) -> KeptRows:
        """Draw rows, all alike."""
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x4B52]))
        some = np.sort(rng.choice(len(samples), min(number, len(samples)), replace=False))
        table = samples.table
        columns = {
            name: table[name].to_numpy(np.float32)[some] for name in (*_COLUMNS, *samples.features)
        }
        return cls(columns, codes_of_rows(samples)[some])

    def beside(
        self,
        samples: Samples,
        features: Sequence[str],
        weight: float,
        but: Samples | None = None,
    ) -> Samples:
        """Return a region's samples and, after them, the rows of other places.

        Parameters
        ----------
        samples
            Of the region.
        features
            Feature columns that both have.
        weight
            How many times more a row of the region weighs than one of the world.
        but
            Samples whose places are left out: all of the region, where `samples` are a part.
        """
        other = ~np.isin(self.codes, codes_of_rows(samples if but is None else but))
        names = (*_COLUMNS, *features)
        world = pd.DataFrame({name: self.columns[name][other] for name in names})
        world["weight"] /= max(float(world["weight"].mean()), 1e-12)
        region = samples.table[list(names)]
        heavy = region.assign(weight=weight * region["weight"] / region["weight"].mean())
        table = pd.concat([heavy, world], ignore_index=True)
        return replace(samples, table=table, features=tuple(features), patches=None)

    def save(self, path: Place) -> None:
        """Write them, whole or not at all."""
        import torch

        tensors = {name: torch.from_numpy(values) for name, values in self.columns.items()}
        codes = torch.from_numpy(self.codes.view(np.int32))
        write_atomically(path, tensor_file({**tensors, "place": codes}, {"rows": len(self.codes)}))

    @classmethod
    def load(cls, path: Place) -> KeptRows:
        """Read what :meth:`save` wrote.

        Raises
        ------
        StoreError
            It is damaged.
        """
        tensors, _ = read_tensor_file(path, "get the model again")
        try:
            codes = tensors.pop("place").numpy().view(np.uint32)
        except KeyError as error:
            raise StoreError(f"{path}: not readable ({error!r}); get the model again") from error
        return cls({name: values.numpy() for name, values in tensors.items()}, codes)
