"""The available strategies: name, settings and location of each class.

Reading this list imports no torch; ``load`` does, when something trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any, Literal

from palimpsest.strategies.base.facts import (
    BETA,
    DENSITY,
    ENERGY,
    MEMORY,
    RANK,
    SCALE,
    SHARE,
    STRENGTH,
    Dial,
    Facts,
    Role,
)
from palimpsest.strategies.mask_settings import (
    FGGMSettings,
    FreezeImportantSettings,
    GPMSettings,
    InfLoRASettings,
    MIGUSettings,
    SPGSettings,
    SSNetSettings,
    SupSupSettings,
)
from palimpsest.strategies.merge_settings import (
    OPCMSettings,
    PICSettings,
    RunningAverageSettings,
    SMILESettings,
    TaskArithmeticSettings,
    TIESSettings,
)
from palimpsest.strategies.posterior_settings import (
    BAdamSettings,
    NStepKLSettings,
    TDVCLSettings,
    VCLSettings,
)
from palimpsest.strategies.settings import (
    DERSettings,
    EWCSettings,
    FinetuneSettings,
    FreezeSettings,
    IndependentSettings,
    JointSettings,
    L2Settings,
    LaplaceSettings,
    LwFSettings,
    MASSettings,
    NSASSettings,
    OGLSettings,
    ReplaySettings,
    RWalkSettings,
    SISettings,
    SRILSettings,
    StrategySettings,
    WPLOfficialSettings,
    WPLSchurSettings,
    WPLSettings,
)

Memory = Literal["constant", "linear"]
Order = Literal["in turn", "at once"]


@dataclass(frozen=True)
class StrategyEntry:
    """One strategy that can be named in a suite.

    Attributes:
        name: What a suite calls it.
        class_name: Its class, importable from ``strategies``.
        module: The module that defines the class.
        settings: The model that checks its settings.
        summary: One line for listings.
        source: Where it was published.
        memory: How fast, at most, the memory of its state grows with the number of models.
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
        version: Of its results.
        dial: What a suite sweeps over; by default the setting ``strength``, if there is one.
        trains: The order in which it trains the models of a scenario.
    """

    name: str
    class_name: str
    module: str
    settings: type[StrategySettings]
    summary: str
    source: str
    memory: Memory = "constant"
    moves_unused: bool = False
    online: bool = False
    searches: bool = False
    needs_its_model: bool = False
    ends_only: bool = False
    forgets_nothing: bool = False
    holds_for_good: bool = False
    brief: Mapping[str, Any] = field(default_factory=dict, hash=False)
    version: int = 1
    dial: Dial | None = None
    trains: Order = "in turn"
    role: Role = "contender"
    color: str | None = None
    stores: bool = False
    told: bool = False
    merges: bool = False
    keeps_statistics: bool = False
    same_with_two: str | None = None

    def __post_init__(self) -> None:
        if self.dial is None and STRENGTH.name in getattr(self.settings, "model_fields", ()):
            object.__setattr__(self, "dial", STRENGTH)

    def dial_value(self, value: float) -> float:
        """Return a value of the dial in the type of its setting: whole numbers are stored as 2.0.

        Args:
            value: The value as a run holds it.
        """
        assert self.dial is not None
        whole = self.settings.model_fields[self.dial.name].annotation is int
        return int(value) if whole else value

    @property
    def facts(self) -> Facts:
        """What others must know of it."""
        return Facts(**{each.name: getattr(self, each.name) for each in fields(Facts)})

    def load(self) -> type[Any]:
        """Import and return the strategy's class."""
        found: type[Any] = getattr(import_module(self.module), self.class_name)
        return found


_ENTRIES = (
    StrategyEntry(
        "finetune",
        "Finetune",
        "palimpsest.strategies.finetune",
        FinetuneSettings,
        "continue training with each model, protect nothing",
        "the lower reference",
        ends_only=True,
        role="baseline",
        color="#222222",
    ),
    StrategyEntry(
        "freeze",
        "Freeze",
        "palimpsest.strategies.freeze",
        FreezeSettings,
        "keep shared parameters as the first model that used them left them",
        "the limit of every penalty",
        ends_only=True,
        forgets_nothing=True,
        holds_for_good=True,
        role="limit",
        color="#7a7a7a",
        keeps_statistics=True,
    ),
    StrategyEntry(
        "independent",
        "Independent",
        "palimpsest.strategies.independent",
        IndependentSettings,
        "share nothing: each model trained alone from the same initial weights",
        "the upper reference",
        memory="linear",
        moves_unused=True,
        ends_only=True,
        needs_its_model=True,
        forgets_nothing=True,
        role="alone",
        color="#555555",
        told=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "joint",
        "Joint",
        "palimpsest.strategies.joint",
        JointSettings,
        "train all models at once, on the data of all",
        "the reference of intransigence",
        moves_unused=True,
        trains="at once",
        role="joint",
        color="#999999",
        keeps_statistics=True,
    ),
    StrategyEntry(
        "l2",
        "L2",
        "palimpsest.strategies.l2",
        L2Settings,
        "plain L2 anchor: all parameters of earlier models equally, the control for importances",
        "Kirkpatrick et al., PNAS 2017, figure 2A",
        ends_only=True,
        color="#cc78bc",
    ),
    StrategyEntry(
        "ewc",
        "EWC",
        "palimpsest.strategies.ewc",
        EWCSettings,
        "elastic weight consolidation: Fisher information of each earlier model",
        "Kirkpatrick et al., PNAS 2017; online form: Schwarz et al., ICML 2018",
        ends_only=True,
        color="#56b4e9",
        same_with_two="the penalty of EWC",
    ),
    StrategyEntry(
        "laplace",
        "Laplace",
        "palimpsest.strategies.laplace",
        LaplaceSettings,
        "online Laplace: Kronecker-factored Fisher information, between EWC and wpl_schur",
        "Ritter, Botev & Barber, Online Structured Laplace Approximations, NeurIPS 2018",
        memory="linear",
        ends_only=True,
    ),
    StrategyEntry(
        "si",
        "SI",
        "palimpsest.strategies.si",
        SISettings,
        "synaptic intelligence: path integral of the loss over training",
        "Zenke, Poole & Ganguli, ICML 2017",
        online=True,
        color="#029e73",
    ),
    StrategyEntry(
        "mas",
        "MAS",
        "palimpsest.strategies.mas",
        MASSettings,
        "memory aware synapses: sensitivity of each earlier model's outputs, without labels",
        "Aljundi et al., ECCV 2018",
        ends_only=True,
        color="#de8f05",
    ),
    StrategyEntry(
        "rwalk",
        "RWalk",
        "palimpsest.strategies.rwalk",
        RWalkSettings,
        "Riemannian walk: running Fisher information, and path integral per divergence",
        "Chaudhry et al., ECCV 2018",
        online=True,
        color="#ca9161",
    ),
    StrategyEntry(
        "lwf",
        "LwF",
        "palimpsest.strategies.lwf",
        LwFSettings,
        "learning without forgetting: preserve earlier models' outputs on the new data",
        "Li & Hoiem, ECCV 2016, TPAMI 2018",
        moves_unused=True,
        ends_only=True,
        needs_its_model=True,
        color="#fbafe4",
    ),
    StrategyEntry(
        "sril",
        "SRIL",
        "palimpsest.strategies.sril",
        SRILSettings,
        "selective regularization: hold shared features where that helps the new model, too",
        "Han, Na & Hwang, ACCV 2024, rebuilt from its abstract",
        ends_only=True,
        needs_its_model=True,
    ),
    StrategyEntry(
        "replay",
        "Replay",
        "palimpsest.strategies.replay",
        ReplaySettings,
        "experience replay: train on stored samples of earlier models, too",
        "Chaudhry et al., On Tiny Episodic Memories, 2019; Rolnick et al., NeurIPS 2019",
        moves_unused=True,
        dial=MEMORY,
        needs_its_model=True,
        stores=True,
    ),
    StrategyEntry(
        "der",
        "DER",
        "palimpsest.strategies.der",
        DERSettings,
        "dark experience replay (DER++): hold stored samples to their logits and labels",
        "Buzzega et al., NeurIPS 2020, equation 6",
        moves_unused=True,
        dial=MEMORY,
        needs_its_model=True,
        stores=True,
    ),
    StrategyEntry(
        "nsas",
        "NSAS",
        "palimpsest.strategies.nsas",
        NSASSettings,
        "novelty search: train a few diverse architectures of a supernet along with each",
        "Zhang et al., Overcoming Multi-Model Forgetting in One-Shot NAS, CVPR 2020",
        moves_unused=True,
        searches=True,
        dial=Dial("epsilon", "epsilons", idle=0, lowest=0, highest=1),
    ),
    StrategyEntry(
        "ogl",
        "OGL",
        "palimpsest.strategies.ogl",
        OGLSettings,
        "orthogonal gradients: change shared parameters only across earlier models' gradients",
        "Ma et al., IEEE Transactions on Computers 2025, as far as it is told; Farajtabar et al., "
        "AISTATS 2020",
        memory="linear",
        online=True,
        dial=RANK,
    ),
    StrategyEntry(
        "spg",
        "SPG",
        "palimpsest.strategies.spg",
        SPGSettings,
        "soft masks: hold each parameter by how much earlier models' gradients single it out",
        "Konishi et al., Parameter-Level Soft-Masking for Continual Learning, ICML 2023",
        needs_its_model=True,
        ends_only=True,
        holds_for_good=True,
    ),
    StrategyEntry(
        "gpm",
        "GPM",
        "palimpsest.strategies.gpm",
        GPMSettings,
        "gradient projection memory: change weights only across earlier models' inputs",
        "Saha, Garg & Roy, ICLR 2021",
        memory="linear",
        ends_only=True,
        dial=ENERGY,
        holds_for_good=True,
    ),
    StrategyEntry(
        "inflora",
        "InfLoRA",
        "palimpsest.strategies.inflora",
        InfLoRASettings,
        "low-rank branches beside fixed weights, across the directions of earlier models' inputs",
        "Liang & Li, InfLoRA, CVPR 2024",
        memory="linear",
        holds_for_good=True,
        dial=replace(ENERGY, idle=None),
    ),
    StrategyEntry(
        "freeze_important",
        "FreezeImportant",
        "palimpsest.strategies.freeze_important",
        FreezeImportantSettings,
        "hold the rows with most Fisher information of earlier models: a penalty's hard limit",
        "the control of Fisher-guided masks",
        ends_only=True,
        dial=SHARE,
    ),
    StrategyEntry(
        "fggm",
        "FGGM",
        "palimpsest.strategies.fggm",
        FGGMSettings,
        "Fisher-guided masks: change only the shared rows that matter most to the new model",
        "Tan et al., arXiv 2601.18261, 2026, as others tell it",
        ends_only=True,
        dial=SHARE,
    ),
    StrategyEntry(
        "migu",
        "MIGU",
        "palimpsest.strategies.migu",
        MIGUSettings,
        "change only the shared rows whose outputs are largest in the batch",
        "Du et al., Unlocking Continual Learning Abilities in Language Models, EMNLP 2024",
        ends_only=True,
        dial=SHARE,
    ),
    StrategyEntry(
        "supsup",
        "SupSup",
        "palimpsest.strategies.supsup",
        SupSupSettings,
        "a mask for each model over random weights that never change: nothing is forgotten",
        "Wortsman et al., Supermasks in Superposition, NeurIPS 2020",
        memory="linear",
        needs_its_model=True,
        dial=DENSITY,
        forgets_nothing=True,
        holds_for_good=True,
        told=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "ssnet",
        "SSNet",
        "palimpsest.strategies.ssnet",
        SSNetSettings,
        "a mask for each model, then training of all weights inside it, which earlier ones share",
        "Yadav & Bansal, Exclusive Supermask Subnetwork Training, Findings of ACL 2023",
        memory="linear",
        needs_its_model=True,
        dial=DENSITY,
        brief={"mask_steps": 3},
        told=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "exssnet",
        "ExSSNet",
        "palimpsest.strategies.exssnet",
        SSNetSettings,
        "a mask for each model, then training of what no earlier mask has: nothing is forgotten",
        "Yadav & Bansal, Exclusive Supermask Subnetwork Training, Findings of ACL 2023",
        memory="linear",
        needs_its_model=True,
        dial=DENSITY,
        forgets_nothing=True,
        holds_for_good=True,
        brief={"mask_steps": 3},
        told=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "vcl",
        "VCL",
        "palimpsest.strategies.vcl",
        VCLSettings,
        "a posterior of each weight, whose prior is that of the model before",
        "Nguyen, Li, Bui & Turner, Variational Continual Learning, ICLR 2018",
        dial=BETA,
        brief={"beta": 0.2},
    ),
    StrategyEntry(
        "n_step_kl",
        "NStepKL",
        "palimpsest.strategies.n_step_kl",
        NStepKLSettings,
        "a posterior of each weight, near those of the last n models alike",
        "Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS 2025",
        memory="linear",
        dial=BETA,
        brief={"beta": 0.2},
    ),
    StrategyEntry(
        "td_vcl",
        "TDVCL",
        "palimpsest.strategies.td_vcl",
        TDVCLSettings,
        "a posterior of each weight, near those of the last n models, the latest the most",
        "Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS 2025",
        memory="linear",
        dial=BETA,
        brief={"beta": 0.2},
    ),
    StrategyEntry(
        "badam",
        "BAdam",
        "palimpsest.strategies.badam",
        BAdamSettings,
        "a deviation of each weight, which shrinks as it becomes certain, and with it its steps",
        "Foster & Brintrup, arXiv 2309.08546, 2023",
        dial=Dial("eta", "etas", lowest=0),
        brief={"eta": 1.0, "draws": 4},
    ),
    StrategyEntry(
        "task_arithmetic",
        "TaskArithmetic",
        "palimpsest.strategies.task_arithmetic",
        TaskArithmeticSettings,
        "train each model apart from one start, add a share of all task vectors to it",
        "Ilharco et al., Editing Models with Task Arithmetic, ICLR 2023",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        dial=SCALE,
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "running_average",
        "RunningAverage",
        "palimpsest.strategies.running_average",
        RunningAverageSettings,
        "train each model apart from one start, average the weights",
        "the baseline of Tang et al., Merging Models on the Fly Without Retraining, NeurIPS 2025",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "ties",
        "TIES",
        "palimpsest.strategies.ties",
        TIESSettings,
        "of task vectors, merge the largest elements, those with the sign of most",
        "Yadav et al., TIES-Merging, NeurIPS 2023",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        dial=SCALE,
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "opcm",
        "OPCM",
        "palimpsest.strategies.opcm",
        OPCMSettings,
        "merge task vectors one by one, each across the directions of those before",
        "Tang et al., Merging Models on the Fly Without Retraining, NeurIPS 2025",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        dial=Dial("alpha", "alphas", lowest=0, highest=1),
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "pic",
        "PIC",
        "palimpsest.strategies.pic",
        PICSettings,
        "train low-rank branches for each model apart, add a share of all to the start",
        "Zeng, Li & Ayesh, arXiv 2502.10966, 2025, rebuilt from its abstract",
        moves_unused=True,
        needs_its_model=True,
        dial=SCALE,
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "smile",
        "SMILE",
        "palimpsest.strategies.smile",
        SMILESettings,
        "keep a low-rank difference of the shared weights for each model, merge nothing",
        "Tang et al., SMILE, 2024",
        memory="linear",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        forgets_nothing=True,
        dial=Dial("rank", "ranks", lowest=0, whole=True),
        told=True,
        merges=True,
        keeps_statistics=True,
    ),
    StrategyEntry(
        "wpl",
        "WPL",
        "palimpsest.strategies.wpl",
        WPLSettings,
        "weight plasticity loss: Fisher information on shared parameters, moving anchor",
        "Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019",
        ends_only=True,
        color="#0173b2",
        same_with_two="the penalty of EWC",
    ),
    StrategyEntry(
        "wpl_official",
        "WPLOfficial",
        "palimpsest.strategies.wpl_official",
        WPLOfficialSettings,
        "weight plasticity loss as the authors' program computes it: a strength that compounds",
        "program of Benyahia, Yu et al., github.com/kcyu2014/multi-model-forgetting",
        online=True,
    ),
    StrategyEntry(
        "wpl_schur",
        "WPLSchur",
        "palimpsest.strategies.wpl_schur",
        WPLSchurSettings,
        "weight plasticity loss as derived: the full quadratic on all shared parameters at once",
        "Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, equations 6 to 8",
        memory="linear",
        ends_only=True,
        color="#d55e00",
    ),
)

STRATEGIES = {entry.name: entry for entry in _ENTRIES}
