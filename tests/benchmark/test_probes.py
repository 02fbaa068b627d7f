"""Probes: what they say against slow references, and that they change nothing."""

import inspect
import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from at_length import at_length
from known_facts import facts_of
from one_run import execute
from torch import nn

from palimpsest.benchmark.probes import PROBES, overlap, refit
from palimpsest.benchmark.probes.refit import Refit
from palimpsest.benchmark.probes.similarity import SAMPLES, block_outputs, centred, linear_cka
from palimpsest.benchmark.runs.preparation import TRAINING, prepare
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.training.evaluation import evaluate

ALL = [name for name in PROBES if name != "unmerged"]
"""Those that look into any strategy; what is unmerged is asked in test_merged_weights.py."""
TWO = {
    "family": "two_models",
    "data": "digits",
    "second_data": "rotated",
    "steps": 25,
    "hidden_layers": [3, 3],
    "shared_layers": 2,
    "width": 12,
    "samples": 300,
    "curve": {"every": 10, "first": 2},
}
POOL = {
    "family": "model_sequence",
    "models": 3,
    "hidden_layers": 3,
    "pool": 2,
    "width": 12,
    "steps": 15,
    "samples": 300,
    "change": "rotated",
}
SPLIT = {"family": "split", "experiences": 2, "samples": 300, "width": 12, "curve": {"every": 9}}
PENALTIES = {"ewc": {"samples": 50}, "si": {}, "wpl": {"samples": 50, "strength": 100}}
STRATEGIES = {
    "spg": {},
    "finetune": {},
    "freeze": {},
    "independent": {},
    "joint": {},
    **PENALTIES,
    "naive": {"strategy": "avalanche:Naive"},
    "lwf": {"strategy": "avalanche:LwF", "arguments": {"alpha": 1.0, "temperature": 2.0}},
    "together": {"strategy": "avalanche:JointTraining"},
}


@pytest.fixture
def make(tmp_path):
    """A function that makes one run."""

    def make_run(strategy="finetune", scenario=TWO, probes=ALL, seed=0):
        suite = {
            "suite": "test",
            "seeds": [seed],
            "scenarios": {"it": scenario},
            "strategies": {strategy: STRATEGIES[strategy]},
            "probes": probes,
        }
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
        (run,) = load_suite(str(tmp_path / "suite.yaml")).runs("cpu", tmp_path)
        return run

    return make_run


@pytest.fixture
def brief(monkeypatch):
    """Refits that are short: how good they are does not matter."""
    monkeypatch.setattr(refit, "STEPS", 20)


@pytest.fixture
def go(make, tmp_path):
    """A function that trains all models of a run and keeps the bank after each."""

    def train(*arguments, **keywords):
        ready = prepare(make(*arguments, **keywords), tmp_path)
        banks = [deepcopy(ready.scenario.model)]
        for experience in ready.scenario.train:
            ready.strategy.train(experience, **TRAINING)
            banks.append(deepcopy(ready.scenario.model))
        rows = {n: p.result(ready.strategy).get("rows") for n, p in ready.probes.items()}
        return ready, banks, rows

    return train


def numbers(record):
    values = asdict(record)
    for name in ("key", "spec", "probes", "started", "seconds", "peak_memory", "cost"):
        del values[name]
    return values


# They change nothing


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("strategy", at_length(STRATEGIES, {*STRATEGIES} - {"wpl", "lwf", "joint"}))
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(TWO, id="two_models"),
        pytest.param(POOL, id="model_sequence", marks=pytest.mark.thorough),
    ],
)
def test_probes_never_change_a_run(make, tmp_path, strategy, scenario):
    plain = execute(make(strategy, scenario, probes=[]), tmp_path)
    probed = execute(make(strategy, scenario), tmp_path)
    assert probed.status == "done", probed.error
    assert numbers(plain) == numbers(probed)
    assert plain.probes == {}
    assert list(probed.probes) == ALL


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("strategy", ["finetune", "wpl", "independent", "lwf"])
def test_weights_are_the_same_to_the_last_bit(go, strategy):
    plain, probed = (go(strategy, POOL, probes=probes)[0] for probes in ([], ALL))
    states = [ready.scenario.model.state_dict() for ready in (plain, probed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_refitting_leaves_the_bank_and_the_strategy_alone(make, tmp_path):
    ready = prepare(make("independent", POOL, probes=["refit"]), tmp_path)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    state = deepcopy(ready.scenario.model.state_dict())
    plugins = list(ready.strategy.plugins)
    accuracies = evaluate(ready.strategy, ready.scenario.test)
    random = torch.random.get_rng_state()
    ready.probes["refit"].result(ready.strategy)
    assert torch.equal(random, torch.random.get_rng_state())
    assert evaluate(ready.strategy, ready.scenario.test) == accuracies
    assert ready.strategy.plugins == plugins
    assert all(torch.equal(v, state[n]) for n, v in ready.scenario.model.state_dict().items())
    assert all(p.requires_grad for p in ready.scenario.model.parameters())


@pytest.mark.usefixtures("brief")
def test_runs_that_take_the_first_model_over_see_the_same(make, tmp_path):
    runs = [make(strategy) for strategy in ("finetune", "wpl", "freeze")]
    alone = [execute(run, tmp_path).probes for run in runs]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert [execute(run, tmp_path, scratch).probes for run in runs] == alone


@pytest.mark.usefixtures("brief")
def test_the_same_run_gives_the_same_numbers(make, tmp_path):
    first, second = (execute(make("ewc", POOL), tmp_path).probes for _ in range(2))
    assert first == second


# They work everywhere

SCENARIOS = {
    "two_models": TWO,
    "nothing shared": TWO | {"shared_layers": 0},
    "model_sequence": POOL,
    "split by task": SPLIT,
    "split by class": SPLIT | {"incremental": "class"},
    "permuted": {"family": "permuted", "experiences": 2, "samples": 300, "width": 12},
    "rotated": {"family": "rotated", "experiences": 2, "samples": 300, "incremental": "task"},
}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("network", at_length(["mlp", "cnn"], {"cnn"}))
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_probed(make, tmp_path, name, network):
    scenario = SCENARIOS[name] | {"network": network, "width": 6}
    record = execute(make("wpl", scenario), tmp_path)
    assert record.status == "done", record.error
    json.dumps(record.probes, allow_nan=False)
    absent = {probe for probe, found in record.probes.items() if "absent" in found}
    if name == "nothing shared":
        assert absent == {"distance", "overlap", "similarity"}
    elif name in {"split by class", "permuted"}:
        assert absent == {"refit"}
        assert "private parts" in record.probes["refit"]["absent"]
    else:
        assert not absent
    assert all(found.get("absent") or found["rows"] for found in record.probes.values())


@pytest.mark.usefixtures("brief")
def test_what_a_strategy_does_not_have_is_absent_with_a_reason(make, tmp_path):
    probes = execute(make("finetune"), tmp_path).probes
    assert "finetune has no importances" in probes["importance"]["absent"]
    assert {row["from_anchor"] for row in probes["distance"]["rows"]} == {None}
    joint = execute(make("joint"), tmp_path).probes
    assert "at once" in joint["distance"]["absent"]
    assert "at once" in joint["similarity"]["absent"]
    assert [row["model"] for row in joint["refit"]["rows"]] == [0]


def test_naming_probes_needs_no_torch():
    program = (
        "import sys, palimpsest.benchmark.probes, palimpsest.benchmark.suites.suite\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_says_what_it_is(name):
    probe = PROBES[name].load()
    assert probe.__name__ == PROBES[name].class_name
    assert len(inspect.getdoc(probe)) > 100


# Distance


def blocks_of(bank, block):
    return {n: p.detach().double().numpy() for n, p in bank.blocks[block].named_parameters()}


@pytest.mark.parametrize("strategy", ["finetune", "wpl", "si", "ewc"])
def test_distance_by_hand(make, tmp_path, strategy):
    ready = prepare(make(strategy, POOL, probes=["distance"]), tmp_path)
    bank = ready.scenario.model
    expected = []
    for i, experience in enumerate(ready.scenario.train):
        before = deepcopy(bank)
        anchors = deepcopy(getattr(ready.plugin, "anchors", {}))
        importances = deepcopy(getattr(ready.plugin, "importances", {}))
        ready.strategy.train(experience, **TRAINING)
        shared = [b for b in bank.paths[i] if any(b in bank.paths[j] for j in range(i))]
        groups = [*([block] for block in shared), shared] if shared else []
        for blocks, label in zip(groups, [*shared, None], strict=False):
            moved = size = far = weighted = 0.0
            for block in blocks:
                old, new = blocks_of(before, block), blocks_of(bank, block)
                for name in old:
                    moved += ((new[name] - old[name]) ** 2).sum()
                    size += (old[name] ** 2).sum()
                    full = f"blocks.{block}.{name}"
                    if full in anchors:
                        gap = (new[name] - anchors[full].numpy()) ** 2
                        far += gap.sum()
                        weighted += (gap * importances[full].numpy()).sum()
            values = [np.sqrt(moved), np.sqrt(moved / size), np.sqrt(far), np.sqrt(weighted)]
            if strategy == "finetune":
                values[2:] = [None, None]
            expected.append((i, label, values))
    rows = ready.probes["distance"].result(ready.strategy)["rows"]
    assert len(rows) == len(expected) > 3
    for row, (model, block, values) in zip(rows, expected, strict=True):
        assert (row["model"], row["block"]) == (model, block)
        found = [row[name] for name in ("moved", "relative", "from_anchor", "weighted")]
        assert found == [v if v is None else pytest.approx(v, rel=1e-5, abs=1e-9) for v in values]


def test_frozen_parameters_do_not_move_and_a_penalty_holds_them_back(go):
    moved = {
        strategy: [row["relative"] for row in go(strategy, probes=["distance"])[2]["distance"]]
        for strategy in ("freeze", "wpl", "finetune")
    }
    assert set(moved["freeze"]) == {0.0}
    pairs = zip(moved["wpl"], moved["finetune"], strict=True)
    assert all(0 < held < free for held, free in pairs)


# Importance


def slow_quantile(values, q):
    """Linear interpolation between the order statistics around (n - 1) q."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * q
    low = int(np.floor(place))
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@pytest.mark.parametrize("strategy", PENALTIES)
def test_importance_by_hand(make, tmp_path, strategy):
    ready = prepare(make(strategy, probes=["importance"]), tmp_path)
    expected = []
    for i, experience in enumerate(ready.scenario.train):
        ready.strategy.train(experience, **TRAINING)
        for block in ready.scenario.model.paths[i]:
            names = [n for n in ready.plugin.importances if n.startswith(f"blocks.{block}.")]
            values = [v for n in names for v in ready.plugin.importances[n].flatten().tolist()]
            expected.append((i, block, values))
    rows = ready.probes["importance"].result(ready.strategy)["rows"]
    assert [(row["model"], row["block"]) for row in rows] == [e[:2] for e in expected]
    for row, (_, _, values) in zip(rows, expected, strict=True):
        assert row["mean"] == pytest.approx(sum(values) / len(values))
        assert row["zero"] == sum(value == 0 for value in values) / len(values)
        for q in (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1):
            assert row[f"q{q:g}"] == pytest.approx(slow_quantile(values, q))
    if strategy != "si":
        assert any(row["zero"] > 0 for row in rows)  # pixels that are always white


def slow_information(ready, model, name):
    """Squared gradients of single samples, in the mean over the network's own labels."""
    x = ready.scenario.train[model].dataset.samples[0]
    bank = ready.scenario.model
    total = 0
    for sample in x[torch.arange(len(x))]:
        logits = bank.eval()(sample[None], torch.tensor([model]))[0]
        for label, p in enumerate(logits.softmax(0).tolist()):
            loss = nn.functional.cross_entropy(logits, torch.tensor(label))
            parameter = dict(bank.named_parameters())[name]
            (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            total = total + p * gradient.double() ** 2
    return total / len(x)


@pytest.mark.parametrize("strategy", ["ewc", "spg"])
def test_importances_are_ranked_beside_the_fisher_information(make, tmp_path, strategy):
    scenario = TWO | {"samples": 60}
    ready = prepare(make(strategy, scenario, probes=["importance"]), tmp_path)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    own = ready.plugin.importances
    rows = [row for row in ready.probes["importance"].rows if row["model"] == 1]
    assert len(rows) == 4
    for row in rows:
        names = [n for n in own if n.startswith(f"blocks.{row['block']}.")]
        wanted = torch.cat([slow_information(ready, 1, n).flatten() for n in names])
        values = torch.cat([own[n].flatten() for n in names]).double()
        slow = pd.Series(values.numpy()).rank().corr(pd.Series(wanted.numpy()).rank())
        # Ties, and what rounding makes of them: what no pixel reaches is 0 or nearly.
        assert row["correlation"] == pytest.approx(slow, abs=0.02)


# Overlap


def test_overlap_by_hand(make, tmp_path):
    scenario = POOL | {"samples": 60}
    ready = prepare(make("finetune", scenario, probes=["overlap"]), tmp_path)
    paths, needed, expected = ready.scenario.model.paths, [], []
    for i, experience in enumerate(ready.scenario.train):
        ready.strategy.train(experience, **TRAINING)
        needed.append({})
        for block in paths[i][:-1]:
            (name,) = [n for n in blocks_of(ready.scenario.model, block) if n.endswith("weight")]
            rows = slow_information(ready, i, f"blocks.{block}.{name}").sum(1).tolist()
            best = sorted(range(len(rows)), key=lambda r, rows=rows: -rows[r])
            needed[i][block] = set(best[: round(0.3 * len(rows))])
        for j in range(i):
            both = [block for block in paths[i][:-1] if block in paths[j]]
            counts = {b: (needed[i][b] & needed[j][b], needed[i][b] | needed[j][b]) for b in both}
            expected += [(i, j, b, len(c) / len(e)) for b, (c, e) in counts.items()]
            if counts:
                sums = [sum(len(each[k]) for each in counts.values()) for k in (0, 1)]
                expected.append((i, j, None, sums[0] / sums[1]))
    rows = [tuple(row.values()) for row in ready.probes["overlap"].result(ready.strategy)["rows"]]
    assert rows == expected
    assert len(rows) > 3


def test_overlap_takes_a_share_of_each_weight_of_a_block(monkeypatch):
    scores = {
        "0.weight": [[90.0, 80, 70, 60, 50, 40, 30, 20, 10, 0]] * 2,
        "1.weight": [[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]],
    }
    scores["1.weight"].append(scores["1.weight"][0][::-1])  # the second model needs other rows
    block = nn.Sequential(nn.Linear(1, 10), nn.Linear(1, 10))
    model = nn.ModuleDict({"blocks": nn.ModuleDict({"shared": block})})
    information = [
        {f"blocks.shared.{name}": torch.tensor(own[i])[:, None] for name, own in scores.items()}
        | {"blocks.shared.1.bias": torch.arange(10.0)}  # which is no weight
        for i in range(2)
    ]
    monkeypatch.setattr(overlap, "information_of", lambda _, __, i, ___: {"shared": information[i]})
    probe = overlap.Overlap(SimpleNamespace(shared=lambda _: ["shared"]))
    for i in range(2):
        experience = SimpleNamespace(current_experience=i)
        probe.after_training_exp(SimpleNamespace(experience=experience, model=model))
    # Of 10 rows 3: all of the first weight's are common, none of the other's.
    assert [row["jaccard"] for row in probe.rows] == [3 / 9, 3 / 9]


# Similarity


def slow_cka(x, y):
    """Kernel-matrix CKA: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), HSIC = tr(KHLH) / (n-1)^2."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(k, m):
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


@pytest.mark.parametrize(("p", "q"), [(5, 7), (60, 8), (60, 90)])
def test_cka_is_the_kernel_matrices_alignment(p, q):
    rng = np.random.default_rng(0)
    common = rng.normal(size=(40, 3))
    x = common @ rng.normal(size=(3, p)) + rng.normal(size=(40, p)) + 5
    y = np.tanh(common @ rng.normal(size=(3, q))) + 0.3 * rng.normal(size=(40, q)) - 2
    found = linear_cka(*(centred(torch.tensor(z)) for z in (x, y)))
    assert found == pytest.approx(slow_cka(x, y), rel=1e-9)
    assert 0.05 < found < 0.95


@pytest.mark.parametrize("p", [6, 70])
def test_cka_ignores_rotation_scale_and_shift(p):
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(50, p, generator=generator).double() for _ in range(2))
    rotation = torch.linalg.qr(torch.randn(p, p, generator=generator).double())[0]
    plain = linear_cka(centred(x), centred(y))
    assert linear_cka(centred(x @ rotation * 1e-3 + 4), centred(y)) == pytest.approx(plain)
    assert linear_cka(centred(y), centred(x)) == pytest.approx(plain)
    assert linear_cka(centred(x), centred(x @ rotation * 70)) == pytest.approx(1)


def test_cka_of_the_same_is_1_and_of_a_constant_undefined():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert linear_cka(centred(x), centred(x)) == pytest.approx(1)
    assert linear_cka(centred(x), torch.zeros(30, 9)) is None


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_similarity_by_hand(go, network):
    scenario = POOL | {"network": network, "width": 6}
    ready, (_, *banks), rows = go("finetune", scenario, probes=["similarity"])
    bank, test = ready.scenario.model, ready.scenario.test
    expected = []
    for i in range(1, 3):
        for j in range(i):
            others = {b for k, path in enumerate(bank.paths) if k != j for b in path}
            x = test[j].dataset.tensors[0]
            assert len(x) < SAMPLES  # all of them, in another order
            for depth, block in enumerate(bank.paths[j]):
                if block in others:
                    outputs = []
                    for one in (banks[j], banks[i]):
                        part = nn.Sequential(*(one.blocks[b] for b in bank.paths[j][: depth + 1]))
                        outputs.append(part(x).detach().flatten(1).double().numpy())
                    expected.append((i, j, block, slow_cka(*outputs)))
    assert len(rows["similarity"]) == len(expected)
    for row, (trained, model, block, cka) in zip(rows["similarity"], expected, strict=True):
        assert (row["trained"], row["model"], row["block"]) == (trained, model, block)
        assert row["cka"] == pytest.approx(cka, abs=2e-4)


def test_what_never_changes_stays_similar(go):
    found = {}
    for strategy in ("freeze", "independent", "finetune"):
        _, _, rows = go(strategy, SPLIT, probes=["similarity"])
        found[strategy] = [row["cka"] for row in rows["similarity"]]
    assert found["freeze"] == pytest.approx([1] * len(found["freeze"]))
    assert found["independent"] == pytest.approx([1] * len(found["independent"]))
    assert min(found["finetune"]) < 0.999


def test_outputs_of_blocks_end_with_the_models_own(go):
    ready, banks, _ = go("finetune", probes=[])
    x = ready.scenario.test[1].dataset.tensors[0]
    outputs = block_outputs(banks[-1], banks[-1].paths[1], x)
    assert torch.equal(outputs["b_head"], banks[-1](x, 1))


# Refit


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("strategy", ["finetune", "wpl", "lwf", "joint"])
def test_before_is_the_accuracy_at_the_end(make, tmp_path, strategy):
    record = execute(make(strategy, POOL), tmp_path)
    rows = record.probes["refit"]["rows"]
    assert [row["model"] for row in rows] == [0, 1]
    assert [row["before"] for row in rows] == record.accuracy_matrix[-1][:-1]


def test_no_independent_network_is_put_together_from_several(make, tmp_path):
    # In the pool no later model has all blocks that an earlier one shares.
    record = execute(make("independent", POOL), tmp_path)
    assert "no other model" in record.probes["refit"]["absent"]


def test_refitting_tells_an_outdated_head_from_a_lost_representation(go):
    scenario = TWO | {"steps": 150, "width": 30, "samples": None}
    ready, _, _ = go("finetune", scenario, probes=[])
    accuracies = {}
    for damage in ("none", "a_head", "shared_1"):
        bank = ready.scenario.model
        state = deepcopy(bank.state_dict())
        with torch.no_grad():
            for name, parameter in bank.named_parameters():
                if name.startswith(f"blocks.{damage}."):
                    # Of the shared block one direction is left: ten classes on a line.
                    parameter.copy_(parameter.mean(0, keepdim=True).expand_as(parameter))
        (row,) = Refit(_subject(ready)).result(ready.strategy)["rows"]
        accuracies[damage] = row
        bank.load_state_dict(state)
    for damage in ("a_head", "shared_1"):
        assert accuracies[damage]["before"] < 0.4
    assert accuracies["a_head"]["after"] > accuracies["none"]["after"] - 0.05 > 0.8
    assert accuracies["shared_1"]["after"] < 0.6


def _subject(ready):
    from palimpsest.benchmark.probes.probe import Subject

    return Subject(ready.scenario, facts_of("finetune"), ready.plugin, unordered=None, seed=0)


@pytest.mark.parametrize("scenario", [TWO, POOL], ids=["two_models", "model_sequence"])
def test_refitting_trains_the_private_parts_alone(make, tmp_path, scenario, monkeypatch):
    networks = []
    fit = Refit._fit

    def spy(self, model, network):
        before = deepcopy(network.state_dict())
        fit(self, model, network)
        networks.append((model, before, network.state_dict()))

    monkeypatch.setattr(Refit, "_fit", spy)
    ready = prepare(make("finetune", scenario, probes=["refit"]), tmp_path)
    ready.probes["refit"].result(ready.strategy)
    paths = ready.scenario.model.paths
    for model, before, after in networks:
        others = {b for i, path in enumerate(paths) if i != model for b in path}
        for name in before:
            shared = name.split(".")[0] in others
            assert torch.equal(before[name], after[name]) == shared, name


def test_independent_refits_to_the_blocks_of_a_network_that_never_saw_the_model(
    make, tmp_path, monkeypatch
):
    fitted = []
    monkeypatch.setattr(Refit, "_fit", lambda self, model, network: fitted.append(network))
    ready = prepare(make("independent", TWO, probes=["refit"]), tmp_path)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    ready.probes["refit"].result(ready.strategy)
    (network,) = fitted
    blocks = ready.scenario.model.blocks  # what the last training left there: B's own network
    own = ready.plugin._trained[0]
    for name, value in network.state_dict().items():
        of_b = blocks[name.split(".")[0]].state_dict()[name.split(".", 1)[1]]
        shared = name.startswith("shared")
        assert torch.equal(value, of_b if shared else own[f"blocks.{name}"]), name
        assert not (shared and torch.equal(of_b, own[f"blocks.{name}"])), name


def test_each_seed_refits_in_its_own_order(make, tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(refit, "STEPS", 1)
    batches = refit.Batches
    monkeypatch.setattr(refit, "Batches", lambda *a: seeds.append(a[3]) or batches(*a))
    for seed in (0, 1):
        execute(make("finetune", POOL, probes=["refit"], seed=seed), tmp_path)
    assert len(set(seeds)) == 2 * 2
