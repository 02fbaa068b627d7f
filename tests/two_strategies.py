"""A plugin of two strategies, one of which uses a module beside it, and a suite of both."""

PLUGIN = '''\
import helper
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import StrategySettings

RATE = 3


class Settings(StrategySettings):
    """Settings."""

    strength: float = 1.0
    """The dial."""


class Base(SupervisedPlugin):
    def __init__(self, strength):
        super().__init__()
        self.strength = scaled(strength)


def scaled(strength):
    """Scale it."""
    return helper.twice(strength) * RATE


class One(Base):
    """The first."""

    facts = Facts("one", "first", "made up", STRENGTH)
    Settings = Settings


class Two(SupervisedPlugin):
    facts = Facts("two", "second", "made up", STRENGTH)
    Settings = Settings

    def __init__(self, strength):
        super().__init__()
        self.strength = strength
'''

HELPER = '''\
"""Helps."""


def twice(x):
    return 2 * x


def unused(x):
    return x
'''

SUITE = """\
suite: mine
seeds: 1
scenarios:
  two_models: {data: digits, steps: 2, width: 4, samples: 100, curve: {every: 0}}
strategies:
  one: {strengths: [1]}
  two: {strengths: [1]}
"""
