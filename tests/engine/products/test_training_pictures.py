"""The report tells how nets were trained, where a model kept their curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaphos.engine.errors import StoreError
from edaphos.engine.grid import Grid
from edaphos.engine.products.pictures import Labels
from edaphos.engine.products.report import ReportInputs, gather, write_report
from edaphos.engine.products.training_pictures import (
    MOST_CHARTS,
    training_pictures,
    training_tables,
)
from edaphos.engine.training_curve import CURVES, Curve, Training, load_curves, save_curves

from ..maps import DEPTHS, fake_map
from .test_report import Page, text_of


def course(best: int = 4, epochs: int = 9, **changes) -> Curve:
    validation = 0.5 + 0.01 * (np.arange(1, epochs + 1) - best) ** 2
    curve = Curve(
        tuple(np.geomspace(1, 0.2, epochs).tolist()),
        tuple(validation.tolist()),
        (1e-3,) * epochs,
        best,
        "patience",
        75.0,
    )
    return replace(curve, **changes)


TRAININGS = (
    Training("all depths", course(), 0, 12_000, 900, "squared error"),
    Training("0-5 cm", course(3), 0, 2_000, 150, "squared error"),
    Training("all depths", course(5), 1, 12_000, 900, "squared error"),
)


def test_curves_come_back(tmp_path: Path) -> None:
    assert load_curves(tmp_path) == ()
    save_curves(tmp_path, TRAININGS)
    assert load_curves(tmp_path) == TRAININGS
    for text in ("{", '{"trainings": [{"name": 1}]}', "[]"):
        (tmp_path / CURVES).write_text(text)
        with pytest.raises(StoreError, match="fit the model again"):
            load_curves(tmp_path)


def test_trainings_of_one_name_share_a_chart_and_the_best_epoch_is_marked() -> None:
    found = training_pictures(TRAININGS, Labels("VIRTUAL SOIL"))
    assert [p.title for p in found] == ["Training: all depths", "Training: 0-5 cm"]
    assert "seed 0: epoch 4 of 9 is kept" in found[0].alt
    assert "seed 1: epoch 5 of 9 is kept" in found[0].alt
    assert "epoch 3 of 9 is kept, validation loss 0.5000" in found[1].alt
    for picture in found:
        for words in ("epoch that is kept", "training", "validation", "VIRTUAL SOIL"):
            assert words in picture.svg
    assert len({p.name for p in found}) == 2
    many = [Training(f"{k} cm", course()) for k in range(20)]
    assert len(training_pictures(many, Labels())) == MOST_CHARTS
    assert training_pictures((), Labels()) == ()


def test_a_training_without_validation_and_one_that_reached_zero_are_drawn() -> None:
    blind = course(9, validation=(float("nan"),) * 9, stopped="epochs")
    perfect = course(9, train=(1.0,) * 8 + (0.0,), validation=(1.0,) * 8 + (0.0,))
    one, two = training_pictures([Training("a", blind), Training("b", perfect)], Labels())
    assert "validation<" not in one.svg
    assert "epoch that is kept" in one.svg
    assert "epoch that is kept" in two.svg
    assert "logarithmic" not in two.svg


def test_losses_that_span_wide_stand_on_a_logarithmic_scale() -> None:
    wide = course(train=tuple(np.geomspace(1000, 0.5, 9).tolist()))
    for curve, told in ((course(), False), (wide, True)):
        (picture,) = training_pictures([Training("a", curve)], Labels())
        assert ("logarithmic scale" in picture.svg) == told


def test_the_table_tells_every_training() -> None:
    (table,) = training_tables(TRAININGS)
    assert table.rows[2] == (
        *("all depths", "1", "12,000", "900", "9", "5"),
        *("0.4472", "0.5000", "no better epoch", "1 min 15 s"),
    )
    assert table.note == "Loss: squared error."
    assert training_tables(()) == []


def test_a_run_whose_model_kept_curves_has_a_section(tmp_path: Path) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    html = write_report(tmp_path / "with", ReportInputs(ds, trainings=TRAININGS)).read_text()
    page, text = Page(html), text_of(html)
    assert {"training", "fig-training_1", "fig-training_2"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.open == []
    assert "#training" in page.links
    assert "How its nets were trained" in text
    assert "no better epoch" in text
    assert (tmp_path / "with" / "pictures" / "training_1.png").is_file()
    html = write_report(tmp_path / "without", ReportInputs(ds)).read_text()
    assert "training" not in Page(html).ids


def test_they_are_gathered_from_the_folder_of_the_model(tmp_path: Path, monkeypatch) -> None:
    ds = fake_map(Grid.preset("global-1deg"), depths=DEPTHS[:1])
    monkeypatch.setattr("edaphos.engine.products.report.open_map", lambda _: ds)
    monkeypatch.setattr("edaphos.engine.products.report.read_directly", lambda ds, *_: ds)
    (tmp_path / "model").mkdir()
    assert gather(tmp_path).trainings == ()
    save_curves(tmp_path / "model", TRAININGS)
    assert gather(tmp_path).trainings == TRAININGS
