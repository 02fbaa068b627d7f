"""What a strategy that holds parameters reports as free, and what moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import bank, normalised
from palimpsest.benchmark.kit.program import (
    OPTIMIZERS,
    State,
    behind,
    optimizers_of,
    program,
    programs,
)
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies.base.hooks import Capacity
from palimpsest.strategies.masks.update_mask import MaskedUpdates

_MODELS: tuple[Callable[[], nn.Module], ...] = (bank, normalised)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _After:
    """The free shares after a model's training, and the parameters that move.

    Attributes:
        told: The reported free shares, by name.
        used: The parameters that the next model uses.
        moved: How far the next model's training moved each parameter; empty after the last.
        held: How far this model's training moved elements that a mask on updates holds whole.
    """

    told: dict[str, float]
    used: set[str]
    moved: dict[str, float]
    held: dict[str, float]


@dataclass
class _Mask:
    """Watches the elements that a mask on updates holds whole; notes by name how far they move."""

    plugin: MaskedUpdates
    moved: dict[str, float] = field(default_factory=dict)
    _known: list[tuple[str, Parameter, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        holds = self.plugin.holds

        def watched(used: Mapping[str, Parameter]) -> dict[str, Tensor]:
            self.look()
            found = holds(used)
            for name, hold in found.items():
                whole = (hold == 1).expand(used[name].shape)
                if whole.any():
                    self._known.append((name, used[name], whole, used[name].detach().clone()))
            return found

        self.plugin.holds = watched  # type: ignore[method-assign]

    def look(self) -> None:
        """Compare what was held since the last look."""
        for name, parameter, whole, before in self._known:
            gap = (parameter.detach() - before)[whole].abs().max().item()
            self.moved[name] = max(gap, self.moved.get(name, 0.0))
        self._known = []

    def taken(self) -> dict[str, float]:
        """Return what has moved since the last call."""
        self.look()
        found, self.moved = self.moved, {}
        return found


@cache
def _course(candidate: Candidate, make: Callable[[], nn.Module], optimizer: str) -> list[_After]:
    """Train three models with an optimizer that is kept."""
    value = telling_or_default(candidate)
    trained = program(candidate, make(), value=value, optimizer=optimizer, epochs=3)
    plugin: Any = trained.plugin
    mask = _Mask(plugin) if isinstance(plugin, MaskedUpdates) else None
    told: list[dict[str, float]] = []
    states: list[State] = []
    held: list[dict[str, float]] = []

    def look(_: int) -> None:
        held.append(mask.taken() if mask else {})
        told.append(dict(plugin.free(trained.model)))
        states.append({n: p.detach().clone() for n, p in trained.model.named_parameters()})

    trained.run(reset=False, after_each=look)
    found = []
    for i, own in enumerate(told):
        used, moved = set(states[i]), {}
        if isinstance(trained.model, ModelBank) and i + 1 < len(told):
            used = set(trained.model.parameters_of(i + 1))
        if i + 1 < len(told):
            before, after = states[i], states[i + 1]
            moved = {n: (after[n] - before[n]).abs().max().item() for n in before if n in after}
        found.append(_After(own, used, moved, held[i]))
    return found


def _courses(candidate: Candidate) -> Iterator[tuple[str, Callable[[], nn.Module], list[_After]]]:
    """Yield the trainings with every optimizer, on every model, in every program."""
    if not candidate.has(Capacity):
        raise NotApplicableError("it has no method free(model) that tells what it holds")
    for place, own in programs(candidate).items():
        for make in _MODELS:
            for optimizer in optimizers_of(candidate, OPTIMIZERS):
                yield f"{optimizer}{place}", make, _course(own, make, optimizer)


@must_hold(
    "what is held stays",
    "A parameter of which nothing is free, as it tells after a model, does not move at all "
    "while later models train, nor does an element that a mask on updates holds whole, behind "
    "every optimizer, with a state that is kept.",
    "A gradient is set to zero, which momentum, Adam and weight decay do not heed; put back "
    "the parameter after the step (palimpsest.strategies.masks.update_mask does), or remove "
    "its gradient.",
)
def _held_stays(candidate: Candidate) -> str:
    held = 0
    for where, _, course in _courses(candidate):
        for i, after in enumerate(course, 1):
            for name, gap in after.held.items():
                held += 1
                if gap > 0:
                    raise BrokenError(
                        f"{where}: elements of {name} that holds() holds moved by up to {gap:.2g} "
                        f"while model {i} trained"
                    )
            still = [name for name, share in after.told.items() if share == 0]
            held += len(still)
            gaps = {name: after.moved.get(name, 0.0) for name in still}
            worst = max(gaps, key=lambda name: gaps[name], default="")
            if gaps.get(worst, 0.0) > 0:
                raise BrokenError(
                    f"{where}: {worst}, of which nothing is free after model {i}, moved by "
                    f"{gaps[worst]:.2g} while model {i + 1} trained"
                )
    if not held:
        raise NotApplicableError("it holds no parameter whole, and no element of one by a mask")
    return f"none moved, behind {behind(candidate, OPTIMIZERS)}"


@must_hold(
    "capacity is accounted for",
    "The free shares that it tells are between 0 and 1, of parameters of the model; what is "
    "all free moves behind some optimizer; and where it holds for good, no share ever grows.",
    "free(model) tells what the last model held, not what later ones may change, or leaves out "
    "what is held by other means, such as requires_grad.",
)
def _accounted(candidate: Candidate) -> str:
    still: dict[tuple[Callable[[], nn.Module], int, str], bool] = {}
    for where, make, course in _courses(candidate):
        for i, after in enumerate(course, 1):
            _check_shares(f"{where}: after model {i}", after)
            if candidate.facts.holds_for_good and i > 1:
                _check_growth(f"{where}: from model {i - 1} to {i}", course[i - 2], after)
            for name in after.used & after.moved.keys():
                if after.told.get(name, 1.0) == 1:
                    place = (make, i, name)
                    still[place] = still.get(place, True) and after.moved[name] == 0
    for (_, i, name), stays in still.items():
        if stays:
            raise BrokenError(
                f"all of {name} is told to be free after model {i}, and model {i + 1} moves none "
                "of it behind any optimizer"
            )
    ends = [after.told for _, _, course in _courses(candidate) for after in course[-1:]]
    shares = [share for told in ends for share in told.values()] or [1.0]
    return f"shares from {min(shares):.2f} to {max(shares):.2f} at the end, and what is free moves"


def _check_shares(when: str, after: _After) -> None:
    names = after.told.keys() - (after.moved.keys() or after.used)
    if names:
        raise BrokenError(f"{when} it tells of {min(names)}, which is no parameter of the model")
    for name, share in after.told.items():
        if not 0 <= share <= 1:
            raise BrokenError(f"{when} {share:.3g} of {name} is free, expected a share in [0, 1]")


def _check_growth(when: str, before: _After, after: _After) -> None:
    for name in before.told.keys() | after.told.keys():
        one, two = before.told.get(name, 1.0), after.told.get(name, 1.0)
        if two > one + _ROUNDING:
            raise BrokenError(f"{when} the free share of {name} grows from {one:.3g} to {two:.3g}")
