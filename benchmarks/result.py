"""What every benchmark returns, and the machine it was measured on."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """One measured figure beside its peer.

    Parameters
    ----------
    name, value, unit
        What was measured.
    peer
        What it is compared with, measured in the same run.
    ratio
        `value` over the peer's figure, in the sense the name says.
    details
        Further figures.
    """

    name: str
    value: float
    unit: str
    peer: str
    ratio: float
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return one line of JSON, the machine named."""
        return json.dumps({**asdict(self), "machine": machine()})

    def to_text(self) -> str:
        """Return one line for people."""
        return f"{self.name:28} {self.value:14,.4g} {self.unit:20} {self.ratio:8.3f} x {self.peer}"


def machine() -> str:
    """Return the processor, the cores at hand, and the versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
