"""Memory: how much of it this machine has. No torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def machine_memory() -> int:
    """The bytes of memory of this machine, or fewer where a container is held to fewer."""
    memory = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory
