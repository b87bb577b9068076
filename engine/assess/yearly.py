"""Whether years can be told apart within data sources, which yearly maps depend on.

Where one source sampled in the eighties and another after 2000, a trend over all rows may be a
difference between sources: other places, depths, laboratories. What a static model leaves over is
regressed on the year over all rows, and once more about the means of each source; only the second
trend is free of differences between sources. Both come with intervals over spatial blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edaphos.kernels.metrics import sum_by

from ..errors import InputError
from ..models.forest import ForestModel
from ..models.protocol import ModelSpec
from ..samples import Samples
from .crossval import fit_and_predict
from .scoring import FEWEST_BLOCKS, INTERVAL, BlockBootstrap, Floats
from .splits import inner_split, location_blocks, ranks

Verdict = Literal["yes", "hardly", "no"]

#: Above this share of the year's variance that lies between sources, years and sources are one.
CONFOUNDED, PARTLY = 0.9, 0.5
#: Standard deviation of the year within sources, below which there is no time within them.
LEAST_YEARS = 1.0
#: Trees of the static model, and most rows that it is asked for: a share of them tells as much.
TREES, MOST_ROWS = 100, 50_000


@dataclass(frozen=True)
class Trend:
    """A trend in ten years, in units of the target, and its 95 % interval over blocks."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a trend and an interval."""
        return bool(np.isfinite([self.value, self.low, self.high]).all())


@dataclass(frozen=True)
class YearlyCheck:
    """What the check found.

    Parameters
    ----------
    verdict
        ``yes``, ``hardly`` or ``no``: whether years can be told apart within sources.
    reason
        In a sentence.
    rows, undated, sources, blocks
        Dated rows with a target, rows without a date (which count for nothing here), sources, and
        spatial blocks.
    first, last
        Years.
    explained
        Share of the variance of the year that lies between sources.
    years_within
        Standard deviation of the year within sources.
    spread
        Standard deviation of what the static model leaves over, in units of the target.
    overall, within
        Trend over all rows, and about the means of each source.
    apart
        The first less the second.
    units
        Of the target.
    """

    verdict: Verdict
    reason: str
    rows: int
    undated: int
    sources: int
    blocks: int
    first: int
    last: int
    explained: float
    years_within: float
    spread: float
    overall: Trend
    within: Trend
    apart: Trend
    units: str

    def to_text(self) -> str:
        """Return the verdict and its figures as a few sentences."""
        answer = {
            "yes": "Years can be told apart within sources",
            "hardly": "Years can hardly be told apart within sources",
            "no": "Years cannot be told apart within sources",
        }[self.verdict]
        parts = [f"{answer}: {self.reason}."]
        parts.append(
            f"{self.rows:,} dated rows of {self.sources} sources from {self.first} to {self.last}; "
            f"sources explain {100 * self.explained:.0f} % of the variance of the year."
        )
        if np.isfinite(self.overall.value):
            parts.append(
                f"What a static model leaves over changes by {_trend(self.overall, self.units)} in "
                f"ten years over all rows, and by {_trend(self.within, self.units)} within sources."
            )
        if self.undated:
            parts.append(f"{self.undated:,} rows without a date were left out.")
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``json.dumps``, with the text."""
        return {**asdict(self), "text": self.to_text()}


def yearly_check(
    samples: Samples,
    static: Sequence[str],
    *,
    block_deg: float = 5.0,
    folds: int = 5,
    replicates: int = 1000,
    seed: int = 0,
    trees: int = TREES,
) -> YearlyCheck:
    """Check samples whose rows carry years and sources.

    Parameters
    ----------
    samples
        Rows; those without a target are left out, those without a year are counted. Of more than
        :data:`MOST_ROWS` that number is drawn.
    static
        Features that do not change from year to year, for the model whose residuals are taken
        (out of fold by spatial block; depth is always among its features).
    block_deg
        Side of the blocks of folds and bootstrap, degrees; of the folds halved until there are
        enough.
    folds, trees
        Of the static model.
    replicates
        Of the bootstrap.
    seed
        Of folds and bootstrap.

    Raises
    ------
    InputError
        There is no dated row with a target.
    """
    known = samples.take(np.isfinite(samples.y))
    year = known.table["year"].to_numpy(float)
    dated = known.take(np.isfinite(year))
    if len(dated) == 0:
        raise InputError(
            f"none of {len(known):,} rows has a year: a yearly map needs dated profiles. Map one "
            "year, or name the file's column of the year under profiles.files.columns"
        )
    undated = len(known) - len(dated)
    if len(dated) > MOST_ROWS:
        drawn = np.random.default_rng([seed, 0x5A3E]).choice(len(dated), MOST_ROWS, replace=False)
        dated = dated.take(np.sort(drawn))
    blocks = location_blocks(dated, block_deg)
    return check_years(
        dated.table["year"].to_numpy(float),
        ranks(dated.table["source"]),
        static_residuals(dated, static, block_deg, folds, seed, trees),
        blocks,
        weight=dated.weight,
        undated=undated,
        units=dated.target[1],
        replicates=replicates,
        seed=seed,
    )


def static_residuals(
    samples: Samples,
    static: Sequence[str],
    block_deg: float,
    folds: int = 5,
    seed: int = 0,
    trees: int = TREES,
) -> Floats:
    """Return observed less predicted by a forest on static features, out of fold, ``(n,)``.

    Where there are too few blocks for the folds, blocks are halved (see
    :func:`~edaphos.engine.assess.splits.inner_split`); where even locations are too few, what is
    taken off is the mean.
    """
    spec = ModelSpec(
        ForestModel.kind, {"covariates": tuple(static), "trees": trees, "quantiles": ()}
    )
    try:
        split = inner_split(samples, folds=folds, seed=seed, block_deg=block_deg)
    except InputError:
        return np.asarray(samples.y - np.average(samples.y, weights=samples.weight))
    residual = samples.y.copy()
    for fold in range(len(split)):
        out = split.held_out(fold)
        name = f"{samples.target[0]}_mean"
        residual[out] -= fit_and_predict(spec, samples, out)[name]
    return residual


def check_years(
    year: Floats,
    source: NDArray[np.int64],
    residual: Floats,
    block: NDArray[np.int64],
    *,
    weight: Floats | None = None,
    undated: int = 0,
    units: str = "",
    replicates: int = 1000,
    seed: int = 0,
) -> YearlyCheck:
    """Check rows, each array ``(n,)``: year, code of the source, residual, spatial block.

    ``no`` where more than 90 % of the year's variance lies between sources, or the year hardly
    varies within them, or what does lies in fewer than five blocks. ``hardly`` where it is more
    than half, where the trend over all rows differs from that within sources by more than chance,
    or where the trend within sources is so ill known that a change by a standard deviation over all
    years would be missed. Else ``yes``.
    """
    weight = np.ones(len(year)) if weight is None else weight
    source = np.unique(source, return_inverse=True)[1]
    bootstrap = BlockBootstrap.draw(block, replicates, seed)
    moments = _Moments.of(year, residual, source, bootstrap.codes, weight)
    one = np.ones((1, moments.blocks))
    between, within_square = (float(v[0]) for v in moments.year_squares(one))
    total = between + within_square
    explained = between / total if total > 0 else 1.0
    years_within = float(np.sqrt(within_square / weight.sum()))
    overall, within = moments.trends(bootstrap.counts)
    here, inside = (float(v[0]) for v in moments.trends(one))
    enough = moments.contrasting() >= FEWEST_BLOCKS
    found = YearlyCheck(
        verdict="yes",
        reason="",
        rows=len(year),
        undated=undated,
        sources=int(source.max()) + 1,
        blocks=moments.blocks,
        first=int(year.min()),
        last=int(year.max()),
        explained=explained,
        years_within=years_within,
        spread=float(np.sqrt(np.cov(residual, aweights=weight))) if len(year) > 1 else 0.0,
        overall=_interval(here, overall, moments.blocks >= FEWEST_BLOCKS),
        within=_interval(inside, within, enough),
        apart=_interval(here - inside, overall - within, enough),
        units=units,
    )
    verdict, reason = _judge(found, enough)
    return YearlyCheck(**{**vars(found), "verdict": verdict, "reason": reason})


def _judge(found: YearlyCheck, enough: bool) -> tuple[Verdict, str]:
    """Return the verdict and the reason for it."""
    percent = f"{100 * found.explained:.0f} % of the variance of the year lies between sources"
    if found.first == found.last:
        return "no", f"all rows are of {found.first}"
    if found.explained > CONFOUNDED:
        return "no", f"{percent}, so that a trend cannot be told from a difference between sources"
    if found.years_within < LEAST_YEARS:
        return "no", f"within sources the year varies by {found.years_within:.1f} years only"
    if not enough:
        return "no", f"sources span several years in fewer than {FEWEST_BLOCKS} blocks"
    if found.explained > PARTLY:
        return "hardly", percent
    if found.apart.low > 0 or found.apart.high < 0:
        return "hardly", "the trend over all rows is not that within sources"
    missed = (found.within.high - found.within.low) / 2 * (found.last - found.first) / 10
    if missed > found.spread:
        return "hardly", (
            f"within sources a change by {missed:.3g} {found.units} over all years could be missed"
        )
    return "yes", "the trend within sources is known, and that over all rows does not contradict it"


@dataclass(frozen=True)
class _Moments:
    """Weighted sums by block and source, ``(blocks, sources, 5)``: 1, t, r, tt, tr.

    With the year `t` about its mean, in decades, so that differences of large numbers are not
    taken.
    """

    sums: Floats

    @classmethod
    def of(
        cls,
        year: Floats,
        residual: Floats,
        source: NDArray[np.int64],
        block: NDArray[np.int64],
        weight: Floats,
    ) -> _Moments:
        t = (year - np.average(year, weights=weight)) / 10
        r = residual - np.average(residual, weights=weight)
        terms = weight[:, None] * np.stack([np.ones_like(t), t, r, t * t, t * r], axis=1)
        blocks, sources = int(block.max()) + 1, int(source.max()) + 1
        codes = block * sources + source
        return cls(sum_by(terms, codes, blocks * sources).reshape(blocks, sources, 5))

    @property
    def blocks(self) -> int:
        return len(self.sums)

    def contrasting(self) -> int:
        """Return the blocks with rows of a source that spans several years over all blocks."""
        within = _about_means(self.sums.sum(axis=0))[:, 0]
        return int((self.sums[:, within > 1e-9, 0] > 0).any(axis=1).sum())

    def year_squares(self, counts: Floats) -> tuple[Floats, Floats]:
        """Return squares of the year between and within sources, years², ``(draws,)``."""
        drawn = np.tensordot(counts, self.sums, axes=1)
        total = _about_means(drawn.sum(axis=1))[..., 0]
        within = _about_means(drawn)[..., 0].sum(axis=1)
        return 100 * (total - within), 100 * within

    def trends(self, counts: Floats) -> tuple[Floats, Floats]:
        """Return trends in ten years over all rows and within sources, ``(draws,)``."""
        drawn = np.tensordot(counts, self.sums, axes=1)
        return _slope(_about_means(drawn.sum(axis=1))), _slope(_about_means(drawn).sum(axis=1))


def _about_means(sums: Floats) -> Floats:
    """Return sums of squares of t and of products t r about their means, ``(..., 2)``."""
    n = np.maximum(sums[..., 0], 1e-300)
    square = sums[..., 3] - sums[..., 1] ** 2 / n
    return np.stack([np.maximum(square, 0.0), sums[..., 4] - sums[..., 1] * sums[..., 2] / n], -1)


def _slope(about: Floats) -> Floats:
    steep = about[..., 0] > 1e-9
    return np.where(steep, about[..., 1] / np.where(steep, about[..., 0], 1.0), np.nan)


def _interval(value: float, drawn: Floats, enough: bool) -> Trend:
    known = drawn[np.isfinite(drawn)]
    if not enough or len(known) < len(drawn) / 2 or not len(known):
        return Trend(value, float("nan"), float("nan"))
    low, high = np.percentile(known, INTERVAL)
    return Trend(value, float(low), float(high))


def _trend(trend: Trend, units: str) -> str:
    if not np.isfinite(trend.value):
        return "what cannot be told"
    if not trend.known:
        return f"{trend.value:.3g} {units} (no interval)"
    return f"{trend.value:.3g} {units} ({trend.low:.3g} to {trend.high:.3g})"
