"""Fine-tuning: the lower reference."""

from avalanche.training.plugins import SupervisedPlugin


class Finetune(SupervisedPlugin):
    """Train each model on from where the last one left the shared parameters; protect nothing."""
