"""Files are opened and read by the threads of a worker at once, and the process lives on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..build_sources import dataset, globe

SCRIPT = """
import sys, threading
from pathlib import Path
from edaphos.engine.build.native import Rect
from edaphos.engine.build.sources import open_source
from edaphos.engine.build.spec import LayerSpec

spec = LayerSpec("a", sys.argv[1], "amount", variable=sys.argv[2], crs="EPSG:4326")
counted = []

def work():
    for _ in range(20):
        source = open_source(spec, Path("."))
        counted.append(source.read(0, Rect(0, 10, 0, 10)).size)

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counted == [100] * 120
"""


def test_netcdf_in_many_threads(tmp_path: Path) -> None:
    """The library crashes, and the process with it, where two threads are in it at once."""
    made = dataset(globe())
    made.to_netcdf(tmp_path / "g.nc")
    (name,) = made.data_vars
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "g.nc"), str(name)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
