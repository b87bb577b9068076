"""What the engine knows of an arm: a way of predicting stocks at all sites and years."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self, TypeVar, runtime_checkable

from ..errors import InputError
from .site_years import Floats, SiteYears

T = TypeVar("T")


@runtime_checkable
class Arm(Protocol):
    """A learner, a process model, or a coupling of both."""

    name: ClassVar[str]
    needs_start: ClassVar[bool]

    def fit(self, data: SiteYears) -> Self:
        """Learn from the stocks of `data`; return self."""

    def predict(self, data: SiteYears) -> Floats:
        """Return the stock of every site and year, ``(S, Y)`` kg/m².

        It does not look at ``data.stock``, but for an arm whose ``needs_start`` is True: that
        begins from each site's first observation, so it is no peer of the others at new places.
        """


def fitted(state: T | None) -> T:
    """Return what a fit left behind.

    Raises
    ------
    InputError
        If there was no fit.
    """
    if state is None:
        raise InputError("this arm is not fitted yet; call fit() first")
    return state
