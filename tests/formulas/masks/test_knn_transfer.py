"""Scores that begin as an earlier model's (KKT): what votes, what is taken over, what stays."""

from collections import Counter

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import CLASSES, THREE, make_bank, make_data, same, train
from sklearn.datasets import load_digits
from torch import nn

from palimpsest.strategies import ExSSNet, SSNet, SupSup
from palimpsest.strategies.base.network import Network, evaluation_mode
from palimpsest.strategies.masks.knn_transfer import Look, look, penultimate, voted
from palimpsest.strategies.masks.weight_masks import masked_layers

DIGITS = load_digits()
X, Y = torch.tensor(DIGITS.data[:600]).float() / 8 - 1, torch.tensor(DIGITS.target[:600])
PERMUTED = X[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))]
AGAIN, UNRELATED = [(X, Y), (X, Y)], [(X, Y), (PERMUTED, Y)]
KINDS = {
    "supsup": SupSup,
    "ssnet": lambda **s: SSNet(mask_steps=25, density=0.5, **s),
    "exssnet": lambda **s: ExSSNet(mask_steps=25, density=0.5, **s),
}
every = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


class Begins(SupervisedPlugin):
    """Notes the scores that each model begins with, and its outputs with them."""

    def __init__(self, x, own):
        super().__init__()
        self.x, self.own = x, own
        self.scores, self.outputs, self.earlier = [], [], []

    def before_training_exp(self, strategy, *_, **__):
        index = strategy.experience.current_experience
        layers = masked_layers(strategy.model).items()
        self.scores.append({n: own.scores[str(index)].detach().clone() for n, own in layers})
        self.earlier.append({i: everything(self.own, i) for i in self.own.scores})
        with evaluation_mode(strategy.model), torch.no_grad():
            self.outputs.append(Network(strategy.model)(self.x))


def everything(plugin, i):
    """Copies of all that is kept of a model."""
    kept = (plugin.masks[i], plugin.scores[i], plugin.statistics[i])
    return [{name: own.clone() for name, own in each.items()} for each in kept]


def network(width=100):
    torch.manual_seed(0)
    norm, drop = nn.BatchNorm1d(width), nn.Dropout(0.1)
    layers = [nn.Linear(64, width), nn.ReLU(), drop, nn.Linear(width, width), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def begun(plugin, parts, model=None, **keywords):
    """Train on the parts in turn, and watch what each begins with."""
    watcher = Begins(parts[0][0], plugin)
    given = {"optimizer": lambda p: torch.optim.Adam(p, lr=0.01), "epochs": 5, "batch_size": 60}
    model = train(model or network(), [plugin, watcher], parts=parts, **given | keywords)
    return model, watcher


def outputs(plugin, model, index, x):
    model.eval()
    with plugin.evaluating(model, index), torch.no_grad():
        return model(x)


def test_the_majority_of_the_nearest_is_that_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(70, 3, generator=generator)
    asked = torch.randn(300, 3, generator=generator)  # more than one block
    labels = torch.randint(4, (70,), generator=generator)
    ties = 0
    for row, found in zip(asked, voted(known, labels, asked, 6), strict=True):
        order = (known - row).square().sum(dim=1).argsort()[:6]
        counts = Counter(labels[order].tolist())
        most = [label for label, n in counts.items() if n == max(counts.values())]
        ties += len(most) > 1
        assert found == min(most)
    assert ties > 10
    assert torch.equal(voted(known, labels, known, 1), labels)
    assert len(voted(known, labels, asked, 1000).unique()) == 1


def test_no_sample_votes_on_itself():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 64, generator=generator)
    y = torch.randint(10, (300,), generator=generator)  # nothing to know
    model = network()
    found = look(model, model, x, y, neighbours=1, seed=0)
    assert (found.asked, found.classes) == (102, 10)
    assert found.accuracy < 0.3


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_features_are_what_the_last_layer_is_given(kind):
    torch.manual_seed(0)
    if kind == "mlp":
        x, model = X[:300], network()
    else:
        x = torch.randn(300, 1, 6, 6)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, CLASSES)
        )
    SupSup().adapt(model, 0)
    features = penultimate(model, model, x)
    torch.testing.assert_close(features, model.eval()[:-1](x))


@every
def test_the_same_data_again_begin_as_the_model_that_knows_them(make):
    plugin, seen = make(begin="knn_best", above="own"), []
    note = {"after_each": lambda i, m: i or seen.append(outputs(plugin, m, 0, X))}
    _, watcher = begun(plugin, AGAIN, **note)
    assert plugin.begins_as == [0]
    assert plugin.neighbour_accuracies[0] > 0.95
    assert (seen[0].argmax(dim=1) == Y).float().mean() > 0.9
    assert torch.equal(watcher.outputs[1].argmax(dim=1), seen[0].argmax(dim=1))
    for name, scores in watcher.scores[1].items():
        assert torch.equal(scores, plugin.scores[0][name])


def test_of_models_that_suit_the_best_is_taken_each_by_its_own_mask():
    plugin = SupSup(begin="knn_best")
    _, watcher = begun(plugin, [(PERMUTED, Y), *AGAIN])
    other, same_data = plugin.neighbour_accuracies.values()
    assert 0.1 < other < same_data  # both are above chance
    assert plugin.begins_as == [1]
    for name, scores in watcher.scores[2].items():
        assert torch.equal(scores, plugin.scores[1][name])


@every
def test_data_that_no_model_knows_begin_at_random_and_nothing_else_changes(make):
    plugin, random = make(begin="knn_best", above="own"), make()
    model, _ = begun(plugin, UNRELATED)
    other, _ = begun(random, UNRELATED)
    assert plugin.begins_as == []
    assert plugin.neighbour_accuracies[0] > 0.5  # far above chance, as random features are
    assert same(model, other)  # also running statistics
    for i in range(2):
        assert all(torch.equal(own, random.masks[i][n]) for n, own in plugin.masks[i].items())
    assert random.scores == {}


@every
def test_the_mean_of_all_that_suit_leaves_them_as_they_are(make):
    plugin = make(begin="knn_all")
    _, watcher = begun(plugin, [*UNRELATED, (X, Y)])
    assert plugin.begins_as == [0, 1]  # above chance is nearly every mask
    for name, scores in watcher.scores[2].items():
        mean = (plugin.scores[0][name] + plugin.scores[1][name]) / 2
        torch.testing.assert_close(scores, mean)
    for i in range(2):
        for now, then in zip(everything(plugin, i), watcher.earlier[2][i], strict=True):
            assert now.keys() == then.keys()
            assert all(torch.equal(now[name], then[name]) for name in now)


def test_of_a_bank_layers_that_the_earlier_model_runs_are_taken_over():
    plugin, random = SupSup(begin="knn_all"), SupSup()
    still = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.0), "batch_size": 10, "epochs": 1}
    bank, parts = make_bank(THREE), make_data(3, samples=200)
    _, watcher = begun(plugin, parts, bank, **still)
    _, other = begun(random, parts, bank, **still)
    assert plugin.begins_as == [0, 1]
    for name, scores in watcher.scores[2].items():  # y is in all three, x in models 0 and 2
        sources = {"blocks.y.0": [0, 1], "blocks.x.0": [0], "blocks.a": [0]}
        sources |= {"blocks.z.0": [1], "blocks.b": [1]}
        if name in sources:
            wanted = torch.stack([plugin.scores[i][name] for i in sources[name]]).mean(dim=0)
        else:
            wanted = other.scores[2][name]  # the head that no earlier model has
        torch.testing.assert_close(scores, wanted)


def test_each_model_of_a_bank_looks_by_its_own_path_and_mask(monkeypatch):
    plugin, seen = SupSup(begin="knn_all"), []

    def noted(model, run, x, *others):
        seen.append((x, run(x)))
        return look(model, run, x, *others)

    monkeypatch.setattr("palimpsest.strategies.supsup.look", noted)
    model = train(make_bank(THREE), [plugin], parts=make_data(3), epochs=1)
    assert len(seen) == 1 + 2 + 3
    for i, (x, found) in enumerate(seen[3:5]):  # when the last one began
        with plugin.evaluating(model, i), torch.no_grad():
            assert torch.equal(found, Network(model, i)(x))


def test_what_suits_is_better_than_chance_or_clearly_better_than_the_models_own():
    own = Look(0.6, 100, 4)
    looks = [Look(accuracy, 100, 4) for accuracy in (0.25, 0.26, 0.7, 0.8)]
    assert [each.suits(own, "chance") for each in looks] == [False, True, True, True]
    assert [each.suits(own, "own") for each in looks] == [False, False, False, True]


@pytest.mark.parametrize("setting", [{"neighbours": 5}, {"samples": 10}, {"above": "own"}])
def test_what_has_no_effect_is_refused(setting):
    with pytest.raises(ValueError, match="has no effect with begin: random"):
        SupSup(**setting)
