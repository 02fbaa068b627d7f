"""Fine-tuning is training with no plugin at all."""

import pytest
from programs import MODELS, OPTIMIZERS, same, train

from strategies import Finetune


@pytest.mark.parametrize("program", ["naive", "in_memory"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_equals_no_plugin(program, optimizer, model):
    with_plugin = train(MODELS[model](), [Finetune()], program=program, optimizer=optimizer)
    assert same(with_plugin, train(MODELS[model](), program=program, optimizer=optimizer))
