"""Makes the network that a suite names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_type_hints

from torch import nn

from palimpsest.benchmark.errors import UserError, nearest, quoted
from palimpsest.benchmark.models.choice import Network
from palimpsest.benchmark.models.registry import AVALANCHE, MODULE, NETWORKS, PREFIXES, TORCHVISION

Shape = tuple[int, int, int]

_N_CLASSES = ("n_classes", "num_classes", "nclasses")
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Second heads of torchvision's GoogLeNet and Inception, which answer in training only."""


def make(choice: Network, input_shape: Shape, n_classes: int) -> nn.Module:
    """Make a network, initialised from torch's global generator.

    Args:
        choice: The network; not one that families build layer by layer.
        input_shape: Channels, height and width of the images.
        n_classes: The number of outputs, for networks with such a parameter.

    Raises:
        UserError: There is no such network, or it cannot be made with these arguments.
    """
    function, given, parameters = _checked(choice)
    arguments = given | choice.arguments
    known = {"input_shape": input_shape, **dict.fromkeys(_N_CLASSES, n_classes)}
    for name, parameter in parameters.items():
        if name in known and name not in arguments and parameter.default is parameter.empty:
            arguments[name] = known[name]
    try:
        network = function(**arguments)
    except OSError as error:
        raise UserError(
            f"network {choice}: its weights cannot be downloaded ({_reason(error)}); run once on "
            "a machine with a network, or put the file where torch looks for it (TORCH_HOME)"
        ) from error
    except Exception as error:
        where = f"weights {choice.weights!r} or arguments" if choice.weights else "arguments"
        raise UserError(
            f"network {choice}: it cannot be made with these {where} ({_why(error, choice)})"
        ) from error
    if not isinstance(network, nn.Module):
        raise UserError(f"network {choice}: expected an nn.Module, got {quoted(network)}")
    if choice.name.startswith(TORCHVISION):
        for name in _AUXILIARY:
            if getattr(network, name, None) is not None:
                setattr(network, name, None)
                network.aux_logits = False  # type: ignore[assignment]
    return network


def check(choice: Network) -> None:
    """Refuse a network that does not exist, or does not take its arguments, without making it.

    Raises:
        UserError: As `make`.
    """
    _checked(choice)


def _checked(
    choice: Network,
) -> tuple[Callable[..., Any], dict[str, Any], dict[str, inspect.Parameter]]:
    """Return the function for a network, the arguments of its kind, and the parameters."""
    function, given = _found(choice)
    parameters = dict(inspect.signature(function).parameters)
    flexible = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in choice.arguments:
        if not flexible and name not in parameters:
            hint = nearest(name, parameters) if parameters else "it takes none"
            raise UserError(f"network {choice}: unknown argument {name!r}; {hint}")
    return function, given, parameters


def _why(error: Exception, choice: Network) -> str:
    """Return why a network cannot be made, with the arguments that cause it where known."""
    below = {n: v for n, v in choice.arguments.items() if isinstance(v, int | float) and v < 0}
    if "negative dimension" in str(error) and below:
        listed = ", ".join(f"{name} is {value}" for name, value in below.items())
        return f"{listed}; expected sizes above 0"
    if choice.is_registered and isinstance(error, ValueError):
        return " ".join(str(error).split())  # a sentence of the network's own
    return _reason(error)


def _found(choice: Network) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function or class for a network, and the arguments of its kind."""
    prefix = next((known for known in PREFIXES if choice.name.startswith(known)), "")
    name = choice.name.removeprefix(prefix)
    if prefix == TORCHVISION:
        found = _of_torchvision(name)
        _check_weights(name, choice.weights)
        return found, {"weights": choice.weights}
    if prefix == AVALANCHE:
        return _of_avalanche(name), {}
    if prefix == MODULE:
        return _of_module(name), {}
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}; {nearest(name, ['mlp', 'cnn', *NETWORKS])}")
    return NETWORKS[name].load(), {}


def _of_torchvision(name: str) -> Callable[..., Any]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UserError(
            f"torchvision has no classification network {name!r}; {nearest(name, known)}"
        )
    found: Callable[..., Any] = models.get_model_builder(name)
    return found


def _check_weights(name: str, weights: str | None) -> None:
    from torchvision import models

    if weights is None:
        return
    kinds = models.get_model_weights(name)
    known = [*kinds.__members__]
    if weights.removeprefix(f"{kinds.__name__}.") not in known:
        raise UserError(
            f"torchvision's network {name!r} has no weights {weights!r}; {nearest(weights, known)}"
        )


def _of_avalanche(name: str) -> Callable[..., Any]:
    from avalanche import models

    known = {
        n: value
        for n, value in vars(models).items()
        if inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module))
    }
    if name not in known:
        raise UserError(f"Avalanche has no network {name!r}; {nearest(name, known)}")
    return known[name]


def _of_module(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise UserError(
            f"network {MODULE}{name}: {error}; install the package, add its folder to PYTHONPATH, "
            "or give the file with --plugin"
        ) from error
    except AttributeError as error:
        raise UserError(f"network {MODULE}{name}: {error}") from error
    except Exception as error:
        raise UserError(
            f"network {MODULE}{name}: importing {module} raises {_reason(error)}"
        ) from error
    if not _makes_networks(found):
        raise UserError(
            f"network {MODULE}{name}: expected a class derived from torch.nn.Module, or a function "
            f"whose annotation says that it returns one (-> nn.Module), got {quoted(found)}"
        )
    called: Callable[..., Any] = found
    return called


def _makes_networks(found: Any) -> bool:
    """Whether it makes networks: a suite must not name any other function."""
    if inspect.isfunction(found):
        try:
            found = get_type_hints(found).get("return")
        except Exception:  # a name that is not known
            return False
    return inspect.isclass(found) and issubclass(found, nn.Module)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
