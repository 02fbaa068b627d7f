"""EMNIST (Cohen et al., 2017): handwritten letters and digits, in five selections."""

from palimpsest.benchmark.data.named_set import NamedSet

_CLASSES = {"balanced": 47, "letters": 26, "digits": 10, "byclass": 62, "bymerge": 47}


def _files(split: str) -> tuple[str, ...]:
    return tuple(
        f"EMNIST/raw/emnist-{split}-{part}-{content}-ubyte"
        for part in ("train", "test")
        for content in ("images-idx3", "labels-idx1")
    )


SETS = [
    NamedSet(
        "emnist" if split == "balanced" else f"emnist_{split}",
        (1, 28, 28),
        classes,
        "palimpsest.benchmark.data.formats.torchvision_parts:EMNIST",
        {"split": split},
        (_files(split),),
    )
    for split, classes in _CLASSES.items()
]
