"""What the metadata of a map by convolutional nets say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edaphos.kernels.conv_net import ConvShape

if TYPE_CHECKING:
    from ..conv.fitting import Fit
    from .conv_settings import ConvSettings

SCHEMES = {
    "transfer": "one net trained on all depths, copied and fine-tuned for each",
    "pooled": "one net for all depths, with depth as input",
    "per_depth": "a net for each depth",
    "multitask": "shared convolutions with dense layers for each depth",
}
INTERVALS = {
    "residual": "the spread of residuals by depth",
    "quantile": "quantile outputs of the nets",
    "ensemble": "differences between members and residuals",
    "dropout": "differences between draws of dropout and residuals",
}
REFERENCES = (
    "Han et al. 2025 (transfer over depths); Romano, Patterson & Candès 2019 (conformalised "
    "quantile regression); Duan 1983 (smearing)"
)


def describe(told: ConvSettings, fit: Fit | None) -> dict[str, str]:
    """Return summary, method, references and support of a map by these nets."""
    scheme = SCHEMES[told.scheme]
    if told.scheme == "transfer":
        scheme += f", its first {told.fine_tuning.freeze_until} stages frozen"
    members = "" if told.members == 1 else f"; mean of {told.members} members"
    return {
        "summary": "Soil organic carbon by convolutional nets that see what lies around a place: "
        f"{scheme}",
        "method": f"Patch CNN, {shape_words(told.shape)}; {scheme}{members}; intervals from "
        f"{INTERVALS[told.interval]}, calibrated on spatial blocks of the training profiles that "
        "taught no net",
        "references": REFERENCES,
        "support": " ".join(_cautions(fit)),
    }


def shape_words(shape: ConvShape) -> str:
    """Return the sizes of a net.

    >>> shape_words(ConvShape())
    '9 x 9 cells, convolutions 32-64-128 (3-3-2 wide), pooling after 2, dense 128-64-1'
    """

    def joined(numbers: tuple[int, ...]) -> str:
        return "-".join(map(str, numbers))

    padded = f", {shape.padding} cell of padding" if shape.padding else ""
    pooled = f", pooling after {joined(shape.pool_after)}" if shape.pool_after else ""
    return (
        f"{shape.patch} x {shape.patch} cells, convolutions {joined(shape.channels)} "
        f"({joined(shape.kernels)} wide{padded}){pooled}, dense {joined((*shape.dense, 1))}"
    )


def _cautions(fit: Fit | None) -> list[str]:
    found = [
        "The sizes of the net are defaults of edaphos or the recipe's, not the paper's, which "
        "prints none.",
        "The mean is the arithmetic mean on the original scale.",
    ]
    if fit is None:
        return found
    counts = ", ".join(f"{n:,} {what}" for what, n in fit.rows.items())
    found.append(f"Layers of the training profiles, by whole spatial blocks: {counts}.")
    found.append(
        "What nets say is kept within the range of the layers learned from, by depth, as beyond it "
        f"nothing bears it out: so it was for {fit.limited:,} of the "
        f"{fit.rows['calibrated with']:,} layers that calibrate; such cells are told by their "
        "status, and so are cells of a class that no training patch has (outside the area of "
        "applicability)."
    )
    if fit.choice is not None:
        found.append(
            f"{len(fit.choice.kept)} of {len(fit.choice.considered)} covariates were kept by a "
            "filter that saw the layers learned from alone."
        )
    if fit.rounding:
        found.append(
            "The map is made in bfloat16, which changes what nets say by "
            f"{100 * fit.rounding:.2g} % of its spread (root mean square, on calibration patches)."
        )
    if fit.as_it_began:
        found.append(
            f"At {', '.join(fit.as_it_began)} fine-tuning made nothing better for the layers that "
            "stop it: the map there is that of the net for all depths."
        )
    return found
