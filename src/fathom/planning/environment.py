"""Environment: the versions and the hardware that a result depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("fathom-learn", "torch", "numpy", "scikit-learn", "pandas")


@cache
def processor() -> str:
    """The processor's name, or the architecture where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """The cores that this process may use (a container or taskset may allow fewer than exist)."""
    try:
        allowed = len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no affinity
        allowed = psutil.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def has_fast_bfloat16(device: str) -> bool:
    """Whether bf16 products run in hardware: AMX, AVX-512 BF16, or an NVIDIA card since Ampere."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(errors="replace") if flags.exists() else ""
    return "amx_bf16" in text or "avx512_bf16" in text


def describe_environment(device: str) -> dict[str, Any]:
    """Versions and hardware, as they stand in the plan."""
    hardware: dict[str, Any] = {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "device": device,
    }
    if device.startswith("cuda"):
        hardware["accelerator"] = torch.cuda.get_device_name(device)
    versions = {"python": platform.python_version()} | {p: version(p) for p in PACKAGES}
    return {"versions": versions, "hardware": hardware}


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Sentences about what is other than when the plan was made."""
    sentences = []
    for section in ("versions", "hardware"):
        for key, value in then.get(section, {}).items():
            current = now.get(section, {}).get(key)
            if current != value:
                sentences.append(f"{key} was {value} when the plan was made and is {current} now")
    return sentences
