"""STL-10 (Coates et al., 2011)."""

from palimpsest.benchmark.data.named_set import NamedSet

_FILES = (
    *(f"stl10_binary/{part}_{content}.bin" for part in ("train", "test") for content in "Xy"),
    "stl10_binary/class_names.txt",
)

SETS = [
    NamedSet(
        "stl10",
        (3, 96, 96),
        10,
        "palimpsest.benchmark.data.formats.torchvision_parts:STL10",
        layouts=(_FILES,),
    )
]
