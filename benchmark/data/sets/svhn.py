"""Street View House Numbers (Netzer et al., 2011)."""

from palimpsest.benchmark.data.named_set import NamedSet

SETS = [
    NamedSet(
        "svhn",
        (3, 32, 32),
        10,
        "palimpsest.benchmark.data.formats.torchvision_parts:SVHN",
        layouts=(("train_32x32.mat", "test_32x32.mat"),),
    )
]
