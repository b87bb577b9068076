"""A precision holds inside its block, and the process has its settings back after it."""

from __future__ import annotations

import pytest
import torch

from edaphos.kernels.arithmetic import Precision, arithmetic

SWITCHES = (torch.backends.cudnn, torch.backends.cuda.matmul)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_tf32_is_a_choice_that_is_put_back(
    precision: Precision, before: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for switch, allowed in zip(SWITCHES, before, strict=True):
        monkeypatch.setattr(switch, "allow_tf32", allowed)

    def inside() -> None:
        with arithmetic(torch.device("cuda"), precision):
            assert [s.allow_tf32 for s in SWITCHES] == [precision == "tf32"] * 2
            raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert tuple(s.allow_tf32 for s in SWITCHES) == before


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_products_are_of_that_kind(precision: Precision) -> None:
    with arithmetic(torch.device("cpu"), precision):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
