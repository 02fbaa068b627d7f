"""The smallest honest case of each kind of scenario: visits of many sub-networks, and tokens.

A plugin file: suites name what ``SCENARIOS`` lists.
"""

from dataclasses import replace
from itertools import product
from typing import Literal

import torch
from torch import nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.schedule import Visit, alternating
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.scenarios.streams.parts import Part
from palimpsest.benchmark.settings.values import Count

IGNORED = -100


class Space(ScenarioSettings):
    """Twenty sub-networks of one bank, visited in a random order, each several times."""

    family: Literal["space"] = "space"
    rounds: Count = 2
    steps: Count | None = 3
    width: Count = 8

    def build(self, seed, root, device):
        data = self.load_data(root, device)
        pixels = data.input_shape[0] * data.input_shape[1] * data.input_shape[2]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            first = {f"first_{i}": hidden(pixels, self.width, nn.Flatten()) for i in range(5)}
            second = {f"second_{i}": hidden(self.width, self.width) for i in range(4)}
            head = {"head": nn.Linear(self.width, data.n_classes)}
        paths = [(*pair, "head") for pair in product(first, second)]
        bank = ModelBank({**first, **second, **head}, paths, data.n_classes)
        everyone = tuple(range(len(paths)))
        generator = torch.Generator().manual_seed(derive(seed, "scenario"))
        visits = []
        for _ in range(self.rounds):
            order = torch.randperm(len(paths), generator=generator).tolist()
            visits += [Visit((i,), self.steps, (i,)) for i in order[:-1]]
            visits.append(Visit((order[-1],), self.steps, everyone))
        scenario = self.assemble(bank, [data.part] * len(paths), everyone)
        return replace(scenario, schedule=alternating(visits))


class Paths(ModelBank):
    """The bank of a space, whose architectures are numbers of a first and a second block."""

    def architecture_of(self, label):
        return divmod(label, 4)

    def run(self, x, architecture):
        first, second = architecture
        return self.forward_single_task(x, 4 * first + second)

    def distance(self, a, b):
        return sum(one != other for one, other in zip(a, b, strict=True)) / 2

    def sample_architecture(self, generator):
        return int(generator.integers(5)), int(generator.integers(4))

    def edges(self):
        return frozenset(n for n, _ in self.named_parameters() if "head" not in n)


class Searched(Space):
    """The same as a search: with what strategies ask of a supernet."""

    family: Literal["searched"] = "searched"
    rounds: Count = 1
    width: Count = 4

    @property
    def one_supernet(self):
        return True

    def build(self, seed, root, device):
        built = super().build(seed, root, device)
        bank = Paths(built.model.blocks, built.model.paths, built.model.max_class_label)
        return replace(built, model=bank)


def hidden(size, width, *before):
    return nn.Sequential(*before, nn.Linear(size, width), nn.Tanh())


class Recurrent(nn.Module):
    """A GRU that keeps its hidden state to itself: embedded tokens (N, L, E) to (N, L, H)."""

    def __init__(self, size, width):
        super().__init__()
        self.gru = nn.GRU(size, width, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


def token_loss(outputs, targets):
    """Cross-entropy (N, L, V) and (N, L), the mean over the tokens that are no padding."""
    return nn.functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
    )


def right_tokens(outputs, targets):
    counted = targets != IGNORED
    return outputs.argmax(dim=-1)[counted] == targets[counted]


class Tokens(ScenarioSettings):
    """Two models that predict the next token, of one grammar each; all but the head is shared."""

    family: Literal["tokens"] = "tokens"
    steps: Count | None = 30
    width: Count = 16
    batch_size: Count = 20
    vocabulary: Count = 6
    length: Count = 9

    def build(self, seed, root, device):
        generator = torch.Generator().manual_seed(derive(seed, "scenario"))
        parts = [self.part(generator, device) for _ in range(2)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            shared = {
                "embedding": nn.Embedding(self.vocabulary, self.width),
                "memory": Recurrent(self.width, self.width),
            }
            heads = {name: nn.Linear(self.width, self.vocabulary) for name in "ab"}
        paths = [(*shared, head) for head in heads]
        bank = ModelBank({**shared, **heads}, paths, self.vocabulary)
        scenario = self.assemble(bank, parts, range(2))
        return replace(scenario, loss=token_loss, right=right_tokens)

    def part(self, generator, device):
        """Sequences of one random grammar, padded at the end."""
        follows = torch.randperm(self.vocabulary, generator=generator)
        splits = []
        for count in (100, 20, 40):
            tokens = torch.randint(self.vocabulary, (count, self.length + 1), generator=generator)
            for place in range(1, self.length + 1):
                kept = torch.rand(count, generator=generator) < 0.8
                tokens[kept, place] = follows[tokens[kept, place - 1]]
            targets = tokens[:, 1:].clone()
            lengths = torch.randint(3, self.length + 1, (count, 1), generator=generator)
            targets[torch.arange(self.length) >= lengths] = IGNORED
            splits.append((tokens[:, :-1].to(device), targets.to(device)))
        return Part(*splits)


SCENARIOS = [Searched, Space, Tokens]
