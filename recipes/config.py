"""Reading TOML into frozen pydantic models, with errors that say what to change."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from edaphos.engine.errors import InputError, did_you_mean


class Table(BaseModel):
    """A TOML table: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Table)


def read_toml(path: Path, model: type[T]) -> T:
    """Read a TOML file into `model`.

    Raises
    ------
    InputError
        The file is missing or no TOML, or keys are unknown, missing or out of bounds; every
        problem gets a line with its place and, for unknown keys, the nearest known one.
    """
    return parse(load_toml(path), model, path)


def load_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file."""
    if not path.exists():
        raise InputError(f"{path}: no such file; `edaphos recipe list` shows the recipes at hand")
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as TOML: {error}") from error


def parse(raw: dict[str, Any], model: type[T], path: Path) -> T:
    """Check a raw table against `model`; `path` is named in errors."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = [dict(item) for item in error.errors()]
        lines = [_explain(item, model) for item in found if not _follows_from(item, found)]
        raise InputError("\n".join(f"{path}: {line}" for line in lines)) from error


def _explain(error: dict[str, Any], model: type[BaseModel]) -> str:
    place = [part for part in error["loc"] if not _is_union_tag(part)]
    where = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        return f"{where}: unknown key; {did_you_mean(str(place[-1]), known)}"
    if error["type"] == "missing":
        return f"{where}: this key is required"
    found = repr(error["input"])
    return f"{where}: {error['msg']}, found {found if len(found) < 80 else found[:77] + '...'}"


def _follows_from(error: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether a list only counts as too short because its items are wrong."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in others
    )


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _keys_at(model: type[BaseModel], place: list[Any]) -> list[str]:
    """Return the keys that the table at `place` may have."""
    tables: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, int):
            continue
        following: list[type[BaseModel]] = []
        for table in tables:
            field = table.model_fields.get(part)
            if field is not None:
                following += tables_in(field.annotation)
        tables = following or tables
    return sorted({key for table in tables for key in table.model_fields})


def tables_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the tables that an annotation may hold, through unions, tuples and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for inner in get_args(annotation) for table in tables_in(inner)]
