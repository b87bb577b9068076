"""A model around another one, which adds to what it maps and is the same in all else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..samples import Samples
from .protocol import Emits, Reads


class WrappedModel:
    """Any model, with something added; everything but what a subclass tells is the model's own.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)

    @property
    def kind(self) -> str:
        """The model's kind."""
        return str(self.model.kind)

    @property
    def reads(self) -> Reads:
        """What the model reads."""
        reads: Reads = self.model.reads
        return reads

    @property
    def emits(self) -> Emits:
        """What the model emits."""
        emits: Emits = self.model.emits
        return emits

    def fit_model(self, samples: Samples) -> None:
        """Fit the model, with the cluster and the reporter that were handed to what is around."""
        for name in ("client", "reporter"):
            if name in vars(self):
                setattr(self.model, name, vars(self)[name])
        self.model = self.model.fit(samples)

    def describe_with(self, words: str) -> dict[str, str]:
        """Return what the model says of its map, and more about its method."""
        told = dict(getattr(self.model, "describe", dict)())
        method: Sequence[str] = (told.get("method", ""), words)
        told["method"] = " ".join(filter(None, method))
        return told
