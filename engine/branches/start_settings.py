"""Settings of a region: the net is that of the model of the world that it begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from .groups import check_groups
from .kept_places import KEPT
from .model_file import digest_of_model, read_card
from .settings import GsoilcpmSettings, settings_from


def settings_of_start(told: GsoilcpmSettings) -> GsoilcpmSettings:
    """Return settings whose net is that of the start, if there is one.

    Raises
    ------
    InputError
        It is another model than is named, or lacks what is asked of it.
    """
    if told.start is None:
        return told
    folder = Path(told.start)
    card = read_card(folder)
    if told.start_digest and digest_of_model(folder) != told.start_digest:
        raise InputError(
            f"{folder}: not the model that this recipe names (its SHA-256 is another); get that "
            "model again, or leave start_digest out"
        )
    of = settings_from(card["settings"])
    if told.fine_tuning.adversarial and not (folder / KEPT).is_file():
        raise InputError(
            f"{folder}: fine_tuning.adversarial compares the region with places of the world, and "
            "this model keeps none: pre-train it anew with kept_places above 0, such as 512, or "
            "take fine_tuning.coral instead"
        )
    unknown = set(told.lacking) - {group.name for group in of.groups}
    if unknown:
        raise InputError(
            f"lacking: the model of the world has no group {', '.join(sorted(unknown))}; it has "
            f"{', '.join(group.name for group in of.groups)}"
        )
    names = [
        *("groups", "faithful", "width", "merged", "dense", "dropout", "group_dropout"),
        *("embedding", "head", "sees_year", "transform", "members", "kept_places"),
        "kept_rows",
    ]
    found = replace(told, **{name: getattr(of, name) for name in names})
    check_groups((*of.groups, *told.own))
    return replace(found, groups=(*of.groups, *told.own))
