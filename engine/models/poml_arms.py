"""What a hybrid map fitted: the forest alone, the process, and both joined; and their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..hybrid.arm import Arm
from ..hybrid.couplings import ForestOnly, ProcessFromForest, first_year, make_arm
from ..hybrid.learners import ForestLearner, Learner
from ..hybrid.process import Process
from ..hybrid.registry import process_class
from ..hybrid.seen import PlaceAndTime
from ..hybrid.site_years import Floats, SiteYears
from ..hybrid.time_uncertainty import TimeUncertainty, calibrated
from .poml_settings import RUNS_PROCESS, WEIGHTED, PomlSettings


@dataclass(frozen=True)
class Arms:
    """Fitted arms.

    Parameters
    ----------
    alone
        The forest on samples alone.
    joined
        The hybrid, None where none is mapped.
    calibrated
        The process.
    start
        Calendar year that the process begins with where nothing was sampled.
    sure
        How sure the hybrid is; None where that is not mapped.
    notes
        What a reader must know of the fit, in sentences.
    """

    alone: Any
    joined: Any | None
    calibrated: Process
    start: int
    sure: TimeUncertainty | None = None
    notes: tuple[str, ...] = ()

    @property
    def w_p(self) -> float | None:
        """Weight of the simulations in the hybrid, tuned where that was asked for."""
        found = getattr(self.joined, "w_p_found", None)
        return None if found is None else float(found)

    def position(self, span: Sequence[int]) -> int:
        """Return where the process begins in a span of years."""
        return self.start - span[0]

    def forest(self, data: SiteYears, years: NDArray[np.intp], start: int | None) -> Floats:
        """Return the forest's stock at positions `years`, ``(S, years)`` kg/m².

        With a `start`, a last column is that of this calendar year.
        """
        more = [] if start is None else [start - int(data.years[0])]
        return _at(self.alone.learned, data, np.array([*years, *more], np.intp))

    def process_from(self, data: SiteYears, stock: Floats) -> Floats:
        """Return the process's stock ``(S, Y)`` from `stock` ``(S,)`` at the start year on."""
        at = self.start - int(data.years[0])
        begun = np.where(np.isfinite(stock) & (stock > 0), at, -1)
        return self.calibrated.simulate(data.drivers, begun, stock)

    def hybrid(self, data: SiteYears, years: NDArray[np.intp]) -> Floats:
        """Return the hybrid's stock at positions `years`, ``(S, years)`` kg/m²."""
        assert self.joined is not None  # mapped, so it was fitted
        if self.joined.name in RUNS_PROCESS:
            return np.asarray(self.joined.predict(data)[:, years])
        return _at(self.joined.learned, self.joined.sees(data), years)

    def nbytes(self) -> int:
        """Return the bytes of all trees."""
        forests = [arm.learned for arm in (self.alone, self.joined) if arm is not None]
        trees = sum(forest.arrays.nbytes for forest in forests)
        return trees + (self.sure.members.nbytes if self.sure else 0)


def fit_arms(told: PomlSettings, data: SiteYears, seed: int, threads: int) -> Arms:
    """Calibrate the process and grow the forests on sites and years."""
    process, learner = told.process.build(), told.learner.build(seed, threads)
    alone = make_arm("ml", process, learner).fit(data)
    if "poml" not in told.emit:
        return Arms(alone, None, process.calibrate(data.drivers, data.stock), first_year(data))
    options: dict[str, Any] = {"seed": seed}
    if told.coupling in WEIGHTED:
        options["w_p"] = told.w_p
    joined = make_arm(told.coupling, process, learner, **options).fit(data)
    used = calibrated(joined, process)
    # a guarded hybrid takes the process as it is; the map of the process alone is of one calibrated
    own = process.calibrate(data.drivers, data.stock) if used is process else used
    arms = Arms(alone, joined, own, first_year(data))
    if not told.has_interval:
        return arms
    if told.coupling in WEIGHTED:
        options["w_p"] = arms.w_p  # tuned once, not for each member again

    def make(process: Process, learner: Learner) -> Arm:
        return make_arm(told.coupling, process, learner, **options)

    spec = told.uncertainty.build()
    sure = TimeUncertainty.fit(data, make, used, learner, spec=spec, seed=seed)
    return replace(arms, sure=sure)


def _at(learner: Any, data: SiteYears, years: NDArray[np.intp]) -> Floats:
    """Return what a learner says of all sites at positions `years`, site by site."""
    sites = data.drivers.sites
    site, year = np.repeat(np.arange(sites), len(years)), np.tile(years, sites)
    return np.asarray(learner.predict(data.rows(site, year))).reshape(sites, len(years))


def save_arms(arms: Arms, folder: Path) -> None:
    """Write the forests as arrays, the process and the rest as JSON."""
    arms.alone.learned.save(folder / "forest")
    process: Any = arms.calibrated
    described = {
        "process": process.to_json(),
        "start": arms.start,
        "w_p": arms.w_p,
        "notes": list(arms.notes),
    }
    if arms.joined is not None:
        arms.joined.learned.save(folder / "hybrid")
        view = getattr(arms.joined, "view", None)
        described["view"] = None if view is None else asdict(view)
    if arms.sure is not None:
        arms.sure.save(folder / "uncertainty")
    (folder / "arms.json").write_text(json.dumps(described, indent=1) + "\n")


def load_arms(told: PomlSettings, folder: Path) -> Arms:
    """Read what :func:`save_arms` wrote."""
    path = folder / "arms.json"
    if not path.exists():
        raise InputError(f"{path}: missing, the saved hybrid is incomplete; fit the model again")
    described = json.loads(path.read_text())
    process = process_class(told.process.kind).from_json(described["process"])
    alone = ForestOnly(told.learner.build(0, 1))
    alone.learned = ForestLearner.load(folder / "forest")
    joined: Any = None
    if "poml" in told.emit:
        joined = make_arm(told.coupling, process, told.learner.build(0, 1))
        joined.learned = ForestLearner.load(folder / "hybrid")
        if told.coupling in RUNS_PROCESS:
            joined.fair = ProcessFromForest(process, joined.learner)
            joined.fair.learned, joined.fair.calibrated = alone.learned, process
            joined.fair.start_year = described["start"]
        else:
            joined.calibrated, joined.w_p_found = process, described["w_p"]
            joined.view = None if described["view"] is None else PlaceAndTime(**described["view"])
    sure = TimeUncertainty.load(folder / "uncertainty") if told.has_interval else None
    notes = tuple(described["notes"])
    return Arms(alone, joined, process, described["start"], sure, notes)
