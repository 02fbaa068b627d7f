"""Strategies work on an accelerator, and in Avalanche without this harness."""

from __future__ import annotations

import warnings

import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.models import IncrementalClassifier
from avalanche.training.supervised import Naive
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import FEATURES, HIDDEN, bank, data
from palimpsest.benchmark.kit.program import (
    BATCH,
    Meter,
    apart,
    distance,
    finite,
    program,
    result_of,
    state,
)
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.runs.avalanche_strategies import make
from palimpsest.benchmark.training.evaluation import LOADER
from palimpsest.strategies.base.hooks import Evaluates

_CLOSE = 1e-2
_EPOCHS = 6


class _Growing(nn.Module):
    """A network whose head grows with the classes, as Avalanche's examples have it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh())
        self.head = IncrementalClassifier(HIDDEN, initial_out_features=2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(x))
        return logits


@must_hold(
    "works in plain Avalanche",
    "It trains a network with a growing head on Avalanche's own data, without the harness.",
    "It expects a model bank, task labels, data in memory, or parameters that never change "
    "their shape.",
)
def _plain_avalanche(candidate: Candidate) -> str:
    ((x, y),) = data(1)
    samples = TensorDataset(x, y)
    samples.targets = y.tolist()  # type: ignore[attr-defined]
    whole = as_classification_dataset(samples)
    benchmark = class_incremental_benchmark({"train": whole, "test": whole}, num_experiences=2)
    value = telling_or_default(candidate)
    plugin = candidate.make_plugin(value)
    itself = plugin is None
    template = candidate.template if itself and candidate.template else Naive
    model, meter = _Growing(), Meter()
    strategy = make(
        template,
        candidate.arguments_at(value) if itself else {},
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        batch_size=BATCH,
        most_epochs=_EPOCHS,
        device="cpu",
        plugins=[*([] if plugin is None else [plugin]), meter],
    )
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[], **LOADER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metrics that are not used
            strategy.eval(benchmark.test_stream, **LOADER)
    if not finite(state(model)):
        raise BrokenError("weights are NaN or infinite")
    if not finite(meter.outputs):
        raise BrokenError("outputs are NaN or infinite in evaluation")
    return "two experiences with new classes each and a head that grows, evaluated in between"


@must_hold(
    "works on a GPU",
    "On a GPU the weights, and what is evaluated, are those on the CPU, up to rounding.",
    "Tensors are made on the CPU, or moved there.",
)
def _accelerator(candidate: Candidate) -> str:
    if not torch.cuda.is_available():
        raise NotApplicableError("there is no GPU here")
    value = telling_or_default(candidate)
    here, there = (
        result_of(program(candidate, bank(), value=value, device=device))
        for device in ("cpu", "cuda")
    )
    gap = distance(here, there)
    if gap > _CLOSE:
        raise BrokenError(f"{apart(here, there)} between CPU and GPU")
    what = "weights and outputs" if candidate.has(Evaluates) else "weights"
    return f"{what} differ by at most {gap:.2g} from those on the CPU"
