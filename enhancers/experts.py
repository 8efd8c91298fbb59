"""Experts: ladders that share what they do at 1/8 of the resolution, one per family of damage.

One network for every damage compromises: trained on noise alone for ten minutes, the same ladder
gained half a decibel on noise and forgot the rest. What differs is how fine detail is read and
written, so each family has its own layers there, and a router chooses (a mixture of experts with
hard routing, cf. Shazeer et al. 2017). A photo passes through one expert: it takes no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhancers.base import pad_to_multiple
from enhancers.ladder import DETAIL_SCALE, Ladder, LadderConfig, detail
from enhancers.layers import conv3x3, kaiming
from enhancers.weights import load_network

FAMILIES: dict[str, tuple[str, ...]] = {
    "grain": ("noise", "shot"),
    "softness": ("blur", "motion"),
    "coarseness": ("lowres",),
    "blocks": ("jpeg", "mixed"),
    "darkness": ("dark",),
    "holes": ("scratches",),
}
"""Families of damage and their members. Undamaged photos may go with any of the first four."""

GRAIN, COARSENESS, DARKNESS, HOLES = (
    list(FAMILIES).index(name) for name in ("grain", "coarseness", "darkness", "holes")
)

COARSENESS_BONUS = 0.5
"""Added to the router's logit for coarseness: blur is more frequent in training, and strong blur
and the lowest resolutions look alike. Best of 0 to 0.8 on validation photos."""

WINDOW, MAX_WINDOWS = 96, 3
"""The router sees at most 3 x 3 windows of 96 x 96 pixels, spread over the photo."""


class Router(nn.Module):
    """Tells the first four families of damage apart.

    Darkness and holes need no telling: the photo's exposure and the mask show them.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            conv3x3(4 * 6, 32),
            nn.ReLU(inplace=True),
            conv3x3(32, 48, stride=2),
            nn.ReLU(inplace=True),
            conv3x3(48, 64, stride=2),
            nn.ReLU(inplace=True),
        )
        self.verdict = nn.Sequential(
            kaiming(nn.Linear(64, 64)), nn.ReLU(inplace=True), kaiming(nn.Linear(64, DARKNESS), 0.1)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the first four families, (N, 4), of pictures (N, windows, 3, h, w) in [0, 1].

        Sides divisible by 4. A photo's windows are judged together.
        """
        x = pictures.flatten(0, 1)
        x = F.pixel_unshuffle(torch.cat([2 * x - 1, DETAIL_SCALE * detail(x)], 1), 2)
        found = self.layers(x).mean((2, 3)).unflatten(0, pictures.shape[:2])
        return self.verdict(found.mean(1))


class Experts(nn.Module):
    """One ladder per family of damage, and the router that chooses among them."""

    multiple = Ladder.multiple

    def __init__(self, ladder: type[Ladder], config: LadderConfig):
        super().__init__()
        self.config = config
        self.router = Router()
        self.ladders = nn.ModuleList(ladder(config) for _ in FAMILIES)
        first = self.ladders[0]
        for other in self.ladders[1:]:
            other.lift, other.encode8, other.decode8 = first.lift, first.encode8, first.decode8
            other.posteriors[0], other.embed[0] = first.posteriors[0], first.embed[0]

    @property
    def lift(self) -> nn.Module:
        """The tone curve, one for all experts."""
        return self.ladders[0].lift

    def own(self, family: int) -> list[nn.Parameter]:
        """Weights of one expert that no other shares."""
        others = [ladder for i, ladder in enumerate(self.ladders) if i != family]
        shared = {weights for ladder in others for weights in ladder.parameters()}
        return [weights for weights in self.ladders[family].parameters() if weights not in shared]

    def families(self, degraded: Tensor, mask: Tensor, exposure: Tensor) -> Tensor:
        """Choose an expert for each whole photo: indices into `FAMILIES`, (N,).

        degraded: (N, 3, H, W) in [0, 1]. mask: (N, 1, H, W), 1 where a pixel is unknown.
        exposure: (N, 12), from `layers.exposure`. The router decides unless holes or too little
        light do.
        """
        logits = self.router(windows(degraded))
        logits[:, COARSENESS] += COARSENESS_BONUS
        chosen = logits.argmax(1)
        chosen = torch.where(self.lift.sure(exposure).flatten(), DARKNESS, chosen)
        return torch.where(mask.amax((1, 2, 3)) > 0, HOLES, chosen)

    def of(self, degraded: Tensor, mask: Tensor, exposure: Tensor) -> Ladder:
        """Return the expert for one whole photo, (1, 3, H, W); see `families`."""
        return self.ladders[int(self.families(degraded, mask, exposure))]

    def forward(self, families: Tensor, call: Callable, *inputs: Tensor):
        """Let each photo's expert do something with its share of `inputs`.

        families: (N,), from `families`. call: gets the expert and its photos' part of each input,
        (n, ...); returns a tensor or a tuple of tensors, (n, ...). Photos of one family should
        stand together. Returns what `call` does, for all photos.
        """
        runs, sizes = torch.unique_consecutive(families, return_counts=True)
        if len(runs) == 1:
            return call(self.ladders[int(runs[0])], *inputs)
        parts = zip(*(x.split(sizes.tolist()) for x in inputs), strict=True)
        results = [
            call(self.ladders[family], *part)
            for family, part in zip(runs.tolist(), parts, strict=True)
        ]
        if isinstance(results[0], Tensor):
            return torch.cat(results)
        return tuple(torch.cat(result) for result in zip(*results, strict=True))


def load_experts(ladder: type[Ladder], folder: Path) -> Experts:
    """Load experts of a kind of ladder; see `weights.load_network`."""
    return load_network(partial(Experts, ladder), LadderConfig, folder)


def windows(photos: Tensor) -> Tensor:
    """Cut windows spread over whole photos, (N, C, H, W): (N, windows, C, h, w).

    They begin at multiples of 8 pixels, as JPEG's blocks do.
    """
    photos = pad_to_multiple(photos, 4)
    H, W = photos.shape[-2:]
    cut = [
        photos[..., top : top + WINDOW, left : left + WINDOW]
        for top in _starts(H)
        for left in _starts(W)
    ]
    return torch.stack(cut, 1)


def _starts(length: int) -> list[int]:
    """First pixels of up to `MAX_WINDOWS` windows along one side, evenly spread."""
    count = max(1, min(MAX_WINDOWS, length // WINDOW))
    if count == 1:
        return [max(0, length - WINDOW) // 2 // 8 * 8]
    return [i * (length - WINDOW) // (count - 1) // 8 * 8 for i in range(count)]
