"""The kit finds every fault that was planted, and none where there is none."""

import os
import re
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

import pytest
import torch
from at_length import at_length
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import Naive
from test_kit_sees_evaluation import FAULTS as FAULTS_IN_EVALUATION

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.kit.candidate import Candidate, candidates
from palimpsest.benchmark.kit.check import PROPERTIES, verdict
from palimpsest.benchmark.kit.testing import StrategyProperties
from palimpsest.strategies import L2, VCL, BAdam, Freeze, FreezeImportant, NStepKL, TaskArithmetic
from palimpsest.strategies.base.facts import BETA, ENERGY, SCALE, SHARE, Dial, Facts
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.penalty import optimizer_metric
from palimpsest.strategies.posteriors.layers import posterior_layers


class Sound(L2):
    """The plain anchor: every fault is planted in it."""


class AnchorsAreViews(L2):
    def keep(self, strategy, used):
        super().keep(strategy, used)
        self.anchors |= {name: parameter.detach() for name, parameter in used.items()}


class ActsAtZero(L2):
    @torch.no_grad()
    def after_update(self, strategy, *_, **__):
        super().after_update(strategy)
        for parameter in self._parameters.values():
            if parameter.grad is not None:
                parameter.mul_(1 - 0.01 * strategy.optimizer.param_groups[0]["lr"])


class DoesNothing(L2):
    """What a penalty is that looks for its own class among the optimizer's parameter groups."""

    def before_update(self, strategy, *_, **__):
        self.note_gradients()

    def after_update(self, strategy, *_, **__):
        pass


OF_A_MERGE = {"strength": None, "dial": SCALE, "values": (0.3, 0.15), "moves_unused": True}

ELSEWHERE = WeakKeyDictionary()


class KeepsStateElsewhere(L2):
    def before_training_exp(self, strategy, *_, **__):
        super().before_training_exp(strategy)
        ELSEWHERE[self] = ELSEWHERE.get(self, 0) + 1

    @torch.no_grad()
    def after_update(self, strategy, *_, **__):
        super().after_update(strategy)
        for parameter in strategy.model.parameters():
            if parameter.grad is not None:
                parameter.mul_(1 - 0.001 * ELSEWHERE[self])


class WeakBehindAdam(L2):
    def _rates(self, optimizer):
        weak = isinstance(optimizer, torch.optim.Adam)
        return [rate / 1000 if weak else rate for rate in super()._rates(optimizer)]


class IdleBehindRMSprop(L2):
    def after_update(self, strategy, *_, **__):
        if not isinstance(strategy.optimizer, torch.optim.RMSprop):
            super().after_update(strategy)


class IdleInPlainAvalanche(L2):
    def after_update(self, strategy, *_, **__):
        if not isinstance(strategy, Naive):
            super().after_update(strategy)


class DrawsInPlainAvalanche(L2):
    def before_training_exp(self, strategy, *_, **__):
        super().before_training_exp(strategy)
        if isinstance(strategy, Naive):
            torch.rand(1)


class AddedToTheGradient(L2):
    """In a class that does not say so."""

    def __init__(self, **settings):
        super().__init__(**settings, application="gradient")


class ZeroGradients(L2):
    def after_backward(self, strategy, *_, **__):
        super().after_backward(strategy)
        for parameter in self._parameters.values():
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)


class AsksForGradients(L2):
    def before_update(self, strategy, *_, **__):
        super().before_update(strategy)
        if isinstance(getattr(strategy.model, "frozen", None), torch.nn.Module):
            for parameter in self._parameters.values():
                parameter.grad.detach()


class SquaresTheMean(L2):
    def estimate(self, strategy, parameters):
        importance = super().estimate(strategy, parameters)
        return {name: value / strategy.train_mb_size for name, value in importance.items()}


class KeepsTheLastBatch(L2):
    """Takes the batch that an evaluation has left behind for one of training."""

    def estimate(self, strategy, parameters):
        size = strategy.mb_x.abs().mean()
        return {
            name: size * value for name, value in super().estimate(strategy, parameters).items()
        }


class SinglePrecision(L2):
    def estimate(self, strategy, parameters):
        return {
            name: 1e3 * (1 + 1e-4 * p.detach().float() ** 2 - 1) for name, p in parameters.items()
        }


class DrawsInEvaluation(L2):
    def before_eval_exp(self, strategy, *_, **__):
        torch.rand(1)


class LeavesTrainingMode(L2):
    def estimate(self, strategy, parameters):
        strategy.model.eval()
        strategy.model.train()
        return super().estimate(strategy, parameters)


class TrainsInEvaluationMode(L2):
    def before_training_iteration(self, strategy, *_, **__):
        strategy.model.eval()


class MovesStatistics(L2):
    def estimate(self, strategy, parameters):
        with torch.no_grad():
            avalanche_forward(strategy.model, strategy.mb_x, 0)
        return super().estimate(strategy, parameters)


class NeverTheSame(L2):
    def estimate(self, strategy, parameters):
        torch.manual_seed(int.from_bytes(os.urandom(4)))
        return {name: torch.rand_like(value) for name, value in parameters.items()}


class ForgetsItsAnchors(L2):
    def __getstate__(self):
        return {**vars(self), "importances": {}, "anchors": {}}


class KeepsEveryModel(L2):
    def keep(self, strategy, used):
        super().keep(strategy, used)
        self.all = [*getattr(self, "all", []), {n: p.detach().clone() for n, p in used.items()}]


class NeedsTensors(L2):
    def estimate(self, strategy, parameters):
        assert len(strategy.adapted_dataset.tensors) == 3
        return super().estimate(strategy, parameters)


class ForgetsMomentum(L2):
    def _rates(self, optimizer):
        return optimizer_metric.learning_rates(optimizer)


class TellsNoPenalty(L2):
    def penalty(self, model):
        return torch.zeros(())


class WithStateDict(L2):
    def state_dict(self):
        return {"importances": self.importances, "anchors": self.anchors, "seen": self.models_seen}

    def load_state_dict(self, state):
        self.importances, self.anchors = state["importances"], state["anchors"]
        self.models_seen = state["seen"]


class WithHalfAStateDict(WithStateDict):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "importances": {}})


class SoundHooks(Hooked, L2):
    """The anchor with hooks that leave no trace."""

    def adapt(self, model, index):
        if not hasattr(model, "extra"):
            model.extra = torch.nn.Identity()

    @contextmanager
    def evaluating(self, model, index):
        before = [p.requires_grad for p in model.parameters()]
        model.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, required in zip(model.parameters(), before, strict=True):
                parameter.requires_grad_(required)


class HooksNobodyCalls(L2):
    def adapt(self, model, index):
        raise AssertionError


class OverridesACallback(SoundHooks):
    def before_eval_exp(self, strategy, *_, **__):
        """Without super()."""


class PutsNothingBack(SoundHooks):
    @contextmanager
    def evaluating(self, model, index):
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.bias.requires_grad_(False)
        yield


class AdaptsAnew(SoundHooks):
    def adapt(self, model, index):
        setattr(model, f"extra_{len(list(model.children()))}", torch.nn.Identity())


class ClaimsToForgetNothing(L2):
    declares: ClassVar = {"forgets_nothing": True}


class HoldsByZeros(Freeze):
    """Says that nothing is free of what it gives gradients of zero, which momentum moves."""

    declares: ClassVar = {"strength": None}

    def after_backward(self, strategy, *_, **__):
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                if name in self._frozen:
                    parameter.grad.zero_()
                self._used.add(name)


class HoldsRowsByZeros(FreezeImportant):
    """Scales the gradients of half of the rows, which momentum and weight decay do not heed."""

    declares: ClassVar = {"strength": None, "dial": SHARE, "arguments": {"share": 0.5}}

    def before_update(self, strategy, *_, **__):
        super().before_update(strategy)
        self._before = []
        for parameter, hold in self._held:
            parameter.grad.mul_(1 - hold)


class TellsMoreThanAll(L2):
    def free(self, model):
        return dict.fromkeys(self.anchors, 1.5)


class TellsOfOthers(L2):
    def free(self, model):
        return {"another": 0.5}


class TellsOfTheLastModelAlone(Freeze):
    declares: ClassVar = {"strength": None, "holds_for_good": True}

    def free(self, model):
        return dict.fromkeys(self._used, 0.0)

    def before_training_exp(self, strategy, *_, **__):
        super().before_training_exp(strategy)
        self._used = set()


class KeepsQuietAboutIt(Freeze):
    declares: ClassVar = {"strength": None}

    def free(self, model):
        return {}


class HoldsARowAtLeast(FreezeImportant):
    declares: ClassVar = {"strength": None, "dial": SHARE, "arguments": {"share": 0.5}}

    def holds(self, used):
        shared = {name: p for name, p in used.items() if name in self._shared}
        first = {
            n: torch.zeros_like(p).index_fill_(0, torch.tensor(0), 1) for n, p in shared.items()
        }
        return super().holds(used) or first


class OfAPosterior:
    """What faults planted in posteriors declare."""

    declares: ClassVar = {
        "strength": None,
        "dial": BETA,
        "values": (0.2,),
        "arguments": {"beta": 0.2},
    }


class ShrinksAll(BAdam):
    declares: ClassVar = {
        "strength": None,
        "dial": Dial("eta", "etas", lowest=0),
        "values": (1.0,),
        "arguments": {"eta": 1},
    }

    def after_training_exp(self, strategy, *_, **__):
        super().after_training_exp(strategy)
        self.deviations = {name: 0.9 * sigma for name, sigma in self.deviations.items()}


class LeavesTheDraw(OfAPosterior, VCL):
    @contextmanager
    def sampled(self, model, index, generator):
        for layer in posterior_layers(model).values():
            layer.draw(generator)
        yield


class DrawsFromElsewhere(OfAPosterior, VCL):
    def sampled(self, model, index, generator):
        return super().sampled(
            model, index, torch.Generator().manual_seed(torch.randint(99, ()).item())
        )


class DrawsToEvaluate(OfAPosterior, VCL):
    def before_eval_forward(self, strategy, *_, **__):
        for layer in posterior_layers(strategy.model).values():
            layer.draw(self._generator)

    def after_eval_forward(self, strategy, *_, **__):
        for layer in posterior_layers(strategy.model).values():
            layer.noise = {}


class LeavesOldSamplesOut(OfAPosterior, NStepKL):
    """Passes samples through the network that have no weight in the loss."""

    declares: ClassVar = {
        **OfAPosterior.declares,
        "arguments": {"beta": 0.2, "posteriors": 2, "memory": 60},
        "moves_unused": True,
    }

    def keep(self, strategy, used):
        VCL.keep(self, strategy, used)


class GoesOn(TaskArithmetic):
    """Begins where the last training ended."""

    declares: ClassVar = OF_A_MERGE

    def _beginning(self, index):
        return {}


class KeepsMomentum(TaskArithmetic):
    declares: ClassVar = OF_A_MERGE

    def before_training_exp(self, strategy, *arguments, **keywords):
        kept = strategy.optimizer.state
        super().before_training_exp(strategy, *arguments, **keywords)
        strategy.optimizer.state = kept


class StepsElsewhere(Hooked, SupervisedPlugin):
    """Without a strength: goes only a share of each step once a model was trained."""

    share = 1.0

    def __init__(self):
        super().__init__()
        self.models = 0

    def after_training_exp(self, strategy, *_, **__):
        self.models += 1

    def before_update(self, strategy, *_, **__):
        self.before = [p.detach().clone() for p in strategy.model.parameters()]

    @torch.no_grad()
    def after_update(self, strategy, *_, **__):
        for p, before in zip(strategy.model.parameters(), self.before, strict=True):
            if self.models and p.grad is not None:
                p.copy_(before + self.share * (p - before))


class ProtectsLittle(StepsElsewhere):
    share = 0.95


class HarmsTheEarlier(StepsElsewhere):
    share = 1.6


class CallsTheModelWrongly(L2):
    def estimate(self, strategy, parameters):
        x, t = strategy.mb_x, strategy.mb_task_id
        strategy.model(x, t, t)


class ReturnsAnotherThing(L2):
    def estimate(self, strategy, parameters):
        return [*parameters]


class ScalesAll(TaskArithmetic):
    """Also what is a model's own."""

    declares: ClassVar = OF_A_MERGE

    def merged(self, index):
        return super().merged(index) | {n: 0.9 * value for n, value in self.own.items()}


FAULTS = {
    # A checkpoint copies what should have been copied before: the resumed training differs.
    AnchorsAreViews: {
        "protects the earlier model",
        "a huge strength holds",
        "a checkpoint keeps everything",
    },
    DoesNothing: {
        "protects the earlier model",
        "a huge strength holds",
        "rests at the minimum",
    },
    WeakBehindAdam: {"protects behind every optimizer", "rests at the minimum"},
    IdleBehindRMSprop: {
        "protects behind every optimizer",
        "a huge strength holds",
        "rests at the minimum",
    },
    IdleInPlainAvalanche: {"protects behind every optimizer", "a huge strength holds"},
    DrawsInPlainAvalanche: {"strength 0 is fine-tuning"},
    AddedToTheGradient: {"a huge strength holds"},
    ActsAtZero: {"strength 0 is fine-tuning", "rests at the minimum"},
    ZeroGradients: {
        "strength 0 is fine-tuning",
        "unused parameters stay",
        "no gradient is handled",
        "no gradient of zero",
    },
    AsksForGradients: {"no gradient is handled"},
    SquaresTheMean: {"importance ignores the batch size"},
    KeepsTheLastBatch: {"evaluation changes nothing", "importance ignores the batch size"},
    SinglePrecision: {"precision changes rounding alone"},
    DrawsInEvaluation: {"evaluation changes nothing"},
    LeavesTrainingMode: {"modes are left as found"},
    TrainsInEvaluationMode: {"modes are left as found"},
    # What it looks at is the batch that an evaluation has left behind.
    MovesStatistics: {"modes are left as found", "evaluation changes nothing"},
    NeverTheSame: {
        "deterministic",
        "rests at the minimum",
        "importance ignores the batch size",
        "evaluation changes nothing",
        "precision changes rounding alone",
        "a checkpoint keeps everything",
    },
    ForgetsItsAnchors: {"a checkpoint keeps everything"},
    KeepsEveryModel: {"memory grows as declared"},
    NeedsTensors: {"works in plain Avalanche"},
    ForgetsMomentum: {"rests at the minimum"},
    TellsNoPenalty: {"rests at the minimum"},
    WithHalfAStateDict: {"the state dict holds everything", "resumes after an interruption"},
    KeepsStateElsewhere: {"a checkpoint keeps everything", "resumes after an interruption"},
    HooksNobodyCalls: {"hooks are called", "adapting twice is adapting once"},
    OverridesACallback: {"hooks are called"},
    PutsNothingBack: {"evaluating puts everything back", "evaluation changes nothing"},
    AdaptsAnew: {"adapting twice is adapting once"},
    ClaimsToForgetNothing: {"nothing is forgotten"},
    HoldsByZeros: {"what is held stays"},
    HoldsRowsByZeros: {"what is held stays"},
    TellsMoreThanAll: {"capacity is accounted for"},
    TellsOfOthers: {"capacity is accounted for"},
    TellsOfTheLastModelAlone: {"capacity is accounted for"},
    KeepsQuietAboutIt: {"capacity is accounted for"},
    HoldsARowAtLeast: {"an idle dial is fine-tuning"},
    ShrinksAll: {"unused posteriors stay"},
    LeavesTheDraw: {"drawn weights are put back"},
    DrawsFromElsewhere: {"drawn weights are put back"},
    LeavesOldSamplesOut: {"no gradient of zero"},
    DrawsToEvaluate: {"evaluation does not draw"},
    GoesOn: {"models are trained apart"},
    KeepsMomentum: {"models are trained apart"},
    ScalesAll: {"one model alone is itself", "private parts are not merged"},
}


OF_HOOKS = {
    "hooks are called",
    "evaluating puts everything back",
    "adapting twice is adapting once",
    "turning trains nothing",
}
OF_ISOLATION = {
    "an idle dial is fine-tuning",
    "nothing is forgotten",
    "what is held stays",
    "capacity is accounted for",
}
OF_POSTERIORS = {
    "unused posteriors stay",
    "drawn weights are put back",
    "evaluation does not draw",
}
OF_MERGING = {
    "models are trained apart",
    "one model alone is itself",
    "private parts are not merged",
}
ELSEWHERE_ASKED = OF_ISOLATION | OF_POSTERIORS | OF_MERGING
NOT_ASKED = {
    Sound: {"the state dict holds everything", *OF_HOOKS, *ELSEWHERE_ASKED},
    WithStateDict: OF_HOOKS | ELSEWHERE_ASKED,
    SoundHooks: {"the state dict holds everything", "turning trains nothing", *ELSEWHERE_ASKED},
}


SLOW = {
    *("protects the earlier model", "protects behind every optimizer", "rests at the minimum"),
    *("strength 0 is fine-tuning", "a huge strength holds"),
}
"""Asked where they have to find a fault, and of the plain anchor."""

TOLD_APART = {DrawsInEvaluation, LeavesTrainingMode, SinglePrecision, ForgetsItsAnchors, AdaptsAnew}
"""Faults of which every other property is asked, too, and must hold. Those of Avalanche's own
strategies are told apart in test_avalanche_findings.py."""


def planted(plugin, **changes):
    own = {"strength": "strength"} | getattr(plugin, "declares", {}) | changes
    facts = {name: own.pop(name) for name in {*own} & {each.name for each in fields(Facts)}}
    return Candidate(plugin.__name__, Facts("", "", "", **facts), plugin, None, **own)


def verdicts(candidate, wanted=PROPERTIES):
    return {each.name: verdict(each, candidate) for each in wanted}


def named(name):
    (wanted,) = (each for each in PROPERTIES if each.name == name)
    return wanted


LONG = (
    NeverTheSame,
    IdleBehindRMSprop,
    IdleInPlainAvalanche,
    SinglePrecision,
    DrawsInEvaluation,
    LeavesTrainingMode,
    ForgetsMomentum,
    AdaptsAnew,
)


@pytest.mark.parametrize("plugin", at_length(FAULTS, LONG))
def test_a_planted_fault_is_found(plugin):
    others = {p.name for p in PROPERTIES} - SLOW if plugin in TOLD_APART else set()
    wanted = [p for p in PROPERTIES if p.name in FAULTS[plugin] | others]
    found = verdicts(planted(plugin), wanted)
    found = {name: v for name, v in found.items() if v.outcome == "fail"}
    assert found.keys() == FAULTS[plugin], {name: v.detail for name, v in found.items()}
    for v in found.values():  # what the strategy raised has a cause of its own
        assert v.detail
        assert v.meaning
        assert (v.cause == "") is v.detail.startswith("it raised ")


@pytest.mark.parametrize("plugin", at_length(NOT_ASKED, {SoundHooks, WithStateDict}))
def test_nothing_is_found_where_nothing_is_wrong(plugin):
    wanted = [p for p in PROPERTIES if p.name not in SLOW or plugin is not WithStateDict]
    outcomes = {name: v.outcome for name, v in verdicts(planted(plugin), wanted).items()}
    outcomes.pop("works on a GPU")
    not_asked = {name for name, outcome in outcomes.items() if outcome == "not applicable"}
    assert not_asked == NOT_ASKED[plugin]
    assert set(outcomes.values()) <= {"pass", "not applicable"}


def test_every_property_but_the_gpus_was_seen_to_fail():
    seen = set().union(*FAULTS.values(), *FAULTS_IN_EVALUATION.values())
    assert seen == {each.name for each in PROPERTIES} - {"works on a GPU"}


def test_memory_is_held_against_what_is_declared():
    memory = named("memory grows as declared")
    assert verdict(memory, planted(KeepsEveryModel, memory="linear")).outcome == "pass"
    found = verdict(memory, replace(planted(KeepsEveryModel), name="avalanche:Keeps"))
    assert found.outcome == "not applicable"
    assert "linear, from 2 to 4 models +2." in found.detail  # one tensor for each and its name


def test_an_idle_value_is_asked_where_there_is_one_that_settings_take():
    idle = named("an idle dial is fine-tuning")
    (own,) = candidates("gpm", {})
    for value, reason in ((None, "there is no energy that is said"), (-1, "energy cannot be -1")):
        facts = replace(own.facts, dial=replace(ENERGY, idle=value))
        found = verdict(idle, replace(own, facts=facts))
        assert found.outcome == "not applicable"
        assert found.detail.startswith(reason)


def test_settings_are_those_with_which_a_few_steps_show_all():
    for given, expected in (({}, 3), ({"mask_steps": 7}, 7)):
        (own,) = candidates("exssnet", given)
        assert own.arguments["mask_steps"] == expected


def test_what_is_raised_is_told_with_its_place():
    found = verdict(named("works in plain Avalanche"), planted(NeedsTensors))
    assert found.detail.startswith("it raised AttributeError: ")
    assert re.search(r"\((tests/kit/)?test_kit_finds_faults\.py, line \d+\)$", found.detail)


def test_what_a_library_raised_is_told_with_the_line_that_called_it():
    found = verdict(named("protects the earlier model"), planted(CallsTheModelWrongly))
    assert found.detail.startswith("it raised TypeError: ")
    lines = [text.strip() for text in Path(__file__).read_text().splitlines()]
    line = 1 + lines.index("strategy.model(x, t, t)")
    assert found.detail.endswith(f"test_kit_finds_faults.py, line {line})")
    assert (found.outcome, found.cause) == ("fail", "")


def test_so_is_the_line_of_a_helper_of_the_users(tmp_path, monkeypatch):
    helper = "import torch\n\ndef add(x):\n    torch.add(x, 'x')\n"
    (tmp_path / "my_helper_of_kit.py").write_text(helper)
    monkeypatch.syspath_prepend(tmp_path)

    class Helped(L2):
        def estimate(self, strategy, parameters):
            from my_helper_of_kit import add

            add(strategy.mb_x)

    found = verdict(named("protects the earlier model"), planted(Helped))
    assert found.detail.endswith("(my_helper_of_kit.py, line 4)")


def test_what_no_line_of_the_users_called_is_told_with_one_of_palimpsest():
    found = verdict(named("protects the earlier model"), planted(ReturnsAnotherThing))
    assert re.search(r"\(palimpsest/strategies/[\w/]+\.py, line \d+\)$", found.detail), found.detail


PROTECTION = ("protects the earlier model", "protects behind every optimizer")


@pytest.mark.parametrize("name", PROTECTION)
def test_a_weak_method_is_no_broken_one(name):
    found = verdict(named(name), planted(ProtectsLittle, strength=None))
    assert found.outcome == "weak", found.detail
    assert "without" in found.detail
    assert found.cause == ""


@pytest.mark.parametrize("name", PROTECTION)
def test_one_that_harms_the_earlier_model_is_broken(name):
    found = verdict(named(name), planted(HarmsTheEarlier, strength=None))
    assert found.outcome == "fail", found.detail
    assert found.cause


def test_the_class_for_pytest_lets_a_weak_method_pass_with_a_warning(monkeypatch):
    weak = planted(ProtectsLittle, strength=None)
    monkeypatch.setattr("palimpsest.benchmark.kit.testing._candidate", lambda *_: weak)
    with pytest.warns(UserWarning, match="protects the earlier model: weak: "):
        StrategyProperties.test_property(
            type("Mine", (StrategyProperties,), {"target": "mine"})(), named(PROTECTION[0])
        )


def test_the_class_for_pytest_passes_settings_on():
    class Wrong(StrategyProperties):
        target = "ewc"
        settings: ClassVar = {"decay": 2.0}

    with pytest.raises(UserError, match="decay"):
        Wrong().test_property(PROPERTIES[0])


def test_the_class_for_pytest_fails_with_the_cause():
    class Broken(StrategyProperties):
        target = "avalanche:SynapticIntelligence"

    with pytest.raises(AssertionError, match="Cause: Anchors or importances are views"):
        Broken().test_property(named("protects the earlier model"))
