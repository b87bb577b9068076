from __future__ import annotations

import json

from edaphos.engine.profiles.profiles import ProfileFile, load_profiles
from edaphos.engine.profiles.qa_report import QAReport

from ..profile_tables import country, layers, write


def _report(tmp_path):
    path = write(tmp_path / "x.csv", country(), layers({"soc": -1.0}, {"soc": 0.0, "top": 5}))
    file = ProfileFile(path, licence="CC0", citation="Nobody 2000")
    return load_profiles([file]).report


def test_a_report_survives_json(tmp_path):
    report = _report(tmp_path)
    assert QAReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_text_says_what_a_person_asks(tmp_path):
    report = _report(tmp_path)
    text = report.to_text(width=110)
    assert "122 rows read = 121 kept + 1 dropped" in text
    assert "soc_g_kg = soc" in text
    assert "licence: CC0" in text
    assert "organic carbon below 0" in text
    assert max(len(line) for line in text.splitlines()) <= 110
    assert text.index("dropped") < text.index("flagged")


def test_counts_by_rule_and_source(tmp_path):
    report = _report(tmp_path)
    assert report.count("soc_negative") == report.count("soc_negative", "A") == 1
    assert report.count("soc_negative", "B") == 0
    assert report.count("no such rule") == 0
