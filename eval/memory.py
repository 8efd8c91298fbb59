"""Peak memory of one restoration."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class MemoryWatch:
    """Measures the most memory taken since it was made, in units of 2^20 bytes.

    What was in use before does not count. On the processor it is the process's resident memory as
    Linux counts it, on a GPU what torch has allocated there; nan on other systems.
    """

    def __init__(self, device: str):
        self._cuda = device.startswith("cuda")
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device) / 2**20
        else:
            self._before = _forget_peak()
        self._device = device

    def peak(self) -> float:
        """Return the most memory taken so far."""
        if self._cuda:
            peak = torch.cuda.max_memory_allocated(self._device) / 2**20
        else:
            peak = _resident("VmHWM")
        return peak - self._before


def release() -> None:
    """Give memory that was freed but kept back to the system, where the C library is glibc.

    Pictures of many sizes leave holes between what stays; by itself it gives back only the top.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _forget_peak() -> float:
    """Reset the process's peak; return what it uses now."""
    if not _RESET.exists():
        return math.nan
    release()  # what was freed but kept would hide what is taken of it again
    _RESET.write_text("5")
    return _resident("VmRSS")


def _resident(field: str) -> float:
    if not _STATUS.exists():
        return math.nan
    return int(re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())[1]) / 1024
