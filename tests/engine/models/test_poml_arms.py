"""What a hybrid map fits: the process mapped alone is a calibrated one in every coupling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edaphos.engine.models.poml_arms import fit_arms
from edaphos.engine.models.poml_settings import ProcessTold

from ..changing_land import make_model
from ..hybrid.stand_ins import PowerProcess
from ..hybrid.worlds import site_years


class Calibrating(PowerProcess):
    """A process whose calibration finds a power of 0.5."""

    def calibrate(self, drivers: Any, stock: Any) -> Any:
        return replace(self, power=0.5)


@pytest.mark.parametrize("coupling", ["poml", "guarded", "covariate"])
def test_the_process_alone_is_calibrated_whatever_the_coupling(
    coupling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessTold, "build", lambda self: Calibrating(0.2))
    told = make_model({"coupling": coupling, "uncertainty": {"members": 0}}).told
    arms = fit_arms(told, site_years(40), seed=0, threads=1)
    assert arms.calibrated == Calibrating(0.5)
    assert arms.joined is not None
    used = arms.joined.calibrated
    assert used == Calibrating(0.2 if coupling == "guarded" else 0.5)
