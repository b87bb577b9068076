"""Write intervals.json with MAPIE and crepes: `python make.py`, in an environment of their own."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from crepes import ConformalRegressor
from mapie.regression import ConformalizedQuantileRegressor
from sklearn.linear_model import QuantileRegressor

rng = np.random.default_rng(0)


def draw(n):
    """Skewed values that spread more where they are larger."""
    x = rng.uniform(0, 3, n)
    return x[:, None], np.exp(0.5 + 0.6 * x + rng.normal(0, 0.3 + 0.3 * x, n))


def plain(**arrays):
    """Arrays as lists."""
    return {name: np.asarray(values).tolist() for name, values in arrays.items()}


(x_fit, y_fit), (x, y), (x_new, _) = draw(300), draw(80), draw(12)
found = {
    "made_with": {name: version(name) for name in ("mapie", "crepes")},
    "cqr": [],
    "groups": [],
}
for level in (0.8, 0.9):
    # bounds of a narrower interval than is promised, so that the margin is not about 0
    low, high, middle = (
        QuantileRegressor(quantile=q, alpha=0, solver="highs").fit(x_fit, y_fit)
        for q in (1 - level, level, 0.5)
    )
    cqr = ConformalizedQuantileRegressor([low, high, middle], confidence_level=level, prefit=True)
    _, moved = cqr.conformalize(x, y).predict_interval(x_new, symmetric_correction=True)
    found["cqr"].append(
        {"level": level}
        | plain(y=y, low=low.predict(x), high=high.predict(x))
        | plain(new_low=low.predict(x_new), new_high=high.predict(x_new))
        | plain(low_moved=moved[:, 0, 0], high_moved=moved[:, 1, 0])
    )
    group, new_group = ((values[:, 0] > 1.5).astype(int) for values in (x, x_new))
    mondrian = ConformalRegressor()
    mondrian.fit(y - middle.predict(x), bins=group)
    around = middle.predict(x_new)
    ends = mondrian.predict_int(around, bins=new_group, confidence=level)
    found["groups"].append(
        {"level": level}
        | plain(y=y, predicted=middle.predict(x), group=group, new=around, new_group=new_group)
        | plain(low=ends[:, 0], high=ends[:, 1])
    )
(Path(__file__).parent / "intervals.json").write_text(json.dumps(found) + "\n")
