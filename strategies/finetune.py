"""Fine-tuning: the lower reference."""

from avalanche.training.plugins import SupervisedPlugin


class Finetune(SupervisedPlugin):
    """Train each model from where the previous one left the shared parameters; protect nothing."""
