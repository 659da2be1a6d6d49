"""How the C library hands memory out and takes it back."""

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE = 131_072


def return_large_blocks() -> None:
    """Have every large block of memory given back to the system once it is freed.

    By itself glibc raises the size from which it does so with each one that is freed, and each thread then
    keeps what its largest texts took: ingest kept 300 MB of leads that were long gone. Where the C library
    is another one, nothing changes. Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
