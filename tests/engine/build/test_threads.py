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

spec = LayerSpec("a", sys.argv[1], "amount", time="monthly", variable="v", crs="EPSG:4326")
counted = []

def work():
    for _ in range(30):
        source = open_source(spec, Path("."))
        counted.extend(source.read(month, Rect(0, 10, 0, 10)).size for month in range(12))

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counted == [100] * 6 * 30 * 12
"""


def test_netcdf_in_many_threads(tmp_path: Path) -> None:
    """The library crashes, and the process with it, where two threads are in it at once."""
    months = dataset(globe(months=12))
    months.rename({next(iter(months.data_vars)): "v"}).to_netcdf(tmp_path / "g.nc")
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "g.nc")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
