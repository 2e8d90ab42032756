"""Memory that a training takes anew at each step."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, numpy as np
from training.memory import keep_what_is_freed
if {kept}:
    keep_what_is_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(40 << 20, np.uint8)
before = faults()
for _ in range(8):
    np.ones(40 << 20, np.uint8)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="under glibc only, and told by its page faults")
def test_a_step_takes_the_memory_that_the_one_before_it_freed() -> None:
    def faults(kept: bool) -> int:
        run = [sys.executable, "-c", FAULTS.format(kept=kept)]
        return int(subprocess.run(run, capture_output=True, check=True).stdout)

    # Eight times 40 MB are 80,000 pages of 4 kB, or fewer larger ones.
    assert faults(kept=True) * 4 < faults(kept=False)
