"""What a run takes: the bytes of a strategy's state, and the peak of a run's memory."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmark.cost import peak_memory, reset_peak_memory, state_bytes


@dataclass
class Held:
    tensor: torch.Tensor
    inside: dict


def plugin(**attributes):
    return SimpleNamespace(**attributes)


def test_tensors_are_found_wherever_a_plugin_keeps_them():
    float32, float64 = torch.zeros(10), torch.zeros(5, dtype=torch.float64)
    held = plugin(
        strength=3.0,
        name="wpl",
        importances={"a": float32, "b": [torch.zeros(3), (torch.zeros(2), None)]},
        dataclass=Held(float64, {1: torch.zeros(7)}),
        teacher=nn.Linear(4, 2),
        normalised=nn.BatchNorm1d(3, affine=False),
    )
    floats = 10 + 3 + 2 + 7 + (4 * 2 + 2) + 3 + 3
    assert state_bytes(held, nn.Linear(1, 1)) == 4 * floats + 8 * 5 + 8  # BatchNorm counts batches


def test_a_storage_is_counted_once_and_whole():
    tensor = torch.zeros(100)
    held = plugin(one=tensor, two={"again": tensor}, part=tensor[:10], other=tensor.view(10, 10))
    assert state_bytes(held, nn.Linear(1, 1)) == 400
    assert state_bytes(plugin(part=tensor[:10]), nn.Linear(1, 1)) == 400


def test_what_belongs_to_the_model_is_not_the_strategys():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model(torch.zeros(2, 3)).sum().backward()
    held = plugin(
        parameters=dict(model.named_parameters()),
        values=[p.detach() for p in model.parameters()],
        gradients=[p.grad for p in model.parameters()],
        buffers=list(model.buffers()),
        model=model,
        own=torch.zeros(6),
    )
    assert state_bytes(held, model) == 24


def test_nothing_held_is_nothing():
    assert state_bytes(plugin(), nn.Linear(1, 1)) == 0
    assert state_bytes(plugin(empty=torch.zeros(0)), nn.Linear(1, 1)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be reset here")
def test_the_peak_is_that_of_the_run_and_not_of_an_earlier_one():
    size = 200 * 2**20
    block = torch.ones(size // 4)
    high = peak_memory("cpu")
    del block
    reset_peak_memory("cpu")
    low = peak_memory("cpu")
    assert low < high - size // 2
    block = torch.ones(size // 4)
    assert peak_memory("cpu") > low + size // 2
    del block
