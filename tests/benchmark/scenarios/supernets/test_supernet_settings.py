"""Supernets by name, as a suite has them."""

import pytest
from pydantic import BaseModel

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.making import make
from palimpsest.benchmark.search.supernets.settings import (
    ConvolutionalCell,
    MicroCell,
    RecurrentCell,
    SupernetChoice,
)
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.benchmark.suites.validation import validated


class Scenario(BaseModel):
    supernet: SupernetChoice


def chosen(**supernet):
    content = {"supernet": supernet}
    return validated(Scenario, content, SuiteSource("suite.yaml", content), ()).supernet


def test_a_name_and_settings_are_a_supernet():
    assert chosen(name="recurrent_cell", nodes=4, hidden=48) == RecurrentCell(nodes=4, hidden=48)
    assert chosen(name="convolutional_cell").space().size == 64
    assert chosen(name="recurrent_cell", nodes=3, first_activation="tanh").space().size == 32
    assert chosen(name="micro_cell", nodes=1).space().size == 10_000
    again = chosen(name="recurrent_cell", dropout={"input": 0.2})
    assert again.dropout.input == 0.2
    assert again.dropout.weights == 0.5
    assert chosen(**again.model_dump(mode="json")) == again


@pytest.mark.parametrize(
    "supernet, told",
    [
        ({"name": "recurent_cell"}, "unknown name 'recurent_cell'; did you mean 'recurrent_cell'?"),
        ({"nodes": 3}, "supernet.name: this key is missing"),
        ({"name": "convolutional_cell", "nodes": 1}, "greater than or equal to 2, got 1"),
        ({"name": "convolutional_cell", "channels": 2.5}, "channels"),
        ({"name": "convolutional_cell", "hidden": 3}, "unknown key 'hidden'"),
        ({"name": "recurrent_cell", "nodes": "many"}, "expected a whole number, got 'many'"),
        ({"name": "recurrent_cell", "first_activation": "swish"}, "first_activation: .*'swish'"),
        ({"name": "recurrent_cell", "dropout": {"input": 1}}, "dropout.input: .*less than 1"),
        ({"name": "recurrent_cell", "nodes": 64, "hidden": 16384}, "hidden 16384 makes 1,083,"),
        ({"name": "micro_cell", "filters": 16384, "nodes": 32}, "filters 16384 makes"),
        ({"name": "micro_cell", "normalisation": "group"}, "normalisation: .*'group'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(supernet, told):
    with pytest.raises(UserError, match=told):
        chosen(**supernet)


def test_each_supernet_is_for_its_kind_of_data():
    with pytest.raises(UserError, match="recurrent_cell is for text, but the data are images"):
        make(RecurrentCell(), (1, 8, 8), 10)
    for choice in (ConvolutionalCell(), MicroCell()):
        with pytest.raises(UserError, match="is for images, but the data are text"):
            make(choice, None, 10)
