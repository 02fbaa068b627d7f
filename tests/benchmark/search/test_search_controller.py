"""The controller against REINFORCE by hand, and where it must find the best."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from one_run import execute

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.search.controller import Controller, Policy
from palimpsest.benchmark.search.samplers import Controlled

OPTIONS = (2, 3, 1, 2)


def controller(options=OPTIONS, hidden=5, seed=0, temperature=5.0, tanh=2.5):
    generator = torch.Generator().manual_seed(seed)
    return Controller(
        options, hidden=hidden, temperature=temperature, tanh=tanh, generator=generator
    )


def log_probabilities(weights, architecture, temperature=5.0, tanh=2.5):
    """The log-probability and the entropy of each decision, gate by gate."""
    hidden = weights["cell.weight_hh"].shape[1]
    h = c = x = weights["cell.weight_hh"].new_zeros(hidden)
    logarithms, entropies = [], []
    for k, option in enumerate(architecture):
        gates = (
            weights["cell.weight_ih"] @ x
            + weights["cell.bias_ih"]
            + weights["cell.weight_hh"] @ h
            + weights["cell.bias_hh"]
        )
        into, forget, value, out = gates.split(hidden)
        c = torch.sigmoid(forget) * c + torch.sigmoid(into) * torch.tanh(value)
        h = torch.sigmoid(out) * torch.tanh(c)
        raw = weights[f"heads.{k}.weight"] @ h + weights[f"heads.{k}.bias"]
        p = (tanh * torch.tanh(raw / temperature)).exp()
        p = p / p.sum()
        logarithms.append(p[option].log())
        entropies.append(-sum(each * each.log() for each in p))
        x = weights["embedding.weight"][sum(OPTIONS[:k]) + option]
    return torch.stack(logarithms), torch.stack(entropies)


def enlarged(made):
    """Weights with which the decisions matter for one another."""
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= 20
    return made


def test_probabilities_are_those_of_an_lstm_by_hand_and_sum_to_one():
    made = enlarged(controller())
    weights = dict(made.named_parameters())
    total = 0.0
    for architecture in itertools.product(*map(range, OPTIONS)):
        _, found, entropy = made(torch.tensor([architecture]), 1)
        expected, entropies = log_probabilities(weights, architecture)
        torch.testing.assert_close(found[0], expected)
        torch.testing.assert_close(entropy[0], entropies)
        total += found.detach().sum().exp().item()
    assert total == pytest.approx(1)
    least = 1 / (1 + 2 * math.exp(5))
    every = torch.tensor([*itertools.product(*map(range, OPTIONS))])
    assert made(every, len(every))[1][:, 1].exp().min() >= least  # |logit| <= 2.5


def test_what_is_drawn_has_these_probabilities():
    made = enlarged(controller())
    drawn, log_p, _ = made(None, 20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(made(drawn, len(drawn))[1], log_p)
    for architecture in itertools.product(*map(range, OPTIONS)):
        share = (drawn == torch.tensor(architecture)).all(dim=1).double().mean()
        p = made(torch.tensor([architecture]), 1)[1].sum().exp()
        p = p.item()
        assert share.item() == pytest.approx(p, abs=4 * math.sqrt(p / 20_000))


def test_options_of_different_decisions_have_embeddings_of_their_own():
    assert controller().embedding.num_embeddings == sum(OPTIONS)
    made = enlarged(controller())
    used = set()
    for architecture in itertools.product(*map(range, OPTIONS)):
        made.zero_grad()
        made(torch.tensor([architecture]), 1)[1].sum().backward()
        rows = made.embedding.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()
        used |= {*rows}
        offsets = (0, 2, 5, 6)
        expected = [offset + option for offset, option in zip(offsets, architecture, strict=True)]
        assert rows == expected[:-1]  # the last one is no input
    assert used == {0, 1, 2, 3, 4, 5}


def test_a_step_is_reinforce_by_hand():
    settings = Controlled(hidden=5, architectures=3, learning_rate=0.01, entropy=0.3, baseline=0.6)
    policy = Policy(OPTIONS, settings, None, seed=4)
    enlarged(policy.controller).double()  # Adam makes steps of rounding errors
    value = {a: sum(a) ** 2 % 7 / 7 for a in itertools.product(*map(range, OPTIONS))}
    weights = {n: p.detach().clone() for n, p in policy.controller.named_parameters()}
    optimizer = torch.optim.Adam(
        [weight.requires_grad_(True) for weight in weights.values()], lr=0.01
    )
    baseline, seen = None, []

    def reward(architecture):
        seen.append(architecture)
        return value[architecture]

    for _ in range(4):
        seen.clear()
        policy.step(reward)
        rewards = [value[a] for a in seen]
        baseline = sum(rewards) / 3 if baseline is None else baseline
        loss = 0.0
        for architecture, own in zip(seen, rewards, strict=True):
            logarithms, entropies = log_probabilities(weights, architecture)
            loss = loss - logarithms.sum() * (own - baseline) / 3 - 0.3 * entropies.sum() / 3
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = 0.6 * baseline + 0.4 * sum(rewards) / 3  # after it was subtracted
        for name, parameter in policy.controller.named_parameters():
            torch.testing.assert_close(parameter, weights[name], atol=1e-9, rtol=0)
    assert len(policy.rewards) == 4


def test_it_finds_the_best_arm_of_a_bandit():
    best = (1, 2, 0, 1)
    settings = Controlled(hidden=20, architectures=5, learning_rate=0.02)
    policy = Policy(OPTIONS, settings, None, seed=0)
    assert policy.probability(best) < 0.2
    for _ in range(300):
        policy.step(lambda a: sum(x == y for x, y in zip(a, best, strict=True)) / 4)
    assert policy.probability(best) > 0.8  # at most (1 / (1 + e^-5))^2 / (1 + 2 e^-5) = 0.974
    assert max(set(drawn := policy.draw(50)), key=drawn.count) == best


def test_a_search_alternates_with_the_controller_and_derives_the_best_of_some(make_runs):
    sampler = {"name": "controller", "steps": 5, "hidden": 4, "derived": 6, "batch": 7}
    (run,) = make_runs(sampler=sampler, warm_start=1)
    record = execute(run, Path("/nowhere"))
    assert record.error is None
    found = record.probes["search"]
    assert len(found["rewards"]) == 2 * 5  # after each epoch, not after the warm-start
    assert all(reward * 7 == pytest.approx(round(reward * 7)) for reward in found["rewards"])
    assert sum(row["probability"] for row in found["ranking"]) == pytest.approx(1)
    derived = found["derived"]
    assert derived in found["ranking"]
    assert derived["validation"] <= sorted(r["validation"] for r in found["ranking"])[3]


def test_a_reward_is_an_accuracy_in_evaluation_mode(make_runs):
    (run,) = make_runs(sampler={"name": "controller", "steps": 1, "batch": 5, "reward": 3.0})
    ready = prepare(run, Path("/nowhere"))
    bank = ready.scenario.model
    modes = []
    bank.supernet(0).register_forward_pre_hook(lambda net, _: modes.append(net.training))
    x, y, _ = ready.scenario.validation[0].dataset.tensors
    policy = ready.strategy.plugins[1].policy
    policy._generator.manual_seed(0)
    bank.train()
    policy.learn(bank)
    assert modes == [False]
    assert bank.training
    generator = torch.Generator().manual_seed(0)
    architecture = tuple(policy.controller(None, 1, generator)[0][0].tolist())
    chosen = torch.randperm(len(y), generator=generator)[:5]
    bank.eval()
    right = (bank.run(x[chosen], architecture).argmax(1) == y[chosen]).double().mean().item()
    assert policy.rewards == [pytest.approx(3 * right)]


def test_its_chance_is_its_own():
    assert derive(0, "controller") not in {derive(0, "scenario", i) for i in range(9)}
