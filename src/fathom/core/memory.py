"""Memory: how much of it this machine has, and how much this process has held. No torch."""

from __future__ import annotations

import sys
from contextlib import suppress
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
