"""Torch, which only nets need: imported when one is used, and missed in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import InputError


def need_torch() -> Any:
    """Return the module ``torch``.

    Raises
    ------
    InputError
        It, or safetensors beside it, is not installed.
    """
    try:
        import torch
        from safetensors import torch as _  # noqa: F401  (what is trained must be stored)
    except ModuleNotFoundError as missing:
        raise InputError(
            f'a net needs {missing.name}, which is not installed: pip install "edaphos[nets]"'
        ) from missing
    return torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads in this process; the last bits of results depend on them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
