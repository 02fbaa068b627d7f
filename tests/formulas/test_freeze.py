"""Freezing leaves what an earlier model used exactly as it was."""

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    THREE,
    every_program,
    make_bank,
    make_data,
    train,
)
from torch import nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies import Freeze


def states_of(model, program="in_memory", parts=None, **options):
    """Return the state dict after each model."""
    states = []

    def keep(_, trained):
        states.append({name: value.clone() for name, value in trained.state_dict().items()})

    train(model, [Freeze()], program=program, parts=parts, after_each=keep, **options)
    return states


@every_program
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("reset", [True, False])
def test_exactly_what_no_earlier_model_used_is_trained(program, optimizer, reset):
    bank = make_bank(THREE)
    states = states_of(bank, program, make_data(3), optimizer=optimizer, reset=reset)
    for model in (1, 2):
        free = set(bank.parameters_of(model)) - set(bank.shared_parameters_of(model))
        for name, value in states[model].items():
            assert torch.equal(value, states[model - 1][name]) == (name not in free), name


def normalised_bank(affine):
    torch.manual_seed(0)

    def block():
        return nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8, affine=affine), nn.ReLU())

    def head():
        return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

    return ModelBank(
        {"shared": block(), "a": head(), "b": head()}, [("shared", "a"), ("shared", "b")], CLASSES
    )


@every_program
@pytest.mark.parametrize("affine", [True, False])
def test_running_statistics_of_frozen_layers_stand_still(program, affine):
    first, second = states_of(normalised_bank(affine), program)
    for name in first:
        assert torch.equal(first[name], second[name]) == (".b." not in name), name


def test_frozen_layers_still_let_gradients_through():
    torch.manual_seed(0)
    blocks = {
        "own_1": nn.Linear(FEATURES, FEATURES),
        "shared": nn.Linear(FEATURES, 8),
        "a": nn.Linear(8, CLASSES),
        "own_2": nn.Linear(FEATURES, FEATURES),
        "b": nn.Linear(8, CLASSES),
    }
    bank = ModelBank(blocks, [("own_1", "shared", "a"), ("own_2", "shared", "b")], CLASSES)
    first, second = states_of(bank)
    assert not torch.equal(first["blocks.own_2.weight"], second["blocks.own_2.weight"])
    assert torch.equal(first["blocks.shared.weight"], second["blocks.shared.weight"])


class AsIfEvaluated(SupervisedPlugin):
    """Leaves layers in training mode, as Avalanche's evaluation does with those of two models."""

    def before_training_iteration(self, strategy, *_, **__):
        strategy.model.train()


@every_program
def test_running_statistics_stand_still_though_others_set_modes(program):
    states = []
    keep = [Freeze(), AsIfEvaluated()]
    train(
        normalised_bank(True),
        keep,
        program=program,
        after_each=lambda _, trained: states.append(
            {name: value.clone() for name, value in trained.state_dict().items()}
        ),
    )
    first, second = states
    for name in first:
        assert torch.equal(first[name], second[name]) == (".b." not in name), name
