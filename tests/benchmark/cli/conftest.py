"""Commands of these tests carry out their runs in the test's own process."""

import pytest

from palimpsest.benchmark.executors.in_process import InProcess
from palimpsest.benchmark.executors.local import workers


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    """Starting a worker takes seconds; what workers do is asked in contracts/ and executors/."""

    def here(root, _workers, scratch, _timeout, checkpoints):
        return InProcess(root, scratch, checkpoints)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "WorkerProcesses", here)
        yield
