# Part of the distribution palimpsest-bench.
"""Methods against forgetting, as Avalanche plugins.

Each works in any Avalanche program, without the harness::

    from strategies import WPL
    Naive(model=model, optimizer=optimizer, plugins=[WPL(strength=1e6)])

The classes are imported on first use, so that their names and settings can be listed without
importing torch.
"""

from typing import TYPE_CHECKING, Any

try:
    from strategies.registry import STRATEGIES
except ImportError as error:
    if not (error.name or "").startswith("strategies"):
        raise
    raise ImportError(
        f"another package's files are mixed with Palimpsest's in {__path__[0]} ({error}); install "
        "palimpsest-bench into a virtual environment of its own",
        name=__name__,
    ) from error

if TYPE_CHECKING:
    from strategies.badam import BAdam
    from strategies.der import DER
    from strategies.ewc import EWC
    from strategies.exssnet import ExSSNet
    from strategies.fggm import FGGM
    from strategies.finetune import Finetune
    from strategies.freeze import Freeze
    from strategies.freeze_important import FreezeImportant
    from strategies.gpm import GPM
    from strategies.independent import Independent
    from strategies.inflora import InfLoRA
    from strategies.joint import Joint
    from strategies.l2 import L2
    from strategies.laplace import Laplace
    from strategies.lwf import LwF
    from strategies.mas import MAS
    from strategies.migu import MIGU
    from strategies.n_step_kl import NStepKL
    from strategies.nsas import NSAS
    from strategies.ogl import OGL
    from strategies.opcm import OPCM
    from strategies.pic import PIC
    from strategies.regularizer import Regularizer
    from strategies.replay import Replay
    from strategies.running_average import RunningAverage
    from strategies.rwalk import RWalk
    from strategies.si import SI
    from strategies.smile import SMILE
    from strategies.spg import SPG
    from strategies.sril import SRIL
    from strategies.ssnet import SSNet
    from strategies.supsup import SupSup
    from strategies.task_arithmetic import TaskArithmetic
    from strategies.td_vcl import TDVCL
    from strategies.ties import TIES
    from strategies.vcl import VCL
    from strategies.wpl import WPL
    from strategies.wpl_official import WPLOfficial
    from strategies.wpl_schur import WPLSchur

__all__ = [
    "DER",
    "EWC",
    "FGGM",
    "GPM",
    "L2",
    "MAS",
    "MIGU",
    "NSAS",
    "OGL",
    "OPCM",
    "PIC",
    "SI",
    "SMILE",
    "SPG",
    "SRIL",
    "TDVCL",
    "TIES",
    "VCL",
    "WPL",
    "BAdam",
    "ExSSNet",
    "Finetune",
    "Freeze",
    "FreezeImportant",
    "Independent",
    "InfLoRA",
    "Joint",
    "Laplace",
    "LwF",
    "NStepKL",
    "RWalk",
    "Regularizer",
    "Replay",
    "RunningAverage",
    "SSNet",
    "SupSup",
    "TaskArithmetic",
    "WPLOfficial",
    "WPLSchur",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "Regularizer":
        from strategies.regularizer import Regularizer

        return Regularizer
    for entry in STRATEGIES.values():
        if entry.class_name == name:
            return entry.load()
    raise AttributeError(f"module 'strategies' has no attribute {name!r}")
