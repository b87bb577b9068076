"""Compiled code is kept only as long as no kernel's source changes."""

from __future__ import annotations

from edaphos.kernels import rothc_run
from edaphos.kernels.jit import sources_digest


def test_cached_code_is_stamped_with_all_sources() -> None:
    """Numba alone stamps a function's own file; it inlines from others."""
    stamp = rothc_run._simulate._cache._cache_file._source_stamp
    assert stamp[1] == sources_digest()


def test_the_digest_sees_any_kernel(tmp_path, monkeypatch) -> None:
    from edaphos.kernels import jit

    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    (tmp_path / "a.py").write_text("one = 1")
    before = sources_digest.__wrapped__()
    (tmp_path / "a.py").write_text("one = 2")
    assert sources_digest.__wrapped__() != before
