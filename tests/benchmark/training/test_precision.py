"""Training in bfloat16: only the passes of the training, against torch's autocast by hand."""

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from one_run import TWO_MODELS, suite_of
from torch import nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.orchestration import plan
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.training.template import Batches

SCENARIO = TWO_MODELS | {
    "steps": 8,
    "hidden_layers": [2, 2],
    "shared_layers": 1,
    "curve": {"every": 4},
}
NAMES = ["wpl", "lwf", "rwalk", "independent", "avalanche:EWC", "avalanche:Replay"]
ARGUMENTS = {"avalanche:EWC": {"ewc_lambda": 1.0}, "avalanche:Replay": {"mem_size": 20}}


@pytest.fixture
def make_suite(tmp_path):
    def make(strategy="finetune", **changes):
        settings = {"arguments": ARGUMENTS[strategy]} if ":" in strategy else {}
        return suite_of(tmp_path, SCENARIO | changes, strategy, settings)

    return make


@pytest.fixture
def make_run(make_suite, tmp_path):
    def make(*arguments, **changes):
        (run,) = make_suite(*arguments, **changes).runs("cpu", tmp_path)
        return run

    return make


class Types(SupervisedPlugin):
    """Notes the types of what is computed, inside the network and outside."""

    def __init__(self, model):
        super().__init__()
        self.inside, self.outside, self.training = set(), set(), False
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(self._note)

    def _note(self, module, inputs, output):
        self.inside.add((self.training, output.dtype))

    def before_forward(self, *_, **__):
        self.training = True

    def after_forward(self, strategy, *_, **__):
        self.training = False
        self.outside.add(strategy.mb_output.dtype)

    def after_update(self, strategy, *_, **__):
        gradients = [p.grad for p in strategy.model.parameters() if p.grad is not None]
        self.outside |= {p.dtype for p in (*strategy.model.parameters(), *gradients)}
        self.outside.add(strategy.loss.dtype)


@pytest.mark.parametrize("strategy", ["finetune", *NAMES])
def test_only_the_passes_of_the_training_are_bfloat16(make_run, tmp_path, strategy):
    ready = prepare(make_run(strategy, precision="bfloat16"), tmp_path)
    types = Types(ready.scenario.model)
    ready.strategy.plugins.append(types)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    ready.strategy.eval(ready.scenario.test)
    assert types.inside == {(True, torch.bfloat16), (False, torch.float32)}
    assert types.outside == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_it_is_torchs_autocast(make_run, tmp_path):
    run = make_run(precision="bfloat16")
    ready = prepare(run, tmp_path)
    ready.strategy.train(ready.scenario.train[0], **TRAINING)
    other = prepare(run, tmp_path)
    model = other.scenario.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    model.train()
    samples, seed = other.scenario.train[0].dataset.samples, other.strategy._order_seeds[0]
    for x, y, label in Batches(samples, 32, 8, seed):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x, label), y)
        loss.backward()
        optimizer.step()
    pairs = zip(model.parameters(), ready.scenario.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_error_in_a_pass_leaves_no_autocast_behind(make_run, tmp_path):
    ready = prepare(make_run(precision="bfloat16"), tmp_path)

    def fail(*_):
        raise RuntimeError("broken")

    next(iter(ready.scenario.model.blocks.values())).register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken"):
        ready.strategy.train(ready.scenario.train[0], **TRAINING)
    assert not torch.is_autocast_enabled("cpu")


def test_a_gpu_without_it_is_refused(make_suite, monkeypatch):
    from contextlib import nullcontext

    monkeypatch.setattr(torch.cuda, "device", lambda name: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    suite = make_suite(precision="bfloat16")
    with pytest.raises(UserError, match=r"line \d+: .*precision: the device cuda:1 has no bfloat"):
        plan._check_precision(suite, "cuda:1")
    plan._check_precision(suite, "cpu")
    plan._check_precision(make_suite(), "cuda:1")
