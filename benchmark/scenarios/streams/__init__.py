"""The data of experiences: tensors, and how they become Avalanche streams."""
