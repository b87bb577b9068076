"""The three floors: imports point down only, kernels stay pure, doctests hold, no stray paths."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("kernels", "engine", "recipes")
#: What a kernel may import: arrays, compilers, and threads to run compiled code in.
PURE = {"__future__", "collections", "concurrent", "contextlib", "copy", "dataclasses", "enum"}
PURE |= {
    "functools",
    "itertools",
    "llvmlite",
    "math",
    "numba",
    "numpy",
    "scipy",
    "torch",
    "typing",
    "edaphos",
}
#: No kernel, but how they are compiled and kept.
COMPILER = "jit.py"


def modules(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Absolute names that a module imports, relative ones resolved below ``edaphos``."""
    inside = ("edaphos", *path.relative_to(ROOT).with_suffix("").parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            module = ".".join((*base, *((node.module or "").split(".") if node.module else ())))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down_only(floor: str) -> None:
    above = FLOORS[FLOORS.index(floor) + 1 :]
    bad = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(floor)
        for name in imported(path)
        if name.split(".")[0] in FLOORS or any(name.startswith(f"edaphos.{up}") for up in above)
    }
    assert not bad


def test_the_check_sees_an_upward_import(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "bad.py").write_text("from ..engine import grid\nimport engine.grid\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    names = imported(tmp_path / "kernels" / "bad.py")
    assert {"edaphos.engine.grid", "engine.grid"} <= names


def test_kernels_are_pure() -> None:
    bad = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("kernels")
        if path.name != COMPILER
        for name in imported(path)
        if name.split(".")[0] not in PURE
    }
    assert not bad


@pytest.mark.parametrize("floor", FLOORS)
def test_docstring_examples_hold(floor: str) -> None:
    failed = 0
    for path in modules(floor):
        if ">>>" in path.read_text():
            parts = ("edaphos", *path.relative_to(ROOT).with_suffix("").parts)
            failed += doctest.testmod(importlib.import_module(".".join(parts))).failed
    assert failed == 0


def test_no_module_stores_pickles() -> None:
    bad = {
        str(path.relative_to(ROOT))
        for floor in FLOORS
        for path in modules(floor)
        if {"pickle", "joblib", "cloudpickle", "dill"} & {n.split(".")[0] for n in imported(path)}
    }
    assert not bad
