"""What is recorded of the machine that made a run."""

import pytest

from palimpsest.benchmark.runs.provenance import processor, processor_in, versions

INTEL = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 avx2 avx512f

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (INTEL, "Intel(R) Xeon(R) Processor, AVX-512"),
        (INTEL.replace(" avx512f", ""), "Intel(R) Xeon(R) Processor, AVX2"),
        (INTEL.replace(" avx2 avx512f", ""), "Intel(R) Xeon(R) Processor"),
        (
            "processor\t: 0\nBogoMIPS\t: 243\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
            "implementer 0x41, part 0xd0c",
        ),
        ("", ""),
    ],
)
def test_processors_are_named_as_their_kernel_does(cpuinfo, name):
    assert processor_in(cpuinfo) == name


def test_a_run_records_its_processor():
    assert versions()["processor"] == processor() != ""
