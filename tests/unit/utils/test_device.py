"""What networks run on."""

from __future__ import annotations

import pytest
import torch

from asr.utils.device import find_device
from asr.utils.errors import InputError


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [find_device(name).type for name in (None, "auto", "gpu", "cpu")] == ["cuda", "cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [find_device(name).type for name in (None, "auto", "cpu")] == ["cpu", "cpu", "cpu"]
    for name in ("gpu", "tpu"):
        with pytest.raises(InputError) as refused:
            find_device(name)
        assert refused.value.where == "device"
