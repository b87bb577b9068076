"""Making the damaged tiles of a map anew."""

from __future__ import annotations

from collections.abc import Sequence

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.gpu import require_gpu, tile_resources
from edaphos.engine.produce import produce
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.recovery import Problem, forget_tiles
from edaphos.engine.run import Run
from edaphos.engine.watch import Watch


def repair_map(
    run: Run,
    problems: Sequence[Problem],
    cluster: str | None = None,
    workers: int | None = None,
    reporter: Reporter = QUIET,
) -> int:
    """Forget the tiles that have problems and make them anew; return how many that was.

    Raises
    ------
    RunError
        Another run works in the folder; what it is making would look damaged. Or tiles failed.
    """
    tiles = {problem.tile for problem in problems}
    spec = ClusterSpec(cluster or "local", workers or 0)
    with Watch(run, reporter) as watch, connect(spec, reporter) as client:
        model = run.load_model()
        require_gpu(client, model, spec)
        forget_tiles(run, tiles)
        resources = tile_resources(model, spec)
        produce(run, client, reporter, watch, only=tiles, resources=resources)
    return len(tiles)
