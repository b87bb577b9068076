"""Carbon over depth by ecosystem, as a chart: the mean density of each mapped layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .charts import COLOURS, chart, legend_below
from .pictures import Labels, Picture, finish, style
from .tables import fixed

#: Deeper layers are thicker, so what is drawn is carbon in so many cm.
_CM = 10.0


def depth_curves(found: Mapping[str, Any] | None, labels: Labels) -> tuple[Picture, ...]:
    """Return the chart of a beta map's totals by ecosystem and layer; nothing without any.

    Parameters
    ----------
    found
        What ``ecosystem_stocks.json`` holds, with ``by_layer``.
    labels
        Of pictures.
    """
    rows = (found or {}).get("by_layer")
    if not rows:
        return ()
    title = "Carbon over depth by ecosystem, means by area"
    names = list(dict.fromkeys(row["ecosystem"] for row in rows))
    words = []
    with style():
        figure, ax = chart(title, labels, tall=2.9, foot=0.95, left=0.62)
        for name, colour in zip(names, COLOURS, strict=False):
            mine = [row for row in rows if row["ecosystem"] == name]
            values = [_CM * row["mean_t_ha"] / (row["bottom_cm"] - row["top_cm"]) for row in mine]
            across = [value for value in values for _ in range(2)]
            down = [row[end] for row in mine for end in ("top_cm", "bottom_cm")]
            ax.plot(across, down, color=colour, lw=1.5, label=name, zorder=3)
            told = ", ".join(
                f"{row['top_cm']:g}-{row['bottom_cm']:g} cm {fixed(value, 1)}"
                for row, value in zip(mine, values, strict=True)
            )
            words.append(f"{name}: {told}")
        ax.set_ylim(max(row["bottom_cm"] for row in rows), 0)
        ax.set_xlim(left=0)
        ax.set_ylabel("depth, cm")
        ax.set_xlabel(f"carbon, t/ha in {_CM:g} cm")
        ax.grid(axis="both", zorder=0)
        ax.set_axisbelow(True)
        legend_below(figure, ax, len(names), handlelength=1.4, columnspacing=1.2)
        return (finish(figure, "depth_curves", title, f"{title}. {'; '.join(words)}."),)
