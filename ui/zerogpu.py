"""Hugging Face's ZeroGPU, which lends a GPU for one call at a time. Elsewhere nothing happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from enhancers.base import Enhancer

Restore = Callable[[str, Tensor, Tensor | None, int, Mapping[str, float]], Tensor]


def is_lent() -> bool:
    """Whether this is a Space on ZeroGPU; the package `spaces` says the same."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def lend_gpu(enhancers: Mapping[str, Enhancer], gpu: Callable[[Any], Any] | None = None) -> Restore:
    """Return how to restore with an enhancer, by its name, on a GPU that is lent for the call.

    gpu: `spaces.GPU`, which is imported where it is None. The call runs in a process of its own:
    only tensors and numbers go there and back, so that its steps can be neither seen nor stopped.
    """
    if gpu is None:
        from spaces import GPU as gpu  # noqa: N811 - there only on Spaces

    @gpu
    def restore(
        name: str, degraded: Tensor, mask: Tensor | None, seed: int, options: Mapping[str, float]
    ) -> Tensor:
        return enhancers[name].restore(degraded, mask, seed=seed, **options)

    return restore
