"""A process that trains keeps the memory that it frees."""

import sys

import pytest
from conftest import run

FAULTS = """
import ctypes, resource, sys
from fpa.runs.devices import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no mallopt")
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
SIZE = 64 << 20


def use():
    block = libc.malloc(SIZE)
    ctypes.memset(block, 1, SIZE)
    libc.free(block)


use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that five blocks of 64 MiB, one after another, have to map anew."""
    done = run(sys.executable, "-c", FAULTS, how)
    if "no mallopt" in done.stderr:
        pytest.skip("the C library has no mallopt")
    return int(done.stdout)


def test_a_freed_block_is_used_again_without_new_pages():
    assert faults("keep") < 100
    assert faults("plain") > 5000  # else there is nothing to keep
