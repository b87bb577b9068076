"""Fixtures shared by the tests of recipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from distributed import LocalCluster

from edaphos.engine import cluster


@pytest.fixture(scope="module")
def one_worker_here() -> Iterator[None]:
    """Let a run's only worker be a thread of this process, as starting one takes seconds.

    For tests of what is made: that processes make the same bytes, and of what memory and GPUs they
    take, others tell. Two workers are processes still.
    """

    def here(n_workers: int, **options: Any) -> LocalCluster:
        if n_workers > 1:
            return LocalCluster(n_workers=n_workers, **options)
        kept = ("threads_per_worker", "dashboard_address", "silence_logs")
        return LocalCluster(n_workers=1, processes=False, **{k: options[k] for k in kept})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "LocalCluster", here)
        yield
