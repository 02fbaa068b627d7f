"""Whole networks as models: what they share, their heads, running statistics, and bad input."""

import copy
import json
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import torch
from at_length import at_length
from avalanche.training.plugins import SupervisedPlugin
from one_run import execute
from torch import nn

from palimpsest import run_suite
from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.anatomy import examine, statistics
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.models.choice import Network
from palimpsest.benchmark.models.making import make
from palimpsest.benchmark.models.model_surgery import new_head
from palimpsest.benchmark.models.networks import NetworkBank, pair, trunk
from palimpsest.benchmark.plugins import load_files, load_packages
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.scenarios.checking import check_training
from palimpsest.benchmark.scenarios.families.model_sequence import ModelSequence
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.runs.cells import group
from palimpsest.strategies.base.catalogue import STRATEGIES

SHAPE = (1, 8, 8)
KINDS = ("shared", "per_model", "frozen")
TINY = {"name": "reduced_resnet18", "arguments": {"width": 2}}
FEW = {"data": "digits", "samples": 60, "batch_size": 16, "steps": 4, "curve": {"every": 0}}

PLUGIN = """
from torch import nn

from palimpsest.benchmark.models.registry import NetworkEntry


class Small(nn.Module):
    def __init__(self, input_shape, n_classes, size=5):
        super().__init__()
        pixels = input_shape[0] * input_shape[1] * input_shape[2]
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(pixels, size), nn.BatchNorm1d(size))
        self.out = nn.Linear(size, n_classes)

    def forward(self, x):
        return self.out(self.body(x).relu())


NETWORKS = [NetworkEntry("small", "Small", __name__, "for tests")]
"""

CHANGED = PLUGIN.replace("self.body(x).relu()", "self.body(x).tanh()")


def network(batch_norm="shared", **arguments):
    return Network(**(TINY | {"batch_norm": batch_norm} | arguments))


@pytest.fixture(autouse=True)
def as_shipped(registries):
    with registries():
        load_packages.cache_clear()
        yield


@pytest.fixture
def root(tmp_path):
    return tmp_path


@pytest.fixture
def seeded():
    torch.manual_seed(0)


def images(count=4, shape=SHAPE):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


def run_of(strategies, settings=None, family="two_models", batch_norm="shared", probes=()):
    scenario = {"family": family, "network": TINY | {"batch_norm": batch_norm}, **FEW}
    scenario |= settings or {}
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": scenario}, "strategies": strategies}
    return load_suite(suite | {"probes": list(probes)}).runs("cpu", "nowhere")


# What is shared


def test_named_children_are_the_same_weights_and_all_else_is_not(seeded):
    bank = pair(network(), SHAPE, [10, 4], ("stage1.0", "stem"))
    shared = set(bank.shared_parameters_of(1))
    names = {
        n for n in bank.parameters_of(0) if n.startswith(("blocks.a.stem", "blocks.a.stage1.0"))
    }
    assert shared == names
    own = [n for n in bank.parameters_of(1) if n not in shared]
    assert len(own) == len(bank.parameters_of(0)) - len(shared)
    a, b = bank.blocks["a"], bank.blocks["b"]
    assert not torch.equal(a.stage2[0].conv1.weight, b.stage2[0].conv1.weight)
    assert bank(images(), 0).shape == (4, 10)
    assert bank(images(), 1).shape == (4, 4)


def test_blocks_are_counted_from_the_input(seeded):
    blocks = examine(make(network(), SHAPE, 3), SHAPE, "it").blocks
    assert blocks[:3] == ("stem", "stage1.0", "stage1.1")
    for count in (0, 2, len(blocks)):
        bank = pair(network(), SHAPE, [3, 3], count)
        prefixes = tuple(f"blocks.a.{name}." for name in blocks[:count])
        own = set(bank.parameters_of(0))
        assert set(bank.shared_parameters_of(1)) == {
            n for n in own if prefixes and n.startswith(prefixes)
        }


def test_everything_but_the_head_by_default(seeded):
    bank = pair(network(), SHAPE, [3, 3], None)
    assert set(bank.parameters_of(0)) - set(bank.shared_parameters_of(1)) == {
        "blocks.a.head.weight",
        "blocks.a.head.bias",
    }


def test_a_training_of_b_moves_only_what_it_uses(root):
    (run,) = run_of({"finetune": {}}, {"shared": ["stem"]})
    ready = prepare(run, root)
    bank = ready.strategy.model
    before = copy.deepcopy(bank.state_dict())
    ready.strategy.train(ready.scenario.train[1])
    moved = {n for n, p in bank.named_parameters() if not torch.equal(p, before[n])}
    assert moved == set(bank.parameters_of(1))


def test_models_of_a_sequence_draw_blocks_from_the_pool(root):
    settings = ModelSequence(network=network(), models=4, pool=2, shared=3, data="digits")
    bank = settings.build(0, root, "cpu").model
    stems = {id(bank.blocks[f"model_{i}"].stem[0].weight) for i in range(4)}
    others = {id(bank.blocks[f"model_{i}"].stage2[0].conv1.weight) for i in range(4)}
    assert len(stems) == 2
    assert len(others) == 4


def test_the_seed_decides_the_weights_and_nothing_else_does(root):
    settings = TwoModels(network=network(), shared=2, data="digits")
    one, same = (settings.build(3, root, "cpu").model.state_dict() for _ in range(2))
    torch.manual_seed(99)
    again = settings.build(3, root, "cpu").model.state_dict()
    other = settings.build(4, root, "cpu").model.state_dict()
    assert all(torch.equal(one[n], same[n]) and torch.equal(one[n], again[n]) for n in one)
    assert not torch.equal(one["blocks.a.stem.0.weight"], other["blocks.a.stem.0.weight"])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("alexnet_like", (3, 32, 32)),
        ("torchvision:resnet18", (3, 32, 32)),
        ("torchvision:squeezenet1_1", (3, 32, 32)),
        ("avalanche:SlimResNet18", (3, 32, 32)),
        ("avalanche:SimpleCNN", (3, 32, 32)),
    ],
)
def test_networks_of_others_have_heads_and_blocks(seeded, name, shape):
    bank = trunk(Network(name=name), shape, [2, 3])
    assert bank(images(2, shape), torch.tensor([0, 1])).shape == (2, 3)
    own = set(bank.parameters_of(1)) - set(bank.shared_parameters_of(1))
    assert {n.rpartition(".")[2] for n in own} <= {"weight", "bias"}
    assert len(own) <= 2


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    ["vit_b_16", "googlenet", "swin_t", "densenet121", "inception_v3", "convnext_tiny", "maxvit_t"],
)
def test_more_networks_of_torchvision(seeded, name):
    size = 128 if name == "inception_v3" else 224
    bank = trunk(Network(name=f"torchvision:{name}"), (3, size, size), [2, 3])
    assert bank(images(1, (3, size, size)), 1).shape == (1, 3)


def test_the_network_of_the_papers_has_its_size(seeded):
    model = make(Network(name="alexnet_like"), (3, 32, 32), 10)
    backbone = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("head"))
    assert backbone == 6_503_872  # of the official code


# Running statistics


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_of_a_after_b(root, kind):
    (run,) = run_of({"finetune": {}}, batch_norm=kind)
    ready = prepare(run, root)
    bank = ready.strategy.model
    ready.strategy.train(ready.scenario.train[0])
    norms = [statistics(bank.blocks[name]) for name in "ab"]
    assert all((one is other) == (kind != "per_model") for one, other in zip(*norms, strict=True))
    assert all(one.weight is other.weight for one, other in zip(*norms, strict=True))
    before = [[norm.running_mean.clone() for norm in model] for model in norms]
    ready.strategy.train(ready.scenario.train[1])
    moved = [
        {not torch.equal(b, norm.running_mean) for b, norm in zip(*both, strict=True)}
        for both in zip(before, norms, strict=True)
    ]
    of_a, of_b = {"shared": (True, True), "per_model": (False, True), "frozen": (False, False)}[
        kind
    ]
    assert moved == [{of_a}, {of_b}]


def test_shared_statistics_are_forgotten_though_no_weight_moves(root):
    """The outputs of a, after b has trained with shared weights that stand still."""
    changed = {}
    for kind in KINDS:
        (run,) = run_of({"finetune": {}}, {"second_data": "rotated"}, batch_norm=kind)
        ready = prepare(run, root)
        bank = ready.strategy.model
        ready.strategy.train(ready.scenario.train[0])
        bank.eval()
        before = bank(images(), 0).detach()
        for parameter in bank.shared_parameters_of(1).values():
            parameter.requires_grad_(False)
        ready.strategy.train(ready.scenario.train[1])
        bank.eval()
        changed[kind] = not torch.equal(bank(images(), 0), before)
    assert changed == {"shared": True, "per_model": False, "frozen": False}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_says_how_many_layers_share_statistics(root, kind):
    (run,) = run_of({"finetune": {}}, {"shared": ["stem", "stage1"]}, batch_norm=kind)
    assert execute(run, root).cost.get("shared_statistics") == (5 if kind == "shared" else None)


@pytest.mark.parametrize("kind", ["shared", "frozen"])
def test_a_report_warns_of_shared_statistics(root, kind):
    runs = run_of({"finetune": {}, "freeze": {}}, batch_norm=kind)
    cells = group([execute(run, root) for run in runs])
    found = [text for text in caveats(cells, [], []) if "statistics" in text]
    assert len(found) == (kind == "shared")
    assert all("20 normalisation layers" in t and "penalty of finetune sees" in t for t in found)


def test_probes_say_that_they_do_not_look_into_whole_networks(root):
    (run,) = run_of({"finetune": {}}, probes=["distance", "refit"])
    probes = execute(run, root).probes
    assert all("whole networks" in probe["absent"] for probe in probes.values())


class OneStill(SupervisedPlugin):
    """Has a layer of both models in evaluation mode, and notes the modes in each step."""

    def before_training_exp(self, strategy, *_, **__):
        next(m for m in strategy.model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
        self.modes = []

    def after_forward(self, strategy, *_, **__):
        self.modes.append([module.training for module in strategy.model.modules()])


@pytest.mark.parametrize("strategy", ["finetune", "avalanche:Naive"])
def test_evaluations_keep_the_modes_of_shared_layers(root, strategy):
    """Each layer's own: a layer of two models is found again as a part of the second."""
    settings = {"arguments": {}} if ":" in strategy else {}
    (run,) = run_of({strategy: settings}, {"curve": {"every": 1}})
    ready, modes = prepare(run, root), OneStill()
    ready.strategy.plugins.append(modes)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
        assert len(modes.modes) == FEW["steps"]
        assert all(step == modes.modes[0] for step in modes.modes)
        assert modes.modes[0].count(False) == 1


@pytest.mark.parametrize("every", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_freeze_keeps_a_as_it_was(root, kind, every):
    (run,) = run_of({"freeze": {}}, {"curve": {"every": every}}, batch_norm=kind)
    record = execute(run, root)
    assert record.status == "done", record.error
    first, last = (row[0] for row in record.accuracy_matrix)
    assert first == last


@pytest.mark.parametrize("kind", ["per_model", "frozen"])
def test_a_batch_of_one_sample_leaves_statistics_alone(seeded, kind):
    bank = pair(network(kind), SHAPE, [3, 3], None).train()
    before = copy.deepcopy(dict(bank.named_buffers()))
    bank(images(1), 1)
    assert all(torch.equal(b, before[n]) for n, b in bank.named_buffers())
    assert all(module.training for module in bank.modules())


def test_a_conversion_keeps_common_buffers_common(seeded):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))
            self.out = nn.Linear(64, 2)

        def forward(self, x):
            self.count += 1
            return self.out(x.flatten(1))

    one = Counts()
    other = Counts()
    other._buffers["count"] = one._buffers["count"]
    bank = NetworkBank({"a": one, "b": other}, 2).double()
    assert one.count is other.count
    bank(images().double(), 0)
    assert float(other.count) == 1


# Every strategy

METHODS = [
    name
    for name, entry in STRATEGIES.items()
    if name != "finetune" and not entry.facts.searches and entry.Settings().needs_edges is None
]  # the others need a supernet


@pytest.mark.parametrize("kind", at_length(["shared", "per_model"], {"per_model"}))
@pytest.mark.parametrize("name", at_length(METHODS, {*METHODS} - {"wpl", "lwf", "replay"}))
def test_every_strategy_trains_whole_networks(root, name, kind):
    """Deterministic; and at strength 0 fine-tuning."""
    dial = STRATEGIES[name].facts.dial
    entry = dict(STRATEGIES[name].facts.brief)
    if dial is not None and dial.name not in entry:
        entry[dial.plural] = [0 if dial.name == "strength" else 1]
    plain, run = run_of({"finetune": {}, name: entry}, {"second_data": "rotated"}, batch_norm=kind)
    found, again = execute(run, root), execute(run, root)
    assert found.status == "done", found.error
    assert found.accuracy_matrix == again.accuracy_matrix
    if dial is not None and dial.name == "strength":
        assert found.accuracy_matrix == execute(plain, root).accuracy_matrix


# Bad input


@pytest.mark.parametrize(
    ("settings", "told"),
    {
        "shape": ({"network": "torchvision:resnet18"}, r"images of shape \(1, 8, 8\).*3 channels"),
        "size": ({"network": "alexnet_like"}, "too small"),
        "child": ({"network": TINY, "shared": ["stag1"]}, "did you mean 'stage1'.*blocks: stem"),
        "head": ({"network": TINY, "shared": ["head"]}, "holds the head"),
        "empty": ({"network": TINY, "shared": ["stem.2"]}, "no weights"),
        "many": ({"network": TINY, "shared": 10}, "only 9 blocks"),
        "torchvision": ({"network": "torchvision:resnet19"}, "did you mean 'resnet1"),
        "avalanche": ({"network": "avalanche:SlimResNet"}, "did you mean 'SlimResNet18'"),
        "tasks": ({"network": "avalanche:MTSimpleMLP"}, "heads for tasks of its own"),
        "argument": ({"network": TINY | {"arguments": {"widht": 1}}}, "did you mean 'width'"),
        "not a number": (
            {"network": TINY | {"arguments": {"width": True}}},
            r"arguments \(width is True; expected a whole number, 1 or more\)",
        ),
        "value": (
            {"network": TINY | {"arguments": {"width": -1}}},
            r"arguments \(width is -1; expected a whole number, 1 or more\)",
        ),
        "word": ({"network": TINY | {"arguments": {"width": "8"}}}, "width is '8'; expected"),
        "rates": (
            {"network": {"name": "alexnet_like", "arguments": {"dropout": 0.2}}},
            r"\(dropout is 0.2; expected two shares below 1",
        ),
        "negative": (
            {"network": {"name": "avalanche:SlimResNet18", "arguments": {"nclasses": 2, "nf": -2}}},
            r"\(nf is -2; expected sizes above 0\)",
        ),
        "weights": (
            {"network": {"name": "torchvision:resnet18", "weights": "NONSENSE"}},
            r"no weights 'NONSENSE'; expected one of: DEFAULT, IMAGENET1K_V1",
        ),
        "module": ({"network": "module:nowhere_at_all.Net"}, "install the package"),
        "name": ({"network": "module:json.nothing"}, "nothing"),
        "no network": ({"network": "module:json.JSONDecoder"}, "derived from torch.nn.Module"),
        "code": (
            {"network": {"name": "module:os.system", "arguments": {"command": "touch harmed"}}},
            "derived from torch.nn.Module",
        ),
        "no head": ({"network": "module:torch.nn.Flatten"}, "no head that can be cut"),
        "statistics": (
            {"network": {"name": "avalanche:SimpleMLP", "arguments": {"input_size": 64},
                         "batch_norm": "frozen"}},
            "no batch normalisation",
        ),
    }.values(),
)  # fmt: skip
def test_what_does_not_fit_is_told_when_it_is_built(root, settings, told):
    with pytest.raises(UserError, match=told):
        TwoModels(data="digits", **settings).build(0, root, "cpu")


def test_a_function_of_a_module_says_that_it_returns_a_network(tmp_path, monkeypatch, root):
    text = "from torch import nn\n\ndef make(n_classes){}:\n    "
    text += "return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Linear(3, n_classes))\n"
    (tmp_path / "with_hint.py").write_text(text.format(" -> nn.Module"))
    (tmp_path / "without_hint.py").write_text(text.format(""))
    monkeypatch.syspath_prepend(tmp_path)
    TwoModels(data="digits", network="module:with_hint.make").build(0, root, "cpu")
    with pytest.raises(UserError, match=r"-> nn\.Module"):
        TwoModels(data="digits", network="module:without_hint.make").build(0, root, "cpu")


def test_one_model_for_all_experiences_has_one_set_of_statistics(root):
    settings = Split(data="digits", incremental="class", network=network("per_model"))
    with pytest.raises(UserError, match="one model for all experiences"):
        settings.build(0, root, "cpu")


class Ends(nn.Module):
    """A network with something after, or around, its last linear layer."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.body, self.out = kind, nn.Linear(64, 4), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(3))
        self.norm = nn.BatchNorm1d(3)
        self.listed = [self.body]

    def forward(self, x):
        if self.kind == "in place":
            x.flatten(1).mul_(0.5)
        x = self.out((self.listed[0] if self.kind == "listed" else self.body)(x.flatten(1)))
        if self.kind == "tuple":
            return (x,)
        if self.kind == "cut":
            return x[:, :2]
        if self.kind == "in training":
            return [x] if self.training else x
        if self.kind == "evaluated" and not self.training:
            return x.softmax(-1)
        if self.kind == "changed":
            return x.relu_()
        if self.kind == "dropped":
            return nn.functional.dropout(x, 0.5, self.training)
        if self.kind == "twice":
            return x + self.out(-self.body.weight[:, :4])[: len(x)]
        return self.norm(x) if self.kind == "norm" else x


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("norm", "'norm' .BatchNorm1d"),
        ("tuple", "expected logits"),
        ("cut", "no head that can be cut"),
        ("evaluated", "layer with weights is 'out', and the network goes on after it"),
        ("changed", "'out', and the network goes on after it"),
        ("dropped", "'out', and in training the network goes on after it"),
        ("twice", "'out', and the network runs it 2 times"),
        ("in training", "in training expected logits"),
        ("listed", "'body' cannot be exchanged"),
        ("in place", "network it changes its images in place"),
    ],
)
def test_a_network_that_cannot_be_cut(monkeypatch, kind, told):
    monkeypatch.setattr("palimpsest.benchmark.models.networks.make", lambda *_: Ends(kind))
    with pytest.raises(UserError, match=told):
        pair(Network(name="it"), SHAPE, [3, 2], ("body",))


class Places(nn.Module):
    """A network whose head answers for each place of an image."""

    def __init__(self, chosen):
        super().__init__()
        self.chosen, self.body, self.out = chosen, nn.Linear(8, 4), nn.Linear(4, 3)

    def forward(self, x):
        places = self.out(self.body(x[:, 0]))
        return {"mean": places.mean(1), "largest": places.amax(1), "first": places[:, 0]}[
            self.chosen
        ]


@pytest.mark.parametrize("chosen", ["mean", "largest", "first"])
def test_a_head_may_answer_for_each_place(monkeypatch, seeded, chosen):
    monkeypatch.setattr("palimpsest.benchmark.models.networks.make", lambda *_: Places(chosen))
    bank = pair(Network(name="it"), SHAPE, [3, 2], ("body",))
    assert bank(images(), 1).shape == (4, 2)


class Tied(nn.Module):
    """A network in which two layers have one weight."""

    def __init__(self, head=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(64, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.out = nn.Linear(3, 3)
        (self.out if head else self.c).weight = self.b.weight

    def forward(self, x):
        return self.out(self.c(self.b(self.a(x.flatten(1)))))


def test_a_weight_in_two_places_stays_one(monkeypatch, seeded):
    monkeypatch.setattr("palimpsest.benchmark.models.networks.make", lambda *_: Tied())
    for shared in (None, ("b", "c"), ("a",)):
        b = pair(Network(name="it"), SHAPE, [3, 2], shared).blocks["b"]
        assert b.b.weight is b.c.weight
    for shared in (("b",), 2):
        with pytest.raises(UserError, match=r"'b\.weight' and 'c\.weight' are one weight"):
            pair(Network(name="it"), SHAPE, [3, 2], shared)
    monkeypatch.setattr("palimpsest.benchmark.models.networks.make", lambda *_: Tied(head=True))
    with pytest.raises(UserError, match=r"'b\.weight' and 'out\.weight' are one weight"):
        trunk(Network(name="it"), SHAPE, [3, 2])


class Cosine(nn.Linear):
    """A linear layer that does something else."""

    def forward(self, x):
        return nn.functional.linear(nn.functional.normalize(x), self.weight)


def hooked(layer):
    layer.register_forward_hook(lambda _, __, logits: 2 * logits)
    return layer


HEADS = {
    "subclass": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Cosine(4, 3)),
    "weight norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    ),
    "hook": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), hooked(nn.Linear(4, 3))),
    "groups": lambda: nn.Sequential(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 3, 6, groups=3), nn.Flatten()),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_another_layer_cannot_stand_for_is_not_replaced(monkeypatch, kind):
    monkeypatch.setattr("palimpsest.benchmark.models.networks.make", lambda *_: HEADS[kind]())
    with pytest.raises(UserError, match=r"no head that can be cut: .*no subclass, and no hooks"):
        pair(Network(name="it"), SHAPE, [3, 2], ("0",))


def test_a_convolution_as_head_keeps_its_padding():
    head = nn.Conv2d(4, 3, 3, stride=2, padding=1, padding_mode="circular", bias=False)
    new = new_head(head, 5)
    assert str(new) == str(head).replace("Conv2d(4, 3", "Conv2d(4, 5")


def test_mistakes_of_a_suite_have_their_line():
    for network_, told in {
        "cmn": "unknown network 'cmn'; did you mean 'cnn'",
        "other:x": "expected one of torchvision:NAME",
        7: "expected the name of a network",
    }.items():
        with pytest.raises(UserError, match=told):
            run_of({"finetune": {}}, {"network": network_})
    for settings, told in (
        ({"width": 3}, "width is no setting of reduced_resnet18"),
        ({"network": "mlp", "shared": 1}, "shared is no setting of mlp"),
        ({"network": {"name": "mlp", "batch_norm": "frozen"}}, "mlp has none"),
        ({"network": {"name": "mlp", "weights": "DEFAULT"}}, "only networks of torchvision"),
        (
            {"network": {"name": "torchvision:resnet18", "arguments": {"weights": "DEFAULT"}}},
            "weights is a setting beside them: {name: torchvision:resnet18, weights: DEFAULT}",
        ),
        ({"shared": "stem"}, r"expected a whole number or a list, got 'stem'; write \['stem'\]"),
        ({"shared": []}, r"expected a whole number or 1 or more entries, got \[\]"),
        ({"shared": [1]}, r"shared\.0: expected text, got 1"),
        ({"shared": 2.5}, r"expected a whole number or a list, got 2\.5$"),
    ):
        with pytest.raises(UserError, match=told):
            run_of({"finetune": {}}, settings)


# Keys, and the user's own


def test_a_name_alone_is_stored_as_such_and_defaults_are_not():
    dump = Split(network={"name": "mlp"}).model_dump(mode="json")
    assert dump["network"] == "mlp"
    long = network("frozen").model_dump(mode="json")
    assert long == TINY | {"batch_norm": "frozen"}
    assert Network.model_validate(json.loads(json.dumps(long))) == network("frozen")


def test_a_plugin_adds_a_network_and_its_code_is_in_the_key(tmp_path, root):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    load_files([path])
    settings = {"network": {"name": "small", "batch_norm": "per_model"}}
    (run,) = run_of({"finetune": {}}, settings)
    assert run.spec.scenario.network_plugin == plugins.digest_of("network", "small") is not None
    assert execute(run, root).status == "done"
    path.write_text(CHANGED)
    load_files([path])
    (later,) = run_of({"finetune": {}}, settings)
    assert later.key != run.key
    (shipped,) = run_of({"finetune": {}})
    assert shipped.spec.scenario.network_plugin is None


def test_an_entry_point_adds_a_network(tmp_path, monkeypatch, root):
    (tmp_path / "their_networks.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("small", "their_networks:NETWORKS.__getitem__", "palimpsest.networks")

    def entry_points(group):
        return [type("Point", (), {
            "name": "small", "module": "their_networks", "value": "their_networks", "dist": None,
            "load": lambda self: __import__("their_networks").NETWORKS[0],
        })()] if group == point.group else []  # fmt: skip

    monkeypatch.setattr("palimpsest.benchmark.plugins.packages.entry_points", entry_points)
    (run,) = run_of({"finetune": {}}, {"network": "small"})
    assert run.spec.scenario.network_plugin is not None
    assert execute(run, root).status == "done"


@pytest.mark.parametrize("name", ["os.getcwd", "sys.exit"])
def test_modules_that_are_part_of_python_are_told_and_not_read(root, name):
    """The origin of frozen and built-in modules is no path."""
    (run,) = run_of({"finetune": {}}, {"network": f"module:{name}"})
    record = execute(run, root)
    assert record.status == "failed"
    assert "derived from torch.nn.Module" in record.error


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("NETWORKS = [3]", "expected a NetworkEntry"),
        ('NETWORKS = [NetworkEntry("mlp", "Small", __name__)]', "already has"),
        ('NETWORKS = [NetworkEntry("x", "Smal", __name__)]', "no class or function 'Smal'"),
    ],
)
def test_what_is_wrong_with_a_plugin_s_network(tmp_path, listed, told):
    path = tmp_path / "wrong.py"
    path.write_text(PLUGIN.partition("NETWORKS =")[0] + listed)
    with pytest.raises(UserError, match=told):
        load_files([path])


class OfType(nn.Module):
    """A network whose weights are of a type that suites cannot name."""

    def __init__(self, input_shape, n_classes, dtype="float64", norm=True):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 3, 3)
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.mid = nn.Linear(3 * 36, 6)
        self.out = nn.Linear(6, n_classes)
        self.to(getattr(torch, dtype))

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.out(self.mid(x.flatten(1)).relu())


def scripted(input_shape, n_classes) -> nn.Module:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, n_classes))
    return torch.jit.script(layers)


MASKS = {"supsup", "ssnet", "exssnet"}  # they train no normalisation
SHORT = {"wpl_schur": {"samples": 10}} | {name: {"mask_steps": 2} for name in MASKS - {"supsup"}}
ONLY_IN_SEARCHES = {"nsas", "wpl_official"}


@pytest.mark.parametrize("name", [n for n in STRATEGIES if n not in ONLY_IN_SEARCHES])
def test_a_network_of_float64_runs_with_every_strategy(name, root):
    """The new heads were float32, and it was refused as one that "does not take images"."""
    own = {"name": f"module:{__name__}.OfType", "arguments": {"norm": name not in MASKS}}
    scenario = {"family": "split", "experiences": 2, **FEW, "network": own}
    settings = SHORT.get(name, {})
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": scenario}}
    (run,) = load_suite(suite | {"strategies": {name: settings}}).runs("cpu", root)
    ready = prepare(run, root)
    types = {p.dtype for p in ready.scenario.model.parameters()}
    assert types == {torch.float64}
    for experience in ready.scenario.train[: 1 if name == "joint" else None]:
        given = ready.scenario.train if name == "joint" else experience
        ready.strategy.train(given, **TRAINING)
    ready.strategy.eval(ready.scenario.test, num_workers=0)
    assert ready.scenario.model.eval()(torch.randn(2, 1, 8, 8), 1).dtype == torch.float64
    assert {p.dtype for p in ready.strategy.model.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            {"dtype": "complex64"},
            "'conv.weight' is of type torch.complex64; expected torch.float32",
        ),
        ({"dtype": "bfloat16"}, "torch.bfloat16; expected .* say precision: bfloat16"),
        ({"dtype": "float16"}, "torch.float16; expected .* say precision: bfloat16"),
        ("scripted", r"it is scripted \(torch.jit\), so that its parts can be neither shared"),
        ({"dtype": "float64"}, "torch.float64; expected torch.float32 with precision: bfloat16"),
    ],
)
def test_a_network_of_a_type_that_cannot_be_trained_is_refused_before_training(
    network, said, tmp_path
):
    own = {"name": f"module:{__name__}.OfType", "arguments": network}
    own = {"name": f"module:{__name__}.{network}"} if network == "scripted" else own
    scenario = {"family": "two_models", **FEW, "network": own}
    if network == {"dtype": "float64"}:
        scenario["precision"] = "bfloat16"
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": scenario}, "strategies": {"joint": {}}}
    with pytest.raises(UserError, match=said) as refused:
        run_suite(suite, store=tmp_path / "runs.db", workers=0)
    assert "scenarios.it: " in str(refused.value)


def test_so_is_a_bank_of_a_scenario_of_one_s_own():
    bank = ModelBank({"a": nn.Linear(2, 2, dtype=torch.complex64)}, [["a"]], 2)
    scenario = SimpleNamespace(model=bank)
    with pytest.raises(UserError, match=r"the model: its parameter 'blocks.a.weight' is of type"):
        check_training(TwoModels(data="digits"), scenario)


def test_a_bank_takes_inputs_of_the_type_of_its_weights():
    bank = ModelBank({"a": nn.Linear(3, 2).double()}, [["a"], ["a"]], 2)
    x = torch.randn(4, 3)
    assert torch.equal(bank(x, 0), bank(x.double(), 0))
    assert torch.equal(bank.forward_each(x, [0, 1])[1], bank(x, 1))
    words = ModelBank({"a": nn.Embedding(3, 2).double()}, [["a"]], 2)
    assert words(torch.tensor([[0, 2]]), 0).dtype == torch.float64
