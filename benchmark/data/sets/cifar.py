"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009)."""

from palimpsest.benchmark.data.named_set import NamedSet

_TEN = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")

SETS = [
    NamedSet(
        f"cifar{classes}",
        (3, 32, 32),
        classes,
        f"torchvision.datasets:CIFAR{classes}",
        layouts=(tuple(f"{folder}/{file}" for file in files),),
    )
    for classes, folder, files in (
        (10, "cifar-10-batches-py", _TEN),
        (100, "cifar-100-python", ("train", "test", "meta")),
    )
]
