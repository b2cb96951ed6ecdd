"""Freed memory stays with the process.

glibc gives every freed block of more than 32 MiB back to the system at once, and the next tensor of
that size gets pages that have to be mapped and cleared anew. At the paper's size that is over a third
of a training step's CPU time.
"""

import ctypes

# mallopt's parameters, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed() -> bool:
    """Let malloc reuse what was freed, whatever its size; True if this system's C library can.

    The process then holds what it needed at its peak, plus gaps between blocks, until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # No block in a mapping of its own, and none of the heap's end cut off.
    return all(
        mallopt(parameter, value) for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
    )
