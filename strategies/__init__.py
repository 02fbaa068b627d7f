"""Methods against forgetting, as Avalanche plugins.

Each works in any Avalanche program, without the harness::

    from palimpsest.strategies import WPL
    Naive(model=model, optimizer=optimizer, plugins=[WPL(strength=1e6)])

The classes are imported on first use, so that their names and settings can be listed without
importing torch.
"""

from typing import TYPE_CHECKING, Any

from palimpsest.strategies.registry import STRATEGIES

if TYPE_CHECKING:
    from palimpsest.strategies.badam import BAdam
    from palimpsest.strategies.der import DER
    from palimpsest.strategies.ewc import EWC
    from palimpsest.strategies.exssnet import ExSSNet
    from palimpsest.strategies.fggm import FGGM
    from palimpsest.strategies.finetune import Finetune
    from palimpsest.strategies.freeze import Freeze
    from palimpsest.strategies.freeze_important import FreezeImportant
    from palimpsest.strategies.gpm import GPM
    from palimpsest.strategies.independent import Independent
    from palimpsest.strategies.inflora import InfLoRA
    from palimpsest.strategies.joint import Joint
    from palimpsest.strategies.l2 import L2
    from palimpsest.strategies.laplace import Laplace
    from palimpsest.strategies.lwf import LwF
    from palimpsest.strategies.mas import MAS
    from palimpsest.strategies.migu import MIGU
    from palimpsest.strategies.n_step_kl import NStepKL
    from palimpsest.strategies.nsas import NSAS
    from palimpsest.strategies.ogl import OGL
    from palimpsest.strategies.opcm import OPCM
    from palimpsest.strategies.penalty.regularizer import Regularizer
    from palimpsest.strategies.pic import PIC
    from palimpsest.strategies.replay import Replay
    from palimpsest.strategies.running_average import RunningAverage
    from palimpsest.strategies.rwalk import RWalk
    from palimpsest.strategies.si import SI
    from palimpsest.strategies.smile import SMILE
    from palimpsest.strategies.spg import SPG
    from palimpsest.strategies.sril import SRIL
    from palimpsest.strategies.ssnet import SSNet
    from palimpsest.strategies.supsup import SupSup
    from palimpsest.strategies.task_arithmetic import TaskArithmetic
    from palimpsest.strategies.td_vcl import TDVCL
    from palimpsest.strategies.ties import TIES
    from palimpsest.strategies.vcl import VCL
    from palimpsest.strategies.wpl import WPL
    from palimpsest.strategies.wpl_official import WPLOfficial
    from palimpsest.strategies.wpl_schur import WPLSchur

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
        from palimpsest.strategies.penalty.regularizer import Regularizer

        return Regularizer
    for entry in STRATEGIES.values():
        if entry.class_name == name:
            return entry.load()
    raise AttributeError(f"module 'palimpsest.strategies' has no attribute {name!r}")
