"""Independent training: each model ends as if it had been trained alone."""

import copy

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    FEATURES,
    MODELS,
    OPTIMIZERS,
    THREE,
    every_program,
    in_memory_streams,
    make_bank,
    make_data,
    make_ordinary,
    make_program,
    same,
    stock_streams,
)
from torch import nn

from palimpsest.benchmark.training.evaluation import AccuracyMeter, evaluate
from palimpsest.strategies import Independent


class Spy(SupervisedPlugin):
    """Keeps the weights that each experience was last evaluated with."""

    def __init__(self):
        super().__init__()
        self.states = {}

    def before_eval_forward(self, strategy, *_, **__):
        state = copy.deepcopy(strategy.model.state_dict())
        self.states[strategy.experience.current_experience] = state


class EvaluatesWhileTraining(SupervisedPlugin):
    def __init__(self, tests):
        super().__init__()
        self.tests = tests

    def after_training_iteration(self, strategy, *_, **__):
        before = copy.deepcopy(strategy.model.state_dict())
        evaluate(strategy, self.tests)
        assert same(before, strategy.model.state_dict())


def train_models(
    initial, program, parts, labels, optimizer, plugins, only=None, reset=True, evaluated=()
):
    """Train a copy of a model on all experiences, or on one of them only."""
    model = copy.deepcopy(initial)
    streams = stock_streams if program == "naive" else in_memory_streams
    experiences, tests = streams(parts, labels)
    watchers = [EvaluatesWhileTraining(tests)] if evaluated else []
    strategy = make_program(
        program,
        model,
        OPTIMIZERS[optimizer](model.parameters()),
        [*plugins, AccuracyMeter(), *watchers],
        count=len(parts),
    )
    for i, experience in enumerate(experiences):
        if only is None or i == only:
            torch.manual_seed(i)
            strategy.train(
                experience,
                eval_streams=[],
                reset_optimizer_state=reset,
                num_workers=0,
                pin_memory=False,
            )
    return model, strategy, tests


@every_program
@pytest.mark.parametrize(("optimizer", "evaluated"), [("momentum", False), ("adam", True)])
@pytest.mark.parametrize("kind", ["bank", "ordinary"])
def test_each_model_ends_as_if_trained_alone(program, optimizer, kind, evaluated):
    initial = make_bank(THREE) if kind == "bank" else make_ordinary()
    parts, labels = make_data(3), [0, 1, 2] if kind == "bank" else [0, 0, 0]
    spy = Spy()
    _, strategy, tests = train_models(
        initial,
        program,
        parts,
        labels,
        optimizer,
        [Independent(), spy],
        reset=False,  # even then
        evaluated=evaluated,
    )
    evaluate(strategy, tests)
    for i in range(3):
        alone, _, _ = train_models(initial, program, parts, labels, optimizer, [], only=i)
        assert same(spy.states[i], alone.state_dict())


@every_program
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_was_not_trained_is_evaluated_with_the_initial_weights(program, kind):
    initial, spy = MODELS[kind](), Spy()
    _, strategy, tests = train_models(
        initial,
        program,
        make_data(2),
        [0, 1] if kind == "bank" else [0, 0],
        "sgd",
        [Independent(), spy],
        only=0,
    )
    evaluate(strategy, tests)
    assert same(spy.states[1], initial.state_dict())
    assert not same(spy.states[0], initial.state_dict())


def test_evaluation_before_any_training_is_possible():
    initial, spy = make_bank(), Spy()
    experiences, tests = in_memory_streams(make_data(2), [0, 1])
    optimizer = torch.optim.SGD(initial.parameters(), lr=0.1)
    strategy = make_program("in_memory", initial, optimizer, [Independent(), spy, AccuracyMeter()])
    before = copy.deepcopy(initial.state_dict())
    evaluate(strategy, tests)
    assert same(spy.states[0], before)
    assert len(experiences) == 2


def test_running_statistics_belong_to_each_model():
    torch.manual_seed(0)
    initial = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    spy, parts = Spy(), make_data(2)
    _, strategy, tests = train_models(
        initial, "in_memory", parts, [0, 0], "sgd", [Independent(), spy]
    )
    evaluate(strategy, tests)
    for i in range(2):
        alone, _, _ = train_models(initial, "in_memory", parts, [0, 0], "sgd", [], only=i)
        assert same(spy.states[i], alone.state_dict())


def test_the_first_model_keeps_its_predictions_although_the_head_grows():
    torch.manual_seed(0)
    initial = nn.Sequential(
        nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, initial_out_features=2)
    )
    (x, y), (z, w) = make_data(2)
    parts = [(x, y % 2), (z, w % 2 + 2)]

    class Outputs(SupervisedPlugin):
        def after_eval_forward(self, strategy, *_, **__):
            if strategy.experience.current_experience == 0:
                outputs.append(strategy.mb_output[:, :2].clone())

    outputs, model = [], copy.deepcopy(initial)
    experiences, tests = stock_streams(parts, [0, 0])
    strategy = make_program(
        "naive",
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        [Independent(), AccuracyMeter(), Outputs()],
    )
    for experience in experiences:
        strategy.train(experience, eval_streams=[], num_workers=0)
        evaluate(strategy, tests[:1])
    assert torch.equal(*outputs)
