"""Memory: how much of it this machine has, how much this process has held, how it is reused.

No torch.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil


def machine_memory() -> int:
    """The bytes of memory of this machine, or fewer where a container is held to fewer."""
    memory = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    # Linux hands what getrusage tells on from the process that started this one.
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    try:
        import resource
    except ImportError:  # Windows tells it another way
        return int(psutil.Process().memory_info().peak_wset)
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


# Of mallopt, from glibc's malloc.h: what is left free at the end of the heap before it is given
# back, and the size from which a piece of memory is asked of the system by itself.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
REUSED = 2**30


@cache
def reuse_memory() -> bool:
    """Keep up to a gigabyte of freed memory for what is computed next, and tell whether it is.

    The C library of Linux gives large arrays back to the system as soon as they are freed, which
    then hands out zeroed pages for the next ones: a step of training that makes the same arrays
    again and again spends a quarter of its time so (LOG.md). Elsewhere nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(what, REUSED) for what in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD))
