"""The diagonal Fisher information, and the naive way: a backward pass per sample and class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from palimpsest.benchmark.models.reduced_resnet import ReducedResNet18
from palimpsest.benchmark.speed.measure import Case, Stopwatch
from palimpsest.strategies.curvature.fisher import Estimator, diagonal_fisher

_CLASSES = 10
_WIDTH = 32
_LENGTH = 12
_VOCABULARY = 200

Layers = tuple[type[nn.Module], ...]


class _LastStep(nn.Module):
    """The last state of a sequence, from what a recurrent layer returns."""

    def forward(self, output: tuple[Tensor, Tensor]) -> Tensor:
        return output[0][:, -1]


def cases(device: str, samples: int) -> list[Case]:
    """Return an estimate for every kind of layer, by a loop and by ours."""
    made = []
    for workload, (make, layers) in _WORKLOADS.items():
        torch.manual_seed(0)
        model, x = make(samples)
        model, x = model.to(device).eval(), x.to(device)
        y = torch.arange(samples, device=device) % _CLASSES
        parameters = {
            f"{name}.{parameter}": value
            for name, module in model.named_modules()
            if isinstance(module, layers)
            for parameter, value in module.named_parameters(recurse=False)
        }
        for estimator in ("exact", "empirical"):
            for implementation, function in (("loop", loop), ("palimpsest", diagonal_fisher)):

                def run(
                    function: Callable[..., dict[str, Tensor]] = function,
                    arguments: tuple[object, ...] = (model, parameters, x, y),
                    estimator: str = estimator,
                ) -> dict[str, float]:
                    watch = Stopwatch(device)
                    function(*arguments, estimator=estimator)
                    return {"importance": watch.seconds()}

                count = {"importance": samples}
                made.append(Case(workload, estimator, implementation, count, run))  # type: ignore[arg-type]
    return made


def loop(
    model: nn.Module,
    parameters: dict[str, Tensor],
    x: Tensor,
    y: Tensor,
    *,
    estimator: Estimator,
) -> dict[str, Tensor]:
    """Estimate the same with batches of one sample, one backward pass per class."""
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for sample, label in zip(x, y.tolist(), strict=True):
        log_p = model(sample[None])[0].log_softmax(dim=0)
        classes = range(len(log_p)) if estimator == "exact" else [label]
        for c in classes:
            gradients = torch.autograd.grad(
                log_p[c], list(parameters.values()), retain_graph=c != classes[-1]
            )
            weight = log_p[c].detach().exp() if estimator == "exact" else 1.0
            for name, gradient in zip(parameters, gradients, strict=True):
                total[name] += weight * gradient.square()
    return {name: value / len(x) for name, value in total.items()}


def _linear(samples: int) -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, _CLASSES))
    return model, torch.randn(samples, 784)


def _convolution(samples: int) -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, _WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * _WIDTH, _CLASSES),
    )
    return model, torch.randn(samples, 1, 14, 14)


def _normalisation(samples: int) -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, _WIDTH),
        nn.LayerNorm(_WIDTH),
        nn.ReLU(),
        nn.Linear(_WIDTH, _CLASSES),
    )
    return model, torch.randn(samples, 1, 14, 14)


def _embedding(samples: int) -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.Embedding(_VOCABULARY, _WIDTH), nn.Flatten(), nn.Linear(_LENGTH * _WIDTH, _CLASSES)
    )
    return model, torch.randint(_VOCABULARY, (samples, _LENGTH))


def _recurrent(samples: int) -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.LSTM(_WIDTH, _WIDTH, batch_first=True), _LastStep(), nn.Linear(_WIDTH, _CLASSES)
    )
    return model, torch.randn(samples, _LENGTH, _WIDTH)


def _resnet(samples: int) -> tuple[nn.Module, Tensor]:
    return ReducedResNet18((3, 32, 32), _CLASSES, width=8), torch.randn(samples, 3, 32, 32)


_WORKLOADS: dict[str, tuple[Callable[[int], tuple[nn.Module, Tensor]], Layers]] = {
    "fisher_linear": (_linear, (nn.Linear,)),
    "fisher_convolution": (_convolution, (nn.Conv2d,)),
    "fisher_normalisation": (_normalisation, (nn.BatchNorm2d, nn.LayerNorm)),
    "fisher_embedding": (_embedding, (nn.Embedding,)),
    "fisher_recurrent": (_recurrent, (nn.LSTM,)),
    "fisher_resnet": (_resnet, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)),
}
"""For each kind of layer a small model, and a network on images of CIFAR's size: the model, and the
layers whose parameters are estimated."""
