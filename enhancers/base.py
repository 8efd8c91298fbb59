"""The one contract all enhancers keep, and what they share: padding, tiling, options."""

from __future__ import annotations

import hashlib
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from enhancers.layers import filled

OnStep = Callable[[int, int, Tensor | None], None]
"""Called as `on_step(i, n, preview)` after step i of n (1-based); may raise to cancel.

A step is one tile through the network, so that large photos too can be watched and stopped.
`preview` is the current estimate, (N, 3, H, W) in [0, 1], or None where there is none yet.
"""

TILE = 512
"""Side in pixels of the square a network sees at once; larger photos are tiled."""

OVERLAP = 64
"""Pixels by which neighbouring tiles overlap; results are cross-faded over half of them."""


@dataclass(frozen=True)
class Option:
    """A number the user may set; `restore(**{name: value})`."""

    name: str
    low: float
    high: float
    default: float
    help: str
    integer: bool = False

    def check(self, value: float) -> float:
        """Return `value` as the option's type. Raises ValueError outside [low, high]."""
        number = float(value)
        if not self.low <= number <= self.high:
            raise ValueError(
                f"{self.name} must lie between {self.low:g} and {self.high:g}, but got {value:g}."
            )
        if self.integer and number != int(number):
            raise ValueError(f"{self.name} must be a whole number, but got {value:g}.")
        return int(number) if self.integer else number


@dataclass(frozen=True)
class Spec:
    """What a user or a results table needs to know of an enhancer."""

    name: str
    """Key of `enhancers.load`, and the suffix of files written."""
    title: str
    """Name for people."""
    parameters: int
    """Number of weights used to restore a photo."""
    sha256: str
    """Of the weights, so that a result can be traced to it."""
    training: dict = field(default_factory=dict)
    """Summary of the training run: steps, minutes, crops seen, device, validation PSNR."""
    options: tuple[Option, ...] = ()
    """What `restore` takes beyond the photo, the mask and the seed."""


class Enhancer(ABC):
    """Restores photos: any size, any blend of degradations, optionally with a mask of holes."""

    spec: Spec
    device: torch.device

    @abstractmethod
    def _restore(
        self, degraded: Tensor, mask: Tensor, generator: torch.Generator, on_step: OnStep, **options
    ) -> Tensor:
        """Restore a checked batch; pixels under the mask are already `layers.filled`."""

    @torch.inference_mode()
    def restore(
        self,
        degraded: Tensor,
        mask: Tensor | None = None,
        *,
        seed: int = 0,
        on_step: OnStep | None = None,
        clipped: bool = True,
        **options: float,
    ) -> Tensor:
        """Restore a batch of photos; the same seed gives the same pixels.

        degraded: (N, 3, H, W) in [0, 1], any H, W >= 1. mask: (N, 1, H, W), 1 where a pixel is
        unknown and to be invented, 0 elsewhere; what `degraded` holds there is not looked at.
        clipped: whether values of `degraded` must lie in [0, 1], as in every file; the noise of
        published tests goes beyond. options: see `spec.options`; those left out take their
        defaults.
        Returns (N, 3, H, W) in [0, 1] on the device of `degraded`.
        Raises ValueError for a wrong shape, range or option; whatever `on_step` raises.
        """
        _check_photo(degraded, clipped)
        mask = _check_mask(mask, degraded)
        known = {option.name: option for option in self.spec.options}
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"{self.spec.name} has no option {', '.join(unknown)}; "
                f"it takes {', '.join(known) or 'none'}."
            )
        values = {name: o.check(options.get(name, o.default)) for name, o in known.items()}
        generator = randomness(seed)
        restored = self._restore(
            filled(degraded, mask).to(self.device),
            mask.to(self.device),
            generator,
            on_step or (lambda i, n, preview: None),
            **values,
        )
        return restored.clamp(0, 1).to(degraded.device)  # a copy: it may be the input itself


def randomness(seed: int) -> torch.Generator:
    """Return the random numbers of a restoration.

    They are not those of `manual_seed(seed)`: a photo damaged by these would meet the very noise
    it carries again, and come out worse than by chance.
    """
    digest = hashlib.sha256(f"restoration {operator.index(seed)}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


def _check_photo(photo: Tensor, clipped: bool) -> None:
    if photo.ndim != 4 or photo.shape[1] != 3 or 0 in photo.shape:
        raise ValueError(f"Expected photos of shape (N, 3, H, W), but got {tuple(photo.shape)}.")
    if not photo.is_floating_point():
        raise ValueError(f"Expected floating-point pixels in [0, 1], but got {photo.dtype}.")
    low, high = photo.aminmax()
    finite = torch.isfinite(low) and torch.isfinite(high)
    if not finite or (clipped and not 0 <= low <= high <= 1):
        raise ValueError(f"Expected pixels in [0, 1], but got [{low:.3g}, {high:.3g}].")


def _check_mask(mask: Tensor | None, photo: Tensor) -> Tensor:
    shape = (photo.shape[0], 1, *photo.shape[2:])
    if mask is None:
        return photo.new_zeros(shape)
    if tuple(mask.shape) != shape:
        raise ValueError(f"Expected a mask of shape {shape}, but got {tuple(mask.shape)}.")
    return (mask > 0.5).to(photo)


def tiled(
    network: Callable[..., Tensor],
    *inputs: Tensor,
    multiple: int,
    on_step: OnStep = lambda i, n, preview: None,
    part: int = 0,
    parts: int = 1,
) -> Tensor:
    """Apply a size-preserving network to photos of any size at bounded memory.

    inputs: each (N, any, H, W); `network` gets the same part of each, (N, any, h, w) with h, w
    divisible by `multiple`, and returns (N, C', h, w). Photos are padded by reflection; up to
    `TILE` on both sides they go through whole, larger ones in tiles that overlap by `OVERLAP` and
    are cross-faded in the middle of it. Returns (N, C', H, W), clamped to [0, 1]. `on_step` is
    called after each tile, with the result after the last; where this is one of several passes
    (`part` of `parts`, from 0), steps count on.
    """
    H, W = inputs[0].shape[-2:]
    inputs = [pad_to_multiple(x, multiple) for x in inputs]
    height, width = inputs[0].shape[-2:]
    tops, lefts = _starts(height), _starts(width)
    n = len(tops) * len(lefts)

    def apply(rows: slice, columns: slice) -> Tensor:
        tiles = (x[..., rows, columns] for x in inputs)
        return network(*(tile.contiguous(memory_format=torch.channels_last) for tile in tiles))

    def finish(whole: Tensor) -> Tensor:
        whole = whole[..., :H, :W].clamp_(0, 1)
        on_step((part + 1) * n, parts * n, whole)
        return whole

    if n == 1:
        return finish(apply(slice(None), slice(None)))
    done = 0
    result: Tensor | None = None
    weight = inputs[0].new_zeros(1, 1, height, width)
    for top in tops:
        for left in lefts:
            rows, columns = slice(top, top + TILE), slice(left, left + TILE)
            out = apply(rows, columns)
            h, w = out.shape[-2:]
            fade = (
                _fade(h, top > 0, rows.stop < height)[:, None]
                * _fade(w, left > 0, columns.stop < width)
            ).to(out)
            if result is None:
                result = out.new_zeros(*out.shape[:2], height, width)
            result[..., rows, columns] += out * fade
            weight[..., rows, columns] += fade
            done += 1
            if done < n:
                on_step(part * n + done, parts * n, None)
    return finish(result.div_(weight))


def _starts(length: int) -> list[int]:
    """First pixel of each tile along one side; the last tile ends flush with the picture."""
    if length <= TILE:
        return [0]
    return [*range(0, length - TILE, TILE - OVERLAP), length - TILE]


def _fade(length: int, before: bool, after: bool) -> Tensor:
    """Weights of a tile along one side: ramps on the sides where it has a neighbour.

    The outer quarter of the overlap, where a network misses what lies beyond the tile, has none.
    """
    ramp = (2 * (torch.arange(OVERLAP) + 0.5) / OVERLAP - 0.5).clamp(0, 1)
    fade = torch.ones(length)
    if before:
        fade[:OVERLAP] *= ramp
    if after:
        fade[-OVERLAP:] *= ramp.flip(0)
    return fade


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend x at the right and bottom to sides divisible by `multiple`.

    Reflects, and replicates the border where a side is too short to reflect.
    """
    H, W = x.shape[-2:]
    right, bottom = -W % multiple, -H % multiple
    if not right and not bottom:
        return x
    mirrored_right, mirrored_bottom = min(right, W - 1), min(bottom, H - 1)
    x = F.pad(x, (0, mirrored_right, 0, mirrored_bottom), mode="reflect")
    return F.pad(x, (0, right - mirrored_right, 0, bottom - mirrored_bottom), mode="replicate")


def sha256_of(*paths: Path) -> str:
    """Hexadecimal SHA-256 of a file, or of several one after the other."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def autocast(device: torch.device) -> torch.autocast:
    """Bfloat16 autocast where the processor computes in it; otherwise a no-op.

    Without native instructions (AVX512-BF16, AMX) bfloat16 is emulated and about four times
    slower than float32, so the processor is asked first.
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(k, False) for k in ("avx512_bf16", "amx_bf16", "arm_bf16"))
    else:
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=native)
