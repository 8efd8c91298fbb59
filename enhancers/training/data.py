"""Training data: random crops of a folder of photos, damaged on the device that trains.

Photos are decoded once and stay in memory as 8-bit tensors; crops, edits and damage are batched
tensor operations, so the same code feeds two processor cores and one large GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from enhancers import degradations as deg
from enhancers.experts import DARKNESS, FAMILIES
from enhancers.images import ImageError, list_images, load, quantise
from enhancers.layers import describe, filled, peak

LARGE = 900
"""Photos longer than this many pixels also enter at half size, where they are sharper."""

SHARES = {
    "noise": 0.18,
    "shot": 0.05,
    "blur": 0.13,
    "motion": 0.06,
    "lowres": 0.14,
    "jpeg": 0.14,
    "dark": 0.08,
    "mixed": 0.09,
    "scratches": 0.09,
    "clean": 0.04,
}
"""Share of each kind of damage in a batch."""

FAMILY = {kind: i for i, members in enumerate(FAMILIES.values()) for kind in members}
"""Index of each kind's family."""

UNDAMAGED = 0.06
"""Share of undamaged photos where one family is trained alone."""

MARGIN = 16
"""Pixels around a crop that damage may draw on, as it does in whole photos.

Blurring a crop mirrors its border, and from that a network reads the blur more surely than it can
anywhere in a photo: it learns to undo the blur of crops, and blur in photos ever less.
"""

UNCLIPPED = 0.1
"""Share of noisy photos whose noise goes beyond what a file can hold, as in published tests."""


@dataclass(frozen=True)
class Batch:
    """Training pairs; photos (N, 3, S, S) in [0, 1], mask (N, 1, S, S), 1 where lost.

    Only noise that no file has rounded goes beyond [0, 1].
    """

    clean: Tensor
    degraded: Tensor
    mask: Tensor
    exposure: Tensor
    """Of the whole degraded photo that each crop is from, (N, 12); see `layers.exposure`."""
    family: Tensor
    """Index of the damage's family, (N,), never falling: photos of one family stand together."""


def read_photos(folder: Path, device: torch.device) -> tuple[list[Tensor], list[str]]:
    """Decode every photo of a folder; returns uint8 tensors (3, H, W) and what was skipped.

    Raises ValueError if not one photo could be read.
    """
    photos: list[Tensor] = []
    skipped: list[str] = []
    for path in list_images([folder]):
        try:
            pixels = load(path).pixels
        except ImageError as error:
            skipped.append(str(error))
            continue
        sizes = [pixels]
        if max(pixels.shape[-2:]) > LARGE:
            sizes.append(F.interpolate(pixels, scale_factor=0.5, mode="bicubic", antialias=True))
        photos += [(quantise(p)[0] * 255).round().to(torch.uint8).to(device) for p in sizes]
    if not photos:
        raise ValueError(f"Expected photos in {folder}, but none could be read. {skipped[:1]}")
    return photos, skipped


def shares_of(family: str) -> dict[str, float]:
    """Shares of each kind of damage where one family is trained alone."""
    members = {kind: SHARES[kind] for kind in FAMILIES[family]}
    damaged = 1 - UNDAMAGED
    total = sum(members.values())
    return {kind: damaged * share / total for kind, share in members.items()} | {"clean": UNDAMAGED}


class Mixture:
    """An endless stream of batches; the same state gives the same batches."""

    def __init__(
        self,
        photos: list[Tensor],
        seed: int,
        shares: Mapping[str, float] = SHARES,
        family: int | None = None,
    ):
        """family: that of every photo, whatever its damage; None: each damage has its own."""
        self.shares, self.family = shares, family
        self.pixels = torch.cat([photo.flatten() for photo in photos])
        self.sides = np.array([photo.shape[1:] for photo in photos])
        self.starts = np.cumsum([0, *(photo.numel() for photo in photos[:-1])])
        self.thumbnails = torch.cat(
            [F.adaptive_avg_pool2d(photo[None].float() / 255, 128) for photo in photos]
        )
        self.peaks = torch.cat([_peak(photo) for photo in photos])
        self.device = photos[0].device
        self.random = np.random.default_rng(seed)
        self.generator = Generator(self.device).manual_seed(seed)
        self._holes: dict[int, Tensor] = {}

    def state(self) -> dict:
        """Return everything needed to go on with the same batches."""
        return {"random": self.random.bit_generator.state, "torch": self.generator.get_state()}

    def restore_state(self, state: dict) -> None:
        """Continue where `state` was taken."""
        self.random.bit_generator.state = state["random"]
        self.generator.set_state(state["torch"])

    def batch(self, n: int, size: int) -> Batch:
        """Draw n crops of size x size pixels, each with a damage of its own."""
        chosen = self.random.integers(len(self.sides), size=n)
        indices = torch.from_numpy(chosen).to(self.device)
        whole = F.avg_pool2d(self.thumbnails[indices], 2), self.peaks[indices]
        wide = self._crops(chosen, size + 2 * MARGIN)
        wide, thumbnails, peaks = self._edited(wide, *whole)
        wide = quantise(wide)
        clean = _cut(wide, size)
        degraded, mask = clean.clone(), clean.new_zeros(n, 1, size, size)
        grain = clean.new_ones(n, 1)  # of no matter where the tones are those of a good photo
        kinds, family = self._kinds(n)
        for index, kind in enumerate(self.shares):
            chosen = torch.from_numpy(np.flatnonzero(kinds == index)).to(self.device)
            if kind == "clean" or not len(chosen):
                continue
            if kind == "dark":
                whole = thumbnails[chosen], peaks[chosen]
                result, *whole = self._dark(clean[chosen], *whole)
                thumbnails[chosen], peaks[chosen], grain[chosen] = whole
            elif kind == "scratches":
                result, mask[chosen] = self._scratches(clean[chosen])
            else:
                result = getattr(self, f"_{kind}")(wide[chosen], size)
            degraded[chosen] = result if kind == "noise" else quantise(result)
        family = torch.from_numpy(family).to(self.device)
        return Batch(clean, degraded, mask, describe(thumbnails, peaks, grain), family)

    def _kinds(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw n kinds of damage, indices into `shares`, and their families; family by family.

        Clean photos are dealt to the families the router tells, so that each learns to leave them
        alone.
        """
        kinds = self.random.choice(len(self.shares), n, p=list(self.shares.values()))
        dealt = self.random.integers(DARKNESS, size=n)
        family = np.array([FAMILY.get(kind, -1) for kind in self.shares])[kinds]
        family = np.where(family < 0, dealt, family)
        if self.family is not None:
            family = np.full(n, self.family)
        order = np.argsort(family, kind="stable")
        return kinds[order], family[order]

    def _crops(self, chosen: np.ndarray, size: int) -> Tensor:
        """Cut a random square of each photo, mirrored and turned at random: (N, 3, size, size).

        Smaller photos are extended by their border.
        """
        sides = self.sides[chosen]
        corners = self.random.integers(np.maximum(sides - size, 0) + 1)
        turns = self.random.random((len(chosen), 3)) < 0.5
        numbers = np.concatenate([self.starts[chosen, None], sides, corners, turns], 1)
        numbers = torch.from_numpy(numbers).to(self.device)[..., None, None]
        start, height, width, top, left, flip, mirror, turn = numbers.unbind(1)
        steps = torch.arange(size, device=self.device)
        down, right = steps[:, None], steps
        down, right = torch.where(turn > 0, right, down), torch.where(turn > 0, down, right)
        rows = top + torch.where(flip > 0, size - 1 - down, down)
        columns = left + torch.where(mirror > 0, size - 1 - right, right)
        index = start + torch.minimum(rows, height - 1) * width + torch.minimum(columns, width - 1)
        plane = height * width
        crops = torch.stack([self.pixels[index + colour * plane] for colour in range(3)], 1)
        return crops.float().div_(255)

    def _edited(self, clean: Tensor, *whole: Tensor) -> tuple[Tensor, ...]:
        """Mildly change brightness, contrast, colour and sharpness of a third of the crops.

        The target is edited too: the networks must keep such differences, not correct them.
        Returns the edited crops, and what stands for the whole photos (N, 3, h, w) edited alike.
        """
        n = len(clean)
        chosen = self._where(n, 1 / 3)
        brightness, contrast, colour, sharpness = (
            torch.where(chosen, self._uniform(n, 0.8, 1.2), torch.ones_like(chosen, dtype=float))
            .float()
            .view(-1, 1, 1, 1)
            for _ in range(4)
        )
        grey = (clean * brightness).mean((1, 2, 3), keepdim=True)

        def edit(x: Tensor) -> Tensor:
            x = torch.lerp(grey, x * brightness, contrast)
            return torch.lerp(x.mean(1, keepdim=True), x, colour)

        x = edit(clean)
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = torch.lerp(soft, x, 2 * sharpness - 1)
        return x.clamp(0, 1), *(edit(part).clamp(0, 1) for part in whole)

    def _noise(self, x: Tensor, size: int) -> Tensor:
        """Noise, rounded as files are or, now and then, not."""
        x = deg.add_noise(_cut(x, size), self._uniform(len(x), 0, 55), self.generator)
        unclipped = self._where(len(x), UNCLIPPED).view(-1, 1, 1, 1)
        return torch.where(unclipped, x, quantise(x))

    def _shot(self, x: Tensor, size: int) -> Tensor:
        return deg.add_shot_noise(_cut(x, size), self._uniform(len(x), 0, 55), self.generator)

    def _blur(self, x: Tensor, size: int) -> Tensor:
        return self._little_grain(_cut(deg.gaussian_blur(x, self._uniform(len(x), 0.3, 4)), size))

    def _motion(self, x: Tensor, size: int) -> Tensor:
        n = len(x)
        blurred = deg.motion_blur(x, self._uniform(n, 2, 21), self._uniform(n, 0, np.pi))
        return self._little_grain(_cut(blurred, size))

    def _lowres(self, x: Tensor, size: int) -> Tensor:
        return _cut(deg.low_resolution(x, self._uniform(len(x), 1.4, 4.1)), size)

    def _jpeg(self, x: Tensor, size: int) -> Tensor:
        return self._compressed(x, size, self._uniform(len(x), 8, 95))

    def _dark(self, x: Tensor, *whole: Tensor) -> tuple[Tensor, ...]:
        curve = self._curve(len(x))
        sigma = self._uniform(len(x), 0, 10)
        noisy = deg.add_noise(deg.darken(x, *curve), sigma, self.generator)
        thumbnails, peaks = (deg.darken(part, *curve) for part in whole)
        return noisy, thumbnails, _noisy_peak(peaks, sigma), sigma[:, None] / 255

    def _curve(self, n: int) -> tuple[Tensor, Tensor]:
        """Gamma and exposure of n underexposed photos, about as `degradations.dark` pairs them."""
        depth = self._uniform(n, 0, 1.6)
        exposure = (1 - 0.4 * depth) * self._uniform(n, 0.85, 1.1)
        return 1 + 1.2 * depth, exposure.clamp(max=1)

    def exposures(self, n: int, dark_share: float) -> tuple[Tensor, Tensor, Tensor]:
        """Draw photos, underexposed at random or not: (thumbnails, peaks, clean thumbnails).

        Random windows of photos stand for photos.
        """
        windows = []
        chosen = self.random.integers(len(self.sides), size=n)
        for index in chosen:
            side = int(self.random.integers(80, 129))
            top, left = self.random.integers(128 - side + 1, size=2)
            window = self.thumbnails[index : index + 1, :, top : top + side, left : left + side]
            windows.append(F.interpolate(window, 64, mode="bilinear", antialias=True))
        scale = self._uniform(n, 0.85, 1.15).view(-1, 1, 1, 1)
        peaks = self.peaks[torch.from_numpy(chosen).to(self.device)]
        clean, peaks = ((x * scale).clamp(0, 1) for x in (torch.cat(windows), peaks))
        curve = self._curve(n)
        dark = self._where(n, dark_share).view(-1, 1, 1, 1)
        seen, peaks = (torch.where(dark, deg.darken(x, *curve), x) for x in (clean, peaks))
        return seen, _noisy_peak(peaks, self._uniform(n, 0, 10)), clean

    def _mixed(self, x: Tensor, size: int) -> Tensor:
        n = len(x)
        x = deg.gaussian_blur(x, self._uniform(n, 0.2, 1.8))
        x = deg.low_resolution(x, self._uniform(n, 1, 2.8))
        x = deg.add_noise(x, self._uniform(n, 0, 20), self.generator).clamp(0, 1)
        return self._compressed(x, size, self._uniform(n, 25, 95))

    def _scratches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mask = self._masks(len(x), x.shape[-1])
        return filled(self._grain(x, 15), mask), mask

    def _masks(self, n: int, size: int) -> Tensor:
        """Scratches from a bank drawn once, shifted; now and then a large hole, or everything."""
        if size not in self._holes:
            percents = torch.linspace(1, 30, 256, device=self.device)
            blank = torch.zeros(256, 3, size, size, device=self.device)
            drawn = Generator().manual_seed(0)
            self._holes[size] = deg.degrade(blank, "scratches", percents, generator=drawn)[1]
        bank = self._holes[size]
        masks = []
        for index in self.random.integers(len(bank), size=n):
            shift = self.random.integers(size, size=2).tolist()
            mask = bank[index].roll(shift, (1, 2))
            if self.random.random() < 0.2:
                height, width = self.random.integers(size // 6, size + 1, 2)
                if self.random.random() < 0.1:
                    height = width = size
                top = self.random.integers(size - height + 1)
                left = self.random.integers(size - width + 1)
                mask = torch.zeros_like(mask)
                mask[:, top : top + height, left : left + width] = 1
            masks.append(mask)
        return torch.stack(masks)

    def _grain(self, x: Tensor, sigma: float) -> Tensor:
        """Noise up to sigma on half of the photos."""
        sigmas = self._uniform(len(x), 0, sigma) * self._where(len(x), 0.5)
        return deg.add_noise(x, sigmas, self.generator)

    def _little_grain(self, x: Tensor) -> Tensor:
        """Noise up to 10 on four fifths of the photos, mostly far less, as photos have it."""
        sigmas = 10 * self._uniform(len(x), 0, 1) ** 2 * self._where(len(x), 0.8)
        return deg.add_noise(x, sigmas, self.generator)

    def _compressed(self, x: Tensor, size: int, quality: Tensor) -> Tensor:
        """JPEG, three times in ten with blocks that begin elsewhere, as in a JPEG cut to size."""
        top, left = self.random.integers(1, 8, 2) if self.random.random() < 0.3 else (0, 0)
        return _cut(deg.jpeg(x[..., top:, left:], quality), size, MARGIN - top, MARGIN - left)

    def _uniform(self, n: int, low: float, high: float) -> Tensor:
        values = torch.rand(n, generator=self.generator, device=self.device)
        return low + (high - low) * values

    def _where(self, n: int, share: float) -> Tensor:
        return self._uniform(n, 0, 1) < share


def _cut(x: Tensor, size: int, top: int = MARGIN, left: int = MARGIN) -> Tensor:
    """Cut a square out of what has a margin around it."""
    return x[..., top : top + size, left : left + size]


def _peak(photo: Tensor) -> Tensor:
    """`layers.peak` of a photo in 8 bits, (3, H, W): (1, 3, 1, 1)."""
    pixels = photo[None].float() / 255
    return peak(pixels, torch.zeros_like(pixels[:, :1]))


def _noisy_peak(peaks: Tensor, sigma: Tensor) -> Tensor:
    """Peaks (N, 3, 1, 1) once noise of sigma (N,), in 8-bit units, lies over the photo."""
    return (peaks + 2.5 * sigma.view(-1, 1, 1, 1) / 255).clamp(0, 1)
