"""Progress where there is no terminal: a line now and then, also while no step ends."""

from __future__ import annotations

import pytest

from edaphos.engine import progress
from edaphos.engine.progress import PATIENCE, Reporter


def test_a_long_step_is_told_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    reporter = Reporter(every=10.0)
    monkeypatch.setattr(reporter, "say", said.append)
    with reporter.task("training", 2) as task:
        for _ in range(13):
            now[0] += PATIENCE
            task.heed()
        assert said == ["training: 0/2, 60 s"]
        task.advance()
        assert said[1:] == ["training: 1/2, 78 s, ETA 78 s"]
        now[0] += 1
        task.heed()
        task.advance()
    assert said[2:] == ["training: 2/2, 79 s"]
