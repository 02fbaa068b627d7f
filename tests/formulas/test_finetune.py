"""Fine-tuning is training with no plugin at all."""

import pytest
from programs import MODELS, same, train

from palimpsest.strategies import Finetune


@pytest.mark.parametrize("model", MODELS)
def test_equals_no_plugin(model):
    with_plugin = train(MODELS[model](), [Finetune()], optimizer="momentum")
    assert same(with_plugin, train(MODELS[model](), optimizer="momentum"))
