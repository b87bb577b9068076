"""Making the damaged tiles of a map anew."""

from __future__ import annotations

from collections.abc import Sequence

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.produce import produce
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.recovery import Problem, forget_tiles
from edaphos.engine.run import Run


def repair_map(
    run: Run,
    problems: Sequence[Problem],
    cluster: str | None = None,
    workers: int | None = None,
    reporter: Reporter = QUIET,
) -> int:
    """Forget the tiles that have problems and make them anew; return how many that were."""
    tiles = {problem.tile for problem in problems}
    forget_tiles(run, tiles)
    spec = ClusterSpec(cluster or "local", workers or 0)
    with connect(spec, reporter) as client:
        produce(run, client, reporter, only=tiles)
    return len(tiles)
