"""The families of scenarios, by name: those that ship, and those of plugins."""

from palimpsest.benchmark.scenarios.families.avalanche_benchmark import AvalancheBenchmark
from palimpsest.benchmark.scenarios.families.model_sequence import ModelSequence
from palimpsest.benchmark.scenarios.families.permuted import Permuted
from palimpsest.benchmark.scenarios.families.rotated import Rotated
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.search.scenario import ArchitectureSearch

FAMILIES: dict[str, type[ScenarioSettings]] = {
    "two_models": TwoModels,
    "model_sequence": ModelSequence,
    "split": Split,
    "permuted": Permuted,
    "rotated": Rotated,
    "architecture_search": ArchitectureSearch,
    "avalanche": AvalancheBenchmark,
}
