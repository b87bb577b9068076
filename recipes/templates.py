"""Built-in recipes, and commented ones written from them and the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from edaphos.engine.errors import InputError, did_you_mean

from .config import load_toml, parse, tables_in
from .schema import Recipe


def builtin_files() -> dict[str, Path]:
    """Return every built-in TOML, recipes and cubes, by name."""
    folder = Path(str(files("edaphos.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def builtin_titles() -> dict[str, str]:
    """Return name and title of every built-in TOML."""
    return {name: load_toml(path)["title"] for name, path in builtin_files().items()}


def builtin_recipes() -> dict[str, str]:
    """Return name and title of the built-in recipes."""
    return {
        name: title
        for name, title in builtin_titles().items()
        if "grid" in load_toml(builtin_path(name))
    }


def builtin_path(name: str) -> Path:
    """Return the file of a built-in recipe or cube."""
    known = builtin_files()
    if name not in known:
        raise InputError(f'no built-in recipe "{name}": {did_you_mean(name, known)}')
    return known[name]


def commented(name: str) -> str:
    """Return a built-in recipe as TOML with every setting explained, unset ones commented out."""
    if builtin_path(name).stem not in builtin_recipes():
        return builtin_path(name).read_text()
    raw = load_toml(builtin_path(name))
    note = "# Lines that begin with #: show a default; drop the mark to change it.\n"
    head = f"# {raw['title']}\n{note}"
    text = head + "\n".join(_table(Recipe, raw, ())) + "\n"
    parse(_reread(text), Recipe, Path(f"{name}.toml"))
    return text


def _reread(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _table(model: type[BaseModel], raw: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table: its plain keys first, then its inner tables."""
    inner: list[tuple[str, type[BaseModel]]] = []
    for key, field in model.model_fields.items():
        tables = tables_in(field.annotation)
        if tables and key not in raw and field.default in (None, ()):
            name = f"[{key}]" if field.default is None else f"[[{'.'.join((*path, key))}]]"
            yield f"# {name}, left out here: {field.description or key}"
            continue
        if tables:
            inner.append((key, _choose(tables, raw.get(key))))
            continue
        yield f"# {field.description or key}"
        if key in raw:
            yield f"{key} = {_toml(raw[key])}"
        elif field.default is not PydanticUndefined and field.default is not None:
            yield f"#: {key} = {_toml(field.default)}"
        elif field.default_factory is not None:
            yield f"#: {key} = {{}}"
        else:
            yield f"#: {key} ="
    for key, table in inner:
        yield from _inner(key, table, raw.get(key, {}), path)


def _inner(key: str, table: type[BaseModel], value: Any, path: tuple[str, ...]) -> Iterator[str]:
    name = ".".join((*path, key))
    for item in value if isinstance(value, list) else [value]:
        yield ""
        yield f"# {(table.__doc__ or key).splitlines()[0]}"
        yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        yield from _table(table, item, (*path, key))


def _choose(tables: list[type[BaseModel]], value: Any) -> type[BaseModel]:
    """Return the table of a union that the value is for: the one that knows its keys."""
    keys = set(value) if isinstance(value, dict) else set()
    return max(tables, key=lambda table: len(keys & set(table.model_fields)))


def _toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
