"""Tensors by name and plain values about them in one file, without pickle.

The tensors lie as in any safetensors file, the values as JSON in its header, so that neither can
be mistaken for another's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import StoreError
from .place import Place

Tensors = dict[str, Any]
_HEADER = "edaphos"


def tensor_file(tensors: Mapping[str, Any], about: Mapping[str, Any]) -> bytes:
    """Return named tensors and plain values about them as one file."""
    from safetensors.torch import save

    whole = {k: v.detach().to("cpu").clone().contiguous() for k, v in tensors.items()}
    return save(whole, {_HEADER: json.dumps(about, sort_keys=True)})


def read_tensor_file(path: Place, advice: str) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors and the plain values of a file; `advice` says what to do if it is damaged.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        tensors = load(data)
        # safetensors: eight bytes of length, then a JSON header
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, json.loads(header["__metadata__"][_HEADER])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not readable ({error}); {advice}") from error
