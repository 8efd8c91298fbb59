"""Restored pictures kept for those who ask for the same again. No Gradio here."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from enhancers import images
from enhancers.base import Spec


@dataclass(frozen=True)
class Kept:
    """What a method once made."""

    picture: Tensor
    """(1, 3, H, W) uint8: the levels a file holds."""
    seconds: float
    """Time it took then."""

    @property
    def restored(self) -> Tensor:
        """(1, 3, H, W) in [0, 1]."""
        return self.picture.float().div(255)


class Cache:
    """The latest pictures, up to so many bytes; the one asked for longest ago goes first."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self._pictures: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Kept | None:
        """Return what was kept under a key of `key_of`."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def put(self, key: str, restored: Tensor, seconds: float) -> None:
        """Keep a picture, (1, 3, H, W) in [0, 1]; one larger than the whole cache is not kept."""
        picture = images.quantise(restored).mul(255).round().byte()
        if picture.nbytes > self.max_bytes:
            return
        with self._lock:
            if (old := self._pictures.pop(key, None)) is not None:
                self.bytes -= old.picture.nbytes
            self._pictures[key] = Kept(picture, seconds)
            self.bytes += picture.nbytes
            while self.bytes > self.max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self.bytes -= oldest.picture.nbytes


def key_of(
    spec: Spec, degraded: Tensor, mask: Tensor | None, seed: int, options: Mapping[str, float]
) -> str:
    """Name everything that a restored picture follows from; pixels on the 8-bit grid."""
    values = {
        option.name: float(options.get(option.name, option.default)) for option in spec.options
    }
    settings = [spec.name, spec.sha256, list(degraded.shape), seed, values]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(images.to_uint8(degraded).tobytes())
    if mask is not None and mask.any():  # no hole is as good as no mask
        digest.update((mask > 0.5).numpy().tobytes())
    return digest.hexdigest()
