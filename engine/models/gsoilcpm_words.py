"""What metadata and messages say of a map by nets of branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..branches.window_ground import LEARNED, alike, cell_metres

if TYPE_CHECKING:
    from ..branches.branch_fit import BranchFit
    from ..branches.settings import GsoilcpmSettings
    from .gsoilcpm_forests import Forests

REFERENCES = (
    "Zhang L. et al. 2025 (GSoilCPM: pre-training on the world, fine-tuning to regions); Romano, "
    "Patterson & Candès 2019 (conformalised quantile regression); Duan 1983 (smearing)"
)
#: Share of a covariate's cells beyond what the world has that is worth a word.
TOLD_BEYOND = 0.01
WORDS = {
    "zero_shot": "taken as it is",
    "head": "its dense layers trained further",
    "all": "all its layers trained further",
    "gradual": "its layers trained further one after another, from the last",
    "adapters": "changed by matrices of low rank",
}


def describe(
    told: GsoilcpmSettings, fit: BranchFit | None, forests: Forests | None = None
) -> dict[str, str]:
    """Return summary, method, references and support of a map by these nets."""
    of = "a model of the world"
    if fit is not None and fit.ways:
        best = fit.ways[0]
        of = f"a model of the world fine-tuned to the region: {WORDS[best.way]}"
        of += ", its scale corrected" if best.corrected else ""
    apart = f", {told.stride} apart" if (told.stride or 1) > 1 else ""
    groups = ", ".join(
        f"{g.name} ({g.window} x {g.window} cells{apart if g.window > 1 else ''})"
        for g in told.groups
    )
    net = "the released network" if told.faithful else "branches that bend what they see"
    beside = "" if forests is None else f"; mapped is the mean of {forests.words()}"
    also = "" if forests is None else ", and forests"
    return {
        "summary": f"Soil organic carbon by nets with a branch for each group of covariates{also}: "
        f"{of}",
        "method": f"Nets of branches, {net}; groups {groups}; {of}{beside}; intervals "
        f"{_intervals(fit, forests)}",
        "references": REFERENCES,
        "support": " ".join(
            ["The mean is the arithmetic mean.", *_ground(told, fit), *notes(fit, forests)]
        ),
    }


def _intervals(fit: BranchFit | None, forests: Forests | None) -> str:
    if forests is not None and forests.conformal:
        return "of all together, calibrated on spatial blocks that taught none of them"
    if forests is not None and not forests.pairs:
        return "are not mapped"
    if forests is not None:
        return "the outermost of all, as there are too few spatial blocks to calibrate them"
    if fit is not None and not fit.rows["calibrated with"]:
        return "as in the world, or wider where the region's own profiles spread more"
    return "calibrated on spatial blocks of training profiles that taught no net"


def _ground(told: GsoilcpmSettings, fit: BranchFit | None) -> tuple[str, ...]:
    """Return what windows keep on cells of another size than the world's."""
    widest = max(group.window for group in told.groups)
    if told.stride is None or widest == 1:
        return ()
    learned = None if fit is None else fit.summary.get(LEARNED)
    halo = widest // 2 * told.stride
    cut = (
        f"Within {halo} cells of the cube's edge windows are cut off, and nets see only part of "
        "them: a cube that reaches farther than the map mends that.",
    )
    if fit is None or not fit.ways or learned is None:
        apart = f"Cells of windows lie {told.stride} cells apart."
        return () if told.stride == 1 else (apart, *cut)
    here = cell_metres(fit.crs, fit.cell) * told.stride
    cells = "cell" if told.stride == 1 else "cells"
    if alike(learned, here):
        kept = f"Windows are of as much ground as in the world: their cells lie {told.stride}"
        return () if told.stride == 1 else (f"{kept} cells apart.", *cut)
    return (
        "Windows are of as many cells as in the world, and of another piece of ground: their cells "
        f"lie {told.stride} {cells} apart, {here:,.0f} m, and in the world {learned:,.0f} m.",
        *(() if told.stride == 1 else cut),
    )


def _parts(fit: BranchFit) -> str:
    """Return which rows did what."""
    if not fit.ways:
        counts = ", ".join(f"{n:,} {what}" for what, n in fit.rows.items())
        return f"Layers of the training profiles, by whole spatial blocks: {counts}."
    rows, parts = fit.summary["rows"], fit.summary.get("parts")
    if parts is None:  # fitted by an edaphos that gave rows up to stop and to calibrate
        return f"{rows:,} layers of the region's profiles."
    told = f"{rows:,} layers of the region's profiles in {parts} parts of whole spatial blocks"
    if fit.ways[0].way == "zero_shot":
        return (
            f"{told}: what nets that did not see a part say of it chooses the way and calibrates."
        )
    return (
        f"{told}: each part is held out of one net, stops the training of another, and teaches the "
        "rest; two parts held out choose the way, and all calibrate; nets are averaged."
    )


def notes(fit: BranchFit | None, forests: Forests | None = None) -> tuple[str, ...]:
    """Return what is worth saying of a fit, a sentence each."""
    if fit is None:
        return ()
    found = [_parts(fit)]
    out = fit.summary.get("left out", 0)
    if out:
        found.append(f"{out:,} layers in regions left out, or near them, taught nothing.")
    without = fit.summary.get("places without samples", 0)
    if without:
        found.append(
            f"Branches learned first, of {without:,} places without samples, to tell hidden "
            "covariates from the others (error "
            f"{fit.summary['error of hidden covariates']:.2f}; 1 knows nothing)."
        )
    missing = fit.summary.get("groups missing")
    if missing:
        found.append(f"Without the group {', '.join(missing)}, which the region's cube lacks.")
    for name, codes in fit.summary.get("classes unknown", {}).items():
        found.append(
            f"Class {', '.join(map(str, codes))} of {name}, which profiles here have, taught the "
            "world nothing: it counts as no class, and its cells as outside what was learned. Are "
            "classes numbered as in the world?"
        )
    beyond = {k: v for k, v in fit.summary.get("beyond the world", {}).items() if v >= TOLD_BEYOND}
    if beyond:
        shares = ", ".join(f"{name} in {100 * share:.0f} %" for name, share in beyond.items())
        found.append(
            f"Beyond all that the world has lie {shares} of the cells around profiles here: nets "
            "take them for the world's extremes. Relief is steeper on finer cells: make it of "
            "cells as large as the world's, and give the finer one under another name."
        )
    own = fit.summary.get("covariates of its own")
    if own:
        found.append(f"Beside what the world has, branches learned {', '.join(own)} here.")
    shared = fit.summary.get("places that taught the world", 0)
    if shared:
        found.append(
            f"{shared:,} of the region's places taught the model of the world, too: scores by "
            "cross-validation are better than they would be at new places."
        )
    if fit.ways:
        if forests is not None:
            found.append(
                f"Mapped is the mean of {forests.words()}, weighted by what each says of rows held "
                "out."
            )
        elif not fit.rows["calibrated with"]:
            found.append(
                "Intervals are those of the world, or wider where the region's profiles, held out, "
                "spread more: it has too few locations for its own."
            )
        tried = "; ".join(
            f"{w.way}{' corrected' if w.corrected else ''} {w.error:.3g}" for w in fit.ways
        )
        found.append(f"Ways of fine-tuning, by their error over rows held out: {tried}.")
    constant = fit.nets.channels.constant()
    if constant:
        found.append(f"{', '.join(constant)} was constant in training and teaches nothing.")
    return tuple(found)
