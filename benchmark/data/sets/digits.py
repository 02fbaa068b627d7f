"""The 1,797 handwritten digits of 8 x 8 pixels that ship with scikit-learn."""

from palimpsest.benchmark.data.named_set import NamedSet

SETS = [NamedSet("digits", (1, 8, 8), 10, "palimpsest.benchmark.data.formats.digits:Digits")]
