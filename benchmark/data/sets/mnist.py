"""MNIST (LeCun et al., 1998) and sets of its form."""

from palimpsest.benchmark.data.named_set import NamedSet


def _layouts(folder: str) -> tuple[tuple[str, ...], ...]:
    raw = tuple(
        f"{folder}/raw/{part}-{content}-ubyte"
        for part in ("train", "t10k")
        for content in ("images-idx3", "labels-idx1")
    )
    # Older versions of torchvision wrote the tensors themselves, and the present one reads them.
    return raw, (f"{folder}/processed/training.pt", f"{folder}/processed/test.pt")


SETS = [
    NamedSet(name, (1, 28, 28), 10, f"torchvision.datasets:{kind}", layouts=_layouts(kind))
    for name, kind in (("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST"))
]
