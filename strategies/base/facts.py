"""What others must know of a strategy: facts of its class, which every run of it carries along.

Reports, the kit and the harness ask these facts, never what a strategy is called, so a strategy
of the user's own is treated like one that ships. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, replace
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

Role = Literal["contender", "baseline", "limit", "alone", "joint"]
"""What a strategy is compared as: a method; or a reference, see ``ROLES``."""

BASELINE: Role = "baseline"
LIMIT: Role = "limit"
ALONE: Role = "alone"
JOINT: Role = "joint"

ROLES: Mapping[Role, str] = {
    "contender": "a method",
    "baseline": "a strategy that protects nothing",
    "limit": "a strategy that moves nothing shared",
    "alone": "a strategy that shares nothing",
    "joint": "a strategy that trains all models at once",
}
"""Every role in words, for messages."""


@dataclass(frozen=True)
class Dial:
    """What a suite sweeps over: the strength of a penalty, a rank, a density, a scale.

    Its range, default and meaning are in the strategy's settings, in the field with its name.

    Attributes:
        name: The setting, such as ``rank``.
        plural: In a suite, the key that lists several values of it: ``ranks: [2, 4, 8]``.
        after_training: Only evaluation depends on it, not training (the scale at which weights are
            merged). Runs that differ only in it are trained once; the strategy's hook ``turn`` sets
            the value to evaluate.
        idle: The value at which the strategy is fine-tuning, bit for bit; ``None``: there is none.
        lowest: Where its scale ends below; ``None``: nowhere that is known.
        highest: Where it ends above.
        whole: Its values are whole numbers.
        budget: It is what a method may spend, of which more is seldom worse: stored samples.
        adjectives: What a small and a large value are called; ``er`` and ``est`` are added.
    """

    name: str
    plural: str
    after_training: bool = False
    idle: float | None = None
    lowest: float | None = None
    highest: float | None = None
    whole: bool = False
    budget: bool = False
    adjectives: tuple[str, str] = ("low", "high")

    def typed(self, value: float) -> float:
        """Return one of its values in the type of its setting."""
        return int(value) if self.whole else value

    @property
    def less(self) -> str:
        """``weaker`` or ``lower``."""
        return f"{self.adjectives[0]}er"

    @property
    def more(self) -> str:
        """``stronger`` or ``higher``."""
        return f"{self.adjectives[1]}er"

    @property
    def least(self) -> str:
        """``weakest`` or ``lowest``."""
        return f"{self.adjectives[0]}est"

    @property
    def most(self) -> str:
        """``strongest`` or ``highest``."""
        return f"{self.adjectives[1]}est"


STRENGTH = Dial("strength", "strengths", idle=0, lowest=0, adjectives=("weak", "strong"))
"""The dial of every penalty."""

MEMORY = Dial("memory", "memories", idle=0, lowest=0, whole=True, budget=True)
"""The dial of methods that store samples: how many."""

RANK = Dial("rank", "ranks", idle=0, lowest=0, whole=True)
"""The dial of methods that project: directions that are kept of each tensor."""

SHARE = Dial("share", "shares", idle=0, lowest=0, highest=1)
"""The dial of methods that hold parameters: how many of them."""

ENERGY = Dial("energy", "energies", idle=0, lowest=0, highest=1)
"""The dial of methods that keep what earlier models fed a layer: the share of it."""

DENSITY = Dial("density", "densities", highest=1)
"""The dial of methods that mask weights: the share that a model uses."""

BETA = Dial("beta", "betas", lowest=0)
"""The dial of variational posteriors: the weight of the divergence from earlier ones."""

SCALE = Dial("scale", "scales", after_training=True, lowest=0)
"""The dial of methods that add task vectors to a start: what these are multiplied by."""


@dataclass(frozen=True)
class Needs:
    """What a strategy needs of a scenario. It is refused where that is not so.

    Most say who needs it, for messages: the strategy, or a setting with its value. ``None``: nobody
    does.

    Attributes:
        edges: Names of the edges of a supernet.
        sgd: Plain stochastic gradient descent.
        classes: Logits of shape (samples, classes), and cross-entropy.
        one_model: The same model for all experiences.
        labels: The task label of each sample.
        single_samples: The gradients of single samples.
        steps: A setting that takes the first steps of each training, and how many; a training needs
            more.
        check: Even a network that ships may be none that the strategy can act on.
    """

    edges: str | None = None
    sgd: str | None = None
    classes: str | None = None
    one_model: str | None = None
    labels: str | None = None
    single_samples: str | None = None
    steps: tuple[str, int] | None = None
    check: bool = False


@dataclass(frozen=True)
class Facts:
    """What others must know of a strategy.

    Settings may change some of them: ``StrategySettings.facts``.

    Attributes:
        name: What a suite calls it.
        summary: One line for listings.
        source: Where it was published.
        version: Of its results, part of the keys of its runs: raised when they change, or a
            default.
        dial: What a suite sweeps over; ``None``: nothing.
        role: What it is compared as.
        color: Of its lines in figures, ``#rrggbb``; ``None``: one by a hash of its name.
        trains: The order in which it trains the models of a scenario.
        memory: How fast, at most, the memory of its state grows with the number of models.
        stores: It keeps samples of earlier models.
        told: It has something of its own for each model, and so must be told which is evaluated.
        merges: It merges the weights of models that it trained apart; each is evaluated with
            running statistics of its own.
        keeps_statistics: No later model changes the running statistics of an earlier one.
        same_with_two: With two models it is the same computation as others that say the same here.
        moves_unused: It moves parameters that the current model does not use, by design.
        online: Its importance is gathered from the batches during training, not from the data when
            the training has ended.
        needs_its_model: It comes back to earlier models by their task labels, and has no meaning in
            an architecture search, where a label stands for another architecture each time.
        searches: It works in architecture searches alone, where all models are architectures of one
            supernet and learn the same data.
        ends_only: It protects nothing while the first model trains, does not change how it is
            evaluated meanwhile, and looks only at the end of that training, so that runs can share
            it.
        forgets_nothing: Every model puts out, to the bit, what it put out when it had learned,
            whatever is trained later.
        holds_for_good: What it holds it never frees: the share that its hook ``free`` tells never
            grows.
        brief: Settings with which a few steps show all that it does; ``palimpsest check`` takes
            them in place of the defaults.
        needs: What scenarios are checked for before a run; no part of its record.
    """

    name: str
    summary: str
    source: str
    dial: Dial | None = None
    version: int = 1
    role: Role = "contender"
    color: str | None = None
    trains: Literal["in turn", "at once"] = "in turn"
    memory: Literal["constant", "linear"] = "constant"
    stores: bool = False
    told: bool = False
    merges: bool = False
    keeps_statistics: bool = False
    same_with_two: str | None = None
    moves_unused: bool = False
    online: bool = False
    needs_its_model: bool = False
    searches: bool = False
    ends_only: bool = False
    forgets_nothing: bool = False
    holds_for_good: bool = False
    brief: Mapping[str, Any] = field(default_factory=dict, hash=False)
    needs: Needs = field(default=Needs(), compare=False)

    @property
    def is_reference(self) -> bool:
        """Whether others are compared with it."""
        return self.role != "contender"

    @property
    def is_bound(self) -> bool:
        """Whether it is an upper bound, which does not compete: shares nothing, or sees all."""
        return self.role in (ALONE, JOINT)

    def needing(self, **needs: Any) -> Facts:
        """Return the same facts with more needs; those of ``Needs``, by name."""
        return replace(self, needs=replace(self.needs, **needs))

    @property
    def data(self) -> dict[str, Any]:
        """All that a run's record has, as JSON."""
        found = asdict(self)
        del found["needs"]
        return found

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Facts:
        """Return the facts that ``data`` returned.

        Raises:
            ValueError: They have another shape.
        """
        return _reader().validate_python(data)


@cache
def _reader() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)
