"""Experience replay and dark experience replay against plain loops, and what they store."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from avalanche.models import IncrementalClassifier, MTSimpleMLP
from avalanche.models.utils import avalanche_forward
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    SAMPLES,
    THREE,
    Tape,
    assert_close,
    distance,
    every_program,
    in_memory_streams,
    make_bank,
    make_data,
    make_ordinary,
    make_program,
    same,
    train,
    used_and_moved,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.settings.augment import Augment
from palimpsest.benchmark.training.augmentation import Augmentation
from palimpsest.strategies import DER, Replay
from palimpsest.strategies.base.likelihood import loss_of

SEED, SIZE, DRAWN, ALPHA, BETA = 7, 25, 6, 0.3, 0.7
SETTINGS = {"memory": SIZE, "memory_batch": DRAWN, "seed": SEED}

every_method = pytest.mark.parametrize("method", [Replay, DER])


class Slots:
    """The reservoir by its definition, one sample after another."""

    def __init__(self):
        self.generator, self.seen, self.held = np.random.default_rng(SEED), 0, []

    def add(self, sample):
        t, self.seen = self.seen, self.seen + 1
        if t < SIZE:
            self.held.append(sample)
            return
        j = self.generator.integers(0, t, endpoint=True)
        if j < SIZE:
            self.held[j] = sample

    def draw(self):
        chosen = self.generator.choice(len(self.held), min(DRAWN, len(self.held)), replace=False)
        return [self.held[i] for i in chosen]


def replayed_by_hand(model, batches, labels, optimizer):
    """Train a copy by the definition of experience replay, sample by sample."""
    model, memory = copy.deepcopy(model), Slots()
    for i, recorded in enumerate(batches):
        step = OPTIMIZERS[optimizer](model.parameters())
        for x, y in recorded:
            step.zero_grad()
            batch = [(*sample, labels[i]) for sample in zip(x, y, strict=True)]
            both = batch + (memory.draw() if memory.held else [])
            losses = [
                cross_entropy(avalanche_forward(model, x[None], label), y[None])
                for x, y, label in both
            ]
            (sum(losses) / len(both)).backward()
            step.step()
            for sample in batch:
                memory.add(sample)
    return model


def held_by_hand(model, batches, labels, optimizer):
    """Train a copy by equation 6 of dark experience replay, sample by sample."""
    model, memory = copy.deepcopy(model), Slots()

    def of(sample):
        return avalanche_forward(model, sample[0][None], sample[2])[0]

    for i, recorded in enumerate(batches):
        step = OPTIMIZERS[optimizer](model.parameters())
        for x, y in recorded:
            step.zero_grad()
            logits = avalanche_forward(model, x, labels[i])
            loss = cross_entropy(logits, y)
            if memory.held:
                first, second = memory.draw(), memory.draw()
                squares = [((of(sample) - sample[3]) ** 2).mean() for sample in first]
                losses = [cross_entropy(of(sample), sample[1]) for sample in second]
                loss = loss + ALPHA * sum(squares) / len(first) + BETA * sum(losses) / len(second)
            loss.backward()
            step.step()
            for sample in zip(x, y, [labels[i]] * len(x), logits.detach(), strict=True):
                memory.add(sample)
    return model


BY_HAND = {
    "replay": (lambda: Replay(**SETTINGS), replayed_by_hand),
    "der": (lambda: DER(**SETTINGS, alpha=ALPHA, beta=BETA), held_by_hand),
}
CASES = {
    "bank": (make_bank, make_data(2), [0, 1]),
    "three models": (lambda: make_bank(THREE), make_data(3), [0, 1, 2]),
    "one head": (make_ordinary, make_data(2), [0, 0]),
    "visited again": (make_bank, make_data(3), [0, 1, 0]),
}


@pytest.mark.parametrize("method", BY_HAND)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("program", "optimizer"), [("in_memory", "momentum"), ("naive", "adam")])
def test_trains_as_the_definition_says(method, case, program, optimizer):
    (make, parts, labels), (plugin, by_hand) = CASES[case], BY_HAND[method]
    tape, options = Tape(), {"parts": parts, "labels": labels, "program": program}
    trained = train(make(), [tape, plugin()], **options, optimizer=optimizer)
    assert_close(trained, by_hand(make(), tape.batches, labels, optimizer), 1e-4, 1e-5)
    assert distance(trained, train(make(), **options, optimizer=optimizer)) > 1e-3


def unequal_bank():
    """Two models, of four classes and of two."""
    bank = make_bank()
    bank.blocks["b"] = nn.Linear(8, 2)
    return bank


@pytest.mark.parametrize("method", BY_HAND)
def test_each_sample_has_the_loss_over_the_classes_of_its_own_model(method):
    plugin, by_hand = BY_HAND[method]
    (first, y), (second, of_four) = make_data(2)
    tape, parts, torch_state = Tape(), [(first, y), (second, of_four % 2)], torch.get_rng_state()
    bank = unequal_bank()
    trained = train(copy.deepcopy(bank), [tape, plugin()], parts=parts, program="in_memory")
    torch.set_rng_state(torch_state)
    assert_close(trained, by_hand(bank, tape.batches, [0, 1], "sgd"), 1e-4, 1e-5)


def test_the_loss_of_a_mixed_batch_is_the_mean_of_the_models_own():
    bank, criterion = unequal_bank(), nn.CrossEntropyLoss(label_smoothing=0.3)
    program = SimpleNamespace(model=bank, _criterion=criterion)
    (x, y), labels = make_data(1, samples=12)[0], torch.tensor([0] * 4 + [1] * 8)
    y = torch.where(labels == 1, y % 2, y)
    found = loss_of(program, bank(x, labels), y, labels)
    own = [criterion(bank(x[labels == k], k), y[labels == k]) for k in (0, 1)]
    torch.testing.assert_close(found, (4 * own[0] + 8 * own[1]) / 12)
    padded = loss_of(program, bank(x[4:], labels[4:]), y[4:], labels[4:])
    torch.testing.assert_close(padded, own[1])
    alone = loss_of(program, bank(x[4:], 1), y[4:], 1)
    assert torch.equal(alone, own[1])


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, CLASSES)
    )


def test_batch_normalisation_sees_the_batch_and_the_memory_as_one():
    seen = []
    model = normalised()
    model[1].register_forward_pre_hook(lambda m, x: seen.append((m.training, len(x[0]))))
    train(model, [Replay(**SETTINGS)], program="in_memory", epochs=1)
    assert seen == [(True, 10)] + [(True, 10 + DRAWN)] * 7


def test_batch_normalisation_sees_each_memory_batch_by_itself():
    seen = []
    model = normalised()
    model[1].register_forward_pre_hook(lambda m, x: seen.append((m.training, len(x[0]))))
    train(model, [DER(**SETTINGS)], program="in_memory", epochs=1)
    assert seen == [(True, 10)] + [(True, n) for n in (10, DRAWN, DRAWN)] * 7


def normalised_bank():
    torch.manual_seed(0)
    blocks = {n: nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, CLASSES)) for n in "abc"}
    shared = nn.Linear(FEATURES, 8)
    return ModelBank({"s": shared, **blocks}, [("s", n) for n in "abc"], CLASSES)


@every_program
@every_method
@pytest.mark.parametrize("drawn", [1, 3])
def test_a_model_with_a_single_sample_in_the_batch_has_no_statistics_to_take(
    program, method, drawn
):
    parts, tape = make_data(3), Tape()
    plugin = method(memory=30, memory_batch=drawn)
    trained = train(normalised_bank(), [plugin, tape], parts=parts, program=program)
    assert all(value.isfinite().all() for value in trained.state_dict().values())
    if method is Replay:
        lengths = {len(x) for x, _ in tape.batches[2]}
        assert lengths >= ({10, 11} if drawn == 1 else {12, 13})  # some are left out, not all


@every_program
@every_method
def test_earlier_private_parameters_are_trained_along_and_later_ones_are_not(program, method):
    (first, second, third), moved = used_and_moved(method(), program)
    assert moved == [first | second, first | second | third]


@every_method
def test_the_seed_decides_and_nothing_else_draws(method):
    def trained(seed, other):
        torch.manual_seed(other)
        np.random.seed(other)
        return train(make_bank(), [method(memory=20, seed=seed)], program="in_memory")

    assert same(trained(1, 0), trained(1, 5))
    assert not same(trained(1, 0), trained(2, 0))


def test_heads_that_grow_are_held_to_the_logits_that_they_had():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, initial_out_features=2)
    )
    # The first part has class 2 but not 1, which Avalanche's head masks with -1000 until it comes.
    (x, y), (z, w) = make_data()
    parts = [(x, y % 2 * 2), (z, w % 2 * 2 + 1)]
    plugin = DER(memory=80, alpha=1.0, beta=1.0)
    trained = train(model, [plugin], parts=parts, epochs=8)
    rows = plugin.memory.rows
    old = rows["y"] % 2 == 0
    assert rows["logits"].shape == (80, CLASSES)
    known = ~rows["logits"].isnan()
    assert old.any() and (known[old] == torch.tensor([True, False, True, False])).all()
    assert not old.all() and known[~old].all()
    assert rows["logits"][known].abs().max() < 100
    assert all(p.isfinite().all() and p.abs().max() < 20 for p in trained.parameters())


@every_method
def test_works_with_the_multi_head_models_of_avalanche(method):
    model = MTSimpleMLP(input_size=FEATURES, hidden_size=8)
    (x, y), (z, w) = make_data()
    parts = [(x, y % 2), (z, w)]  # heads of two and of four classes
    trained = train(model, [method()], parts=parts, labels=[0, 1])
    assert all(p.isfinite().all() for p in trained.parameters())


def test_any_mean_over_samples_is_replayed_and_logits_need_cross_entropy():
    def squares(outputs, y):
        return ((outputs - nn.functional.one_hot(y, CLASSES)) ** 2).mean()

    def trained(plugin):
        experiences, _ = in_memory_streams(make_data(1), [0])
        model = make_ordinary()
        program = make_program("in_memory", model, OPTIMIZERS["sgd"](model.parameters()), [plugin])
        program._criterion = squares
        program.train(experiences[0], eval_streams=[])

    trained(Replay())
    with pytest.raises(ValueError, match="this training's loss is squares"):
        trained(DER())


# Images that are bytes, and augmentation


def images(seed=0, count=SAMPLES, mean=100.0):
    generator = torch.Generator().manual_seed(seed)
    stored = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    scale = torch.full((1, 1, 1, 1), mean), torch.full((1, 1, 1, 1), 50.0 + seed)
    rows = torch.arange(count).flip(0)
    return Pixels(stored, *scale, rows), torch.arange(count) % CLASSES


def image_bank():
    torch.manual_seed(0)
    heads = {name: nn.Linear(16, CLASSES) for name in "ab"}
    return ModelBank({"flat": nn.Flatten(), **heads}, [("flat", "a"), ("flat", "b")], CLASSES)


def trained_on_images(parts, plugin, *ahead):
    tape = Tape()
    train(image_bank(), [*ahead, plugin, tape], parts=parts, program="in_memory")
    return tape.batches


def positions(drawn, x):
    """Return where each drawn sample is in the data, by its exact numbers."""
    equal = (drawn[:, None] == x[None]).flatten(2).all(dim=2)
    assert equal.any(dim=1).all()
    return equal.int().argmax(dim=1)


@every_method
def test_bytes_stay_bytes_and_are_normalised_as_their_own_data_set_is(method):
    parts = [images(0), images(1, mean=30.0)]
    plugin = method(memory=30)
    batches = trained_on_images(parts, plugin)
    held = plugin.memory.rows
    assert held["x"].dtype == torch.uint8
    assert set(held["label"].tolist()) == {0, 1}
    for label, (x, y) in enumerate(parts):
        own = held["label"] == label
        raw = {n: held[n][own].float() for n in ("x", "mean", "std")}
        place = positions((raw["x"] - raw["mean"]) / raw["std"], x[:])
        assert torch.equal(held["y"][own], y[place])
    if method is Replay:
        both = torch.cat([parts[0][0][:], parts[1][0][:]])
        for x, _ in batches[1]:
            assert len(x) == 20
            positions(x, both)


@every_method
@pytest.mark.parametrize("order", [1, -1])
def test_bytes_beside_numbers_become_numbers(method, order):
    (pixels, y), (other, w) = images(0), images(1)
    parts = [(pixels, y), (other[:], w)][::order]
    plugin = method(memory=30)
    trained_on_images(parts, plugin)
    held = plugin.memory.rows
    assert held["x"].dtype == torch.float32
    assert "mean" not in held
    positions(held["x"], torch.cat([pixels[:], other[:]]))


@every_method
def test_samples_are_stored_plain_and_augmented_anew(method):
    parts = [images(0), images(1, mean=30.0)]
    settings = Augment(crop=1, flip=True, jitter={"brightness": 0.5})
    plugin, tape = method(memory=30), Tape()
    ahead = Augmentation(settings, 3)
    seen = []
    change = ahead.augment_stored

    def watched(x, mean, std, generator):
        seen.append((x, change(x, mean, std, generator)))
        return seen[-1][1]

    ahead.augment_stored = watched
    trained_on_images(parts, plugin, ahead, tape)
    plain = trained_on_images(parts, Replay(memory=0), Augmentation(settings, 3))
    for with_memory, without in zip(tape.batches, plain, strict=True):  # the same numbers for them
        for (x, _), (z, _) in zip(with_memory, without, strict=True):
            assert torch.equal(x, z)
    everything = torch.cat([x[:] for x, _ in parts])
    for before, after in seen:
        positions(before, everything)
        assert not any(map(torch.equal, before, after))
    assert plugin.memory.rows["x"].dtype == torch.uint8
    again = [after for before, after in seen if before.shape == seen[-1][0].shape]
    assert len(again) > 3
