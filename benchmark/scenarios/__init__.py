"""What is learned, in which order: one file per family of scenarios.

Each family is a settings class, checked without torch, whose ``build`` creates the scenario.
"""

from benchmark.scenarios.architecture_search import ArchitectureSearch
from benchmark.scenarios.avalanche_benchmark import AvalancheBenchmark
from benchmark.scenarios.model_sequence import ModelSequence
from benchmark.scenarios.permuted import Permuted
from benchmark.scenarios.rotated import Rotated
from benchmark.scenarios.settings import ScenarioSettings
from benchmark.scenarios.split import Split
from benchmark.scenarios.two_models import TwoModels

FAMILIES: dict[str, type[ScenarioSettings]] = {
    "two_models": TwoModels,
    "model_sequence": ModelSequence,
    "split": Split,
    "permuted": Permuted,
    "rotated": Rotated,
    "architecture_search": ArchitectureSearch,
    "avalanche": AvalancheBenchmark,
}
