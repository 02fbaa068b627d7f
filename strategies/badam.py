"""Bayesian adaptive moment regularization."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.hooks import Configured, Hooked
from palimpsest.strategies.base.likelihood import trained_outputs
from palimpsest.strategies.base.settings import Count, NonNegative, Positive, Seed, StrategySettings
from palimpsest.strategies.base.sparse import dense_gradients
from palimpsest.strategies.posteriors.gaussian import require_variances, unsound

_SMALL = 1e-10


class BAdamSettings(StrategySettings):
    """Settings of Bayesian adaptive moment regularization."""

    eta: NonNegative = Field(
        0.3,
        description="Step of a mean per unit of variance: it moves by about eta * sigma^2, so that "
        "what has become certain stays. 0 trains nothing. There is no other learning rate.",
    )
    sigma: Positive = Field(
        0.06,
        description="Standard deviation that each parameter begins with. The smaller, the less "
        "noise, the shorter the first steps (eta * sigma^2), and the less certainty adds to it.",
    )
    draws: Count = Field(
        10, le=10**4, description="K: weights that are drawn for each batch, with a pass each."
    )
    evidence: Positive = Field(
        1.0,
        description="Weight of a batch's evidence. 1: each sample counts whenever it is trained "
        "on, as in the paper: again in each epoch, and for each model on the same data. 1 / "
        "epochs, say, counts it once.",
    )
    rule: Literal["badam", "bgd"] = Field(
        "badam",
        description="How means move. 'badam': by Adam's normalised moment. 'bgd': by the gradient "
        "(Bayesian gradient descent).",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment.")
    reset: Literal["moments", "never"] = Field(
        "moments",
        description="What begins anew with each training. 'moments': both moments and their count, "
        "as gradients change abruptly. 'never': nothing (the paper). Deviations never do.",
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_moments(self) -> Self:
        for name in ("beta1", "beta2", "reset"):
            if self.rule == "bgd" and self.differs(name):
                raise ValueError(f"{name} has no effect with rule: bgd, which has no moments")
        return self


class BAdam(Hooked, Configured):
    """Learn a standard deviation of each parameter; what is certain moves little (BAdam).

    Each parameter has a mean mu and a standard deviation sigma. For each batch of B samples, K
    times, all are drawn, ``theta = mu + sigma * eps_k`` with eps_k standard normal, and g_k is
    ``evidence * B`` times the gradient of the mean loss there: with 1, that of the sum over
    samples. Then::

        G = mean_k g_k            H = mean_k g_k eps_k
        m <- b1 m + (1 - b1) G    v <- b2 v + (1 - b2) G^2
        mu    <- mu - eta sigma^2 * sqrt(1 - b2^n) / (1 - b1^n) * m / (sqrt(v) + 1e-10)
        sigma <- sigma sqrt(1 + (sigma H / 2)^2) - sigma^2 H / 2

    n counts the steps of the parameter. H estimates sigma times the curvature: where the loss is
    curved sigma shrinks, 1 / sigma^2 growing by about the curvature in each step, and with it the
    steps of mu. What has no gradient stays, mean and deviation, to the bit. With ``rule: bgd`` it
    is Bayesian gradient descent, ``mu <- mu - eta sigma^2 G``.

    Deviations go on from model to model; what is new begins with ``sigma``. Moments begin anew,
    unless ``reset`` is never. Between steps, and so in evaluation, the network has its means. It is
    an optimizer: the scenario's own, with its learning rate and weight decay, is not used. A
    learning-rate schedule or a warm-up scales eta, and clipping shortens G, not H.

    The dial is eta: how far a mean moves per unit of variance, and so how plastic it is at the
    same certainty, which hardly depends on eta. (``sigma`` sets the noise and the speed of
    certainty, too, and too much of it learns nothing.)

    Source: Foster & Brintrup, Towards Robust Continual Learning with Bayesian Adaptive Moment
    Regularization, arXiv 2309.08546, and its program, github.com/jwf40/
    Bayesian-Adaptive-Moment-Estimation-Continual-Learning. In its experiments with labels the
    gradients are multiplied by 3, the length of a batch's tuple, in place of B, and the losses of
    the draws are summed up, so that its values of eta and sigma are for far smaller gradients; one
    of its copies of the rule, which no experiment imports, has moments of sigma^2 G. BGD:
    Zeno, Golan, Hoffer & Soudry, Task Agnostic Continual Learning Using Online Variational Bayes,
    2018.

    Attributes:
        deviations: sigma of each parameter at the end of the latest training, by name.

    Limits:
        A step takes K passes. The scenario's optimizer, with its learning rate, momentum and weight
        decay, has no effect. How fast deviations shrink depends on batch size, number of steps and
        size of the loss, none of which the steps of means depend on, so that ``sigma``, ``eta`` and
        ``evidence`` belong together. H is estimated from K draws; where the gradient is steep its
        noise exceeds it, deviations drift, and those that grow make losses steeper: with one head
        for all classes, where a new class comes as a surprise, trainings with a large ``eta *
        sigma^2`` explode. So little evidence comes in a few dozen steps that deviations hardly
        shrink, and what is kept is kept by short steps. Embeddings and normalisation have
        deviations, too; running statistics are those of drawn weights.
    """

    facts = Facts(
        name="badam",
        summary="a deviation of each weight, which shrinks as it becomes certain, and with it "
        "its steps",
        source="Foster & Brintrup, arXiv 2309.08546, 2023",
        dial=Dial("eta", "etas", lowest=0),
        brief={"eta": 1.0, "draws": 4},
    )
    Settings = BAdamSettings
    settings: BAdamSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.deviations: dict[str, Tensor] = {}
        self._diverged: str | None = None
        self._moments: dict[str, tuple[Tensor, Tensor, int]] = {}
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        self._means: dict[Parameter, Tensor] = {}
        self._noise: dict[Parameter, Tensor] = {}
        self._sums: dict[Parameter, tuple[Tensor, Tensor]] = {}

    def optimizer(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return the update rule, at the initial deviations.

        Raises:
            ValueError: There is nothing to train.
        """
        own = [p for p in parameters if p.requires_grad]
        if not own:
            raise ValueError("BAdam is an optimizer, and no parameter of the network is trained")
        s = self.settings
        betas = None if s.rule == "bgd" else (s.beta1, s.beta2)
        return BayesianUpdates(own, lr=s.eta, sigma=s.sigma, betas=betas)

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Go on with the deviations, and with the moments if asked to.

        Raises:
            DivergedError: A deviation has become none in the training before.
            ValueError: A deviation is none.
        """
        super().before_training_exp(strategy, *arguments, **keywords)
        require_variances(self.deviations.items(), self._diverged)
        for name, parameter in strategy.model.named_parameters():
            state = strategy.optimizer.state.get(parameter)
            if state is not None and name in self.deviations:
                old = self.deviations[name]
                state["sigma"][tuple(map(slice, old.shape))] = old
                if self.settings.reset == "never" and name in self._moments:
                    m, v, state["step"] = self._moments[name]
                    state["m"], state["v"] = (fitted(each, parameter.shape) for each in (m, v))

    @torch.no_grad()
    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Draw the weights of the first pass.

        Raises:
            ValueError: A deviation is negative, which no step makes it.
        """
        own = strategy.optimizer.state
        for parameter, state in own.items():
            if bool((state["sigma"] < 0).any()):
                require_variances([(_name(strategy.model, parameter), state["sigma"])])
        self._means = {parameter: parameter.detach().clone() for parameter in own}
        self._sums = {}
        self._draw(own)

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the other passes; leave the means, their mean gradients, and the products."""
        optimizer = strategy.optimizer
        self._collect()
        for _pass in range(1, self.settings.draws):
            optimizer.zero_grad()
            self._draw(optimizer.state)
            outputs = trained_outputs(strategy, strategy.forward())
            strategy._criterion(outputs, strategy.mb_y).backward()
            self._collect()
        with torch.no_grad():
            for parameter, mean in self._means.items():
                parameter.copy_(mean)
                parameter.grad = None
            for parameter, (gradient, product) in self._sums.items():
                parameter.grad = gradient / self.settings.draws
                optimizer.state[parameter]["product"] = product / self.settings.draws
        for group in optimizer.param_groups:
            group["scale"] = self.settings.evidence * len(strategy.mb_y)
        self._means, self._noise, self._sums = {}, {}, {}

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the deviations and, if asked to, the moments."""
        for name, parameter in strategy.model.named_parameters():
            state = strategy.optimizer.state.get(parameter)
            if state is not None:
                self.deviations[name] = state["sigma"]
                if self.settings.reset == "never" and "m" in state:
                    self._moments[name] = state["m"], state["v"], state["step"]
        self._diverged = unsound(self.deviations.items())

    @contextmanager
    def sampled(self, model: nn.Module, index: int, generator: torch.Generator) -> Iterator[None]:
        """Return a context in which the network has weights drawn from their posteriors."""
        own = [(p.data, self.deviations.get(name)) for name, p in model.named_parameters()]
        known = [(p, sigma) for p, sigma in own if sigma is not None and sigma.shape == p.shape]
        means = [parameter.clone() for parameter, _ in known]
        try:
            for parameter, sigma in known:
                parameter.addcmul_(sigma, _normal(parameter, generator))
            yield
        finally:
            for (parameter, _), mean in zip(known, means, strict=True):
                parameter.copy_(mean)

    @torch.no_grad()
    def _draw(self, states: Any) -> None:
        """Set every parameter to a draw from its posterior."""
        for parameter, mean in self._means.items():
            noise = self._noise[parameter] = _normal(parameter, self._generator)
            torch.addcmul(mean, states[parameter]["sigma"], noise, out=parameter.data)

    @torch.no_grad()
    def _collect(self) -> None:
        """Add up the gradients of a pass, and their products with its noise."""
        own = [parameter for parameter in self._means if parameter.grad is not None]
        for parameter, gradient in zip(own, dense_gradients(own), strict=True):
            product = gradient * self._noise[parameter]
            if parameter in self._sums:
                gradients, products = self._sums[parameter]
                gradients.add_(gradient)
                products.add_(product)
            else:
                self._sums[parameter] = gradient.clone(), product


class BayesianUpdates(torch.optim.Optimizer):
    """The steps of means and deviations, see ``BAdam``.

    The state of a parameter holds ``sigma``; ``m``, ``v`` and ``step`` unless it is Bayesian
    gradient descent; and for the next step ``product``, the mean over draws of the gradient of the
    mean loss times the noise. A group holds ``scale``, by which gradients are multiplied.

    Args:
        parameters: What is trained; their values are the means.
        lr: eta.
        sigma: The deviation that each begins with.
        betas: b1 and b2; ``None``: Bayesian gradient descent.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        lr: float,
        sigma: float,
        betas: tuple[float, float] | None,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "scale": 1.0})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            state = self.state[parameter]
            state["sigma"] = torch.full_like(parameter, sigma, requires_grad=False)
            if betas is not None:
                state |= {"m": torch.zeros_like(state["sigma"]), "step": 0}
                state["v"] = torch.zeros_like(state["m"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move what has a gradient, that of the mean loss, and a product."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, mean: Parameter, group: dict[str, Any]) -> None:
        state, scale = self.state[mean], group["scale"]
        sigma, g, h = state["sigma"], scale * mean.grad, scale * state.pop("product")
        if group["betas"] is not None:
            b1, b2 = group["betas"]
            state["step"] += 1
            state["m"].lerp_(g, 1 - b1)
            state["v"].mul_(b2).addcmul_(g, g, value=1 - b2)
            unbiased = (1 - b2 ** state["step"]) ** 0.5 / (1 - b1 ** state["step"])
            g = unbiased * state["m"] / (state["v"].sqrt() + _SMALL)
        mean.sub_(group["lr"] * sigma.square() * g)
        half = sigma * h / 2
        root = torch.sqrt(1 + half.square())
        # The same where both are exact; the one in place keeps large ones positive.
        sigma.mul_(torch.where(half > 0, 1 / (root + half), root - half))


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers from a generator on the CPU; the same in every precision."""
    return torch.randn(like.shape, generator=generator).to(like)


def _name(model: nn.Module, parameter: Parameter) -> str:
    """Return the name of a parameter."""
    return next(name for name, own in model.named_parameters() if own is parameter)
