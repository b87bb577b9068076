"""A precision holds inside its block, and the process has its settings back after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from edaphos.kernels.arithmetic import Precision, arithmetic

SWITCHES = (torch.backends.cudnn, torch.backends.cuda.matmul)


@pytest.fixture(params=[(True, False), (False, True)])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    found = [switch.allow_tf32 for switch in SWITCHES]
    for switch, allowed in zip(SWITCHES, request.param, strict=True):
        switch.allow_tf32 = allowed
    yield request.param
    for switch, allowed in zip(SWITCHES, found, strict=True):
        switch.allow_tf32 = allowed


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_tf32_is_a_choice_that_is_put_back(precision: Precision, before: tuple[bool, bool]) -> None:
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
