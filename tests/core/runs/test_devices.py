"""The device of a run: the first GPU, otherwise the CPU, and a sentence for one that is not there."""

from __future__ import annotations

import pytest
import torch

from granu import OptionError
from granu.runs.devices import choose_device


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_first_gpu_if_there_is_one(available: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device("auto") == device
    assert choose_device("cpu") == "cpu" and choose_device("meta") == "meta"


def test_a_device_that_is_not_there_is_refused_with_the_first_line_of_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OptionError) as raised:
        choose_device("gpu")
    assert str(raised.value).startswith("--device gpu cannot be used (Expected one of cpu, cuda")
    assert str(raised.value).endswith("); take --device cpu or auto")

    def fail(*size: int, device: str) -> None:
        assert device == "cuda:7"
        raise AssertionError("Torch not compiled with CUDA enabled\nand more")

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(OptionError) as raised:
        choose_device("cuda:7")
    reason = "Torch not compiled with CUDA enabled"
    assert str(raised.value) == f"--device cuda:7 cannot be used ({reason}); take --device cpu or auto"
