"""The kit's properties as tests, and room for tests of the formula."""

from pathlib import Path

from palimpsest.benchmark.kit.testing import StrategyProperties


class TestMyReg(StrategyProperties):
    """One test for each property that a strategy must have."""

    target = str(Path(__file__).with_name("my_reg.py"))
