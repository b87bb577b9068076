"""Which covariates a model chose on its training rows, and why it left the others, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from ..covariate_choice import Considered, CovariateChoice
from .tables import DASH, Table, fixed

#: What is said of each fate.
FATES = {
    "kept": "used",
    "beyond": "weaker than those of the best batch",
    "twin": "follows another one",
    "weak": "hardly correlated with the target",
    "constant": "does not vary, or is known in too few rows",
}


def choice_tables(choices: Mapping[str, CovariateChoice], depths: Mapping[str, str]) -> list[Table]:
    """Return a table for each choice; nothing where all covariates are used.

    Parameters
    ----------
    choices
        By the name of the model that made them, "" for one alone.
    depths
        What is said of a name in titles.
    """
    return [
        Table(
            ", ".join(["Covariates, and what became of them", *filter(None, [depths.get(name)])]),
            ("<covariate", "correlation", "<outcome"),
            tuple(_row(one) for one in _ordered(choice)),
            _note(choice),
        )
        for name, choice in choices.items()
    ]


def _ordered(choice: CovariateChoice) -> list[Considered]:
    """Return what was used, then the rest by reason, the strongest first."""
    reasons = list(FATES)
    return sorted(
        choice.considered, key=lambda c: (reasons.index(c.fate), -abs(c.r or 0.0), c.feature)
    )


def _row(one: Considered) -> tuple[str, ...]:
    outcome = FATES[one.fate]
    if one.fate == "twin":
        outcome = f"follows {one.twin} (r {fixed(one.twin_r)})"
    return (one.feature, fixed(one.r) if one.r is not None else DASH, outcome)


def _note(choice: CovariateChoice) -> str:
    told = (
        f"Correlation with the target, as it is learned, over the {choice.rows:,} rows that the "
        "mapped model learned from; for classes the correlation ratio. In cross-validation every "
        "fold chose anew from its own training rows."
    )
    if not choice.errors:
        return told
    tried = ", ".join(f"{size}: {fixed(error, 4)}" for size, error in choice.errors.items())
    return f"{told} Error out of fold by number of covariates: {tried}."
