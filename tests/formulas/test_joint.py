"""Joint training: everything happens in the first experience, on the data of all."""

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    MODELS,
    THREE,
    Tape,
    every_program,
    make_bank,
    make_data,
    make_ordinary,
    same,
    train,
)
from torch import nn

from palimpsest.strategies import Joint


class Labels(SupervisedPlugin):
    """Records the task labels of each batch."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def before_forward(self, strategy, *_, **__):
        self.batches.append(set(strategy.mb_task_id.tolist()))


@every_program
@pytest.mark.parametrize("model", MODELS)
def test_later_experiences_train_nothing(program, model):
    states = []

    def keep(_, trained):
        states.append({n: v.clone() for n, v in trained.state_dict().items()})

    train(MODELS[model](), [Joint()], program=program, optimizer="momentum", after_each=keep)
    assert same(*states)


@every_program
def test_batches_mix_the_data_of_all_models(program):
    labels = Labels()
    train(make_bank(THREE), [Joint(), labels], parts=make_data(3), program=program)
    mixed = [batch for batch in labels.batches if len(batch) > 1]
    assert len(mixed) > 0.8 * len(labels.batches) > 0


def test_one_pass_sees_every_sample_of_every_experience_once():
    parts, tape = make_data(2), Tape()
    train(make_ordinary(), [Joint(), tape], parts=parts, program="in_memory")
    seen = torch.cat([x for x, _ in tape.batches[0]])
    given = torch.cat([x for x, _ in parts])
    assert len(seen) == len(given)
    assert torch.equal(seen.unique(dim=0), given.unique(dim=0))


def test_stock_loading_sees_every_sample_too():
    parts, tape = make_data(2), Tape()
    train(make_ordinary(), [Joint(), tape], parts=parts, program="naive", epochs=1)
    seen = torch.cat([x for x, _ in tape.batches[0]])
    assert torch.equal(seen.unique(dim=0), torch.cat([x for x, _ in parts]).unique(dim=0))


@every_program
def test_heads_that_grow_know_all_classes_from_the_start(program):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), IncrementalClassifier(8))
    (x, y), (z, w) = make_data()
    widths = []
    train(
        model,
        [Joint()],
        parts=[(x, y % 2), (z, w % 2 + 2)],
        program=program,
        after_each=lambda _, m: widths.append(m[1].classifier.out_features),
    )
    assert widths == [CLASSES, CLASSES]
