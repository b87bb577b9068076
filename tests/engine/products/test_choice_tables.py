from __future__ import annotations

from edaphos.engine.covariate_choice import Considered, CovariateChoice
from edaphos.engine.products.choice_tables import choice_tables

CHOICE = CovariateChoice(
    kept=("rain", "koeppen"),
    considered=(
        Considered("flat", "constant", None),
        Considered("tpi", "beyond", 0.06),
        Considered("koeppen", "kept", 0.41),
        Considered("snow", "weak", -0.013),
        Considered("rain", "kept", -0.52),
        Considered("wetness", "twin", 0.49, "rain", 0.912),
    ),
    errors={1: 0.71234, 2: 0.65},
    rows=1234,
)


def test_what_is_used_comes_first_and_every_reason_is_told() -> None:
    (table,) = choice_tables({"": CHOICE}, {})
    assert table.rows == (
        ("rain", "−0.52", "used"),
        ("koeppen", "0.41", "used"),
        ("tpi", "0.06", "weaker than those of the best batch"),
        ("wetness", "0.49", "follows rain (r 0.91)"),
        ("snow", "−0.01", "hardly correlated with the target"),
        ("flat", "–", "does not vary, or is known in too few rows"),
    )
    assert "1,234 rows" in table.note
    assert "1: 0.7123, 2: 0.6500" in table.note


def test_models_by_depth_have_a_table_each() -> None:
    tables = choice_tables(
        {"depth_0": CHOICE, "depth_1": CHOICE}, {"depth_0": "0–5 cm", "depth_1": "5–15 cm"}
    )
    assert [t.title for t in tables] == [
        "Covariates, and what became of them, 0–5 cm",
        "Covariates, and what became of them, 5–15 cm",
    ]
    assert choice_tables({}, {}) == []
