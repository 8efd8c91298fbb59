"""Building blocks the three networks share: norm-free convolutions and the input and output forms.

Nothing is normalised: on a blind mixture of degradations the scale of the features carries
information that group or layer norms remove, and whole photos then behave like training crops.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
"""Of a thumbnail's brightness, which tell how the whole photo is exposed."""

PEAK = 0.999
"""Quantile of the pixels of each colour that counts as their brightest."""

TONES = len(QUANTILES) + 3
"""Numbers that tell how bright a photo is: the quantiles, and the peak of each colour."""

EXPOSURE = TONES + 1
"""Numbers that describe an exposure: its tones, and its grain."""

MIN_LIFT = 1.25
"""Gamma below which `Lift` leaves a photo alone."""

MIN_GRAIN, MAX_GRAIN = 2.6 / 255, 10 / 255
"""Grain between which `Lift` may brighten a photo: too little light leaves some, never much.

Of the underexposed training photos that need it, 99.5% have a grain below 9 / 255. Noise makes
the quantiles of a good photo of a dark thing those of an underexposed one, but is seldom as weak.
"""

SMOOTHINGS = 2
"""Times that `filled` replaces what it fills in by the mean of its neighbours, per size."""

INPUT_CHANNELS = 7
"""Channels `network_input` makes of a photo."""

HEAD_CHANNELS = 4 * 6
"""Channels of `Head` at half the resolution: residual and gain, each of RGB."""


def conv3x3(inputs: int, outputs: int, *, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """3x3 convolution, its weights Kaiming-normal times `gain`, its bias zero."""
    return kaiming(nn.Conv2d(inputs, outputs, 3, stride, 1), gain)


def conv1x1(inputs: int, outputs: int, *, gain: float = 1.0) -> nn.Conv2d:
    """1x1 convolution, its weights Kaiming-normal times `gain`, its bias zero."""
    return kaiming(nn.Conv2d(inputs, outputs, 1), gain)


def kaiming(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Initialise a layer: weights Kaiming-normal (for ReLU) times `gain`, bias zero."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    layer.weight.data *= gain
    nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))); starts close to the identity. (N, C, H, W) -> same."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, channels, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features."""
        return self.conv2(F.relu(self.conv1(x), inplace=True)).add_(x)  # in place: 4% faster


def blocks(channels: int, count: int) -> nn.Sequential:
    """Return `count` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


def up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Double the resolution: (N, C, H, W) -> (N, C', 2H, 2W)."""
    layer = nn.ConvTranspose2d(inputs, outputs, 2, 2)
    nn.init.normal_(layer.weight, std=0.7 * math.sqrt(2 / inputs))  # each pixel has one source
    nn.init.zeros_(layer.bias)
    return layer


def stem(outputs: int) -> nn.Conv2d:
    """Take in what `network_input` returns: (N, 7, H, W) -> (N, C, H/2, W/2).

    A 3x3 convolution of pixels that stand side by side in 2x2 squares, without the reordering.
    """
    return kaiming(nn.Conv2d(INPUT_CHANNELS, outputs, 6, 2, 2))


def down(inputs: int, outputs: int) -> nn.Conv2d:
    """Halve the resolution: (N, C, H, W) -> (N, C', H/2, W/2)."""
    return kaiming(nn.Conv2d(inputs, outputs, 2, 2), gain=0.7)


def filled(photo: Tensor, mask: Tensor) -> Tensor:
    """Continue the known pixels smoothly over the unknown ones, (N, 3, H, W); grey if all are.

    Averages of the known pixels over ever larger squares, enlarged again where nothing finer is
    known (pull-push, Gortler et al. 1996), smoothed a little at each size.
    """
    if not mask.any():
        return photo
    if photo.shape[-2:] == (1, 1):
        return torch.where(mask > 0, 0.5, photo)
    known, squares = 1 - mask, {"kernel_size": 2, "ceil_mode": True, "count_include_pad": False}
    share = F.avg_pool2d(known, **squares)
    mean = F.avg_pool2d(photo * known, **squares) / share.clamp(min=0.25)
    coarse = filled(mean, (share == 0).to(mask))
    enlarged = F.interpolate(coarse, photo.shape[-2:], mode="bilinear")
    result = torch.lerp(photo, enlarged, mask)
    for _ in range(SMOOTHINGS):
        x = F.pad(result, (1, 1, 1, 1), mode="replicate")
        sides = x[..., :-2, 1:-1], x[..., 2:, 1:-1], x[..., 1:-1, :-2], x[..., 1:-1, 2:]
        result = torch.lerp(result, sum(sides) / 4, mask)
    return result


def thumbnail(degraded: Tensor, mask: Tensor) -> Tensor:
    """Average the known pixels over a 64x64 grid; (N, 3, 64, 64), grey where none is known."""
    known = F.adaptive_avg_pool2d(1 - mask, 64)
    total = F.adaptive_avg_pool2d(degraded * (1 - mask), 64)
    return torch.where(known > 0, total / known.clamp(min=1e-6), 0.5)


def peak(degraded: Tensor, mask: Tensor) -> Tensor:
    """Brightest value of each colour among the known pixels, (N, 3, 1, 1); a few may exceed it.

    Nearly every well exposed photo has a pixel near white; an underexposed one has none.
    """
    stride = math.ceil(math.sqrt(degraded[0, 0].numel() / 2**16))
    seen, unknown = (x[..., ::stride, ::stride] for x in (degraded, mask))
    pixels = (seen * (1 - unknown)).flatten(2)
    above = pixels.shape[2] - math.ceil(PEAK * pixels.shape[2]) + 1
    return pixels.topk(above, dim=2)[0][..., -1:, None]


def grain(degraded: Tensor) -> Tensor:
    """Estimate the standard deviation of the noise in photos, (N, 3, H, W) -> (N, 1).

    The median of the finest diagonal Haar details (Donoho and Johnstone 1994). Too little light
    leaves grain; a good photo of a dark thing has none.
    """
    H, W = (max(2, side - side % 2) for side in degraded.shape[-2:])
    stride = 2 * math.ceil(math.sqrt(H * W / 2**17))
    whole = F.pad(degraded, (0, 1, 0, 1), mode="replicate")[..., :H, :W]
    a, b, c, d = (whole[..., y::stride, x::stride] for y in (0, 1) for x in (0, 1))
    sizes = (a - b - c + d).abs().flatten(1) / 2
    return sizes.median(1, keepdim=True)[0] / 0.6745


def exposure(degraded: Tensor, mask: Tensor) -> Tensor:
    """Describe the exposure of a whole photo, (N, 3, H, W) and mask (N, 1, H, W): (N, 12).

    A dark crop may be the shadow of a good photo or part of an underexposed one; only the whole
    photo tells which. Taken of the whole photo once, it is the same for all its tiles.
    """
    return describe(thumbnail(degraded, mask), peak(degraded, mask), grain(degraded))


def describe(thumbnail: Tensor, peak: Tensor, grain: Tensor) -> Tensor:
    """Describe an exposure by what the functions of these names return: (N, 12)."""
    luma = thumbnail.mean(1).flatten(1)
    quantiles = torch.quantile(luma, luma.new_tensor(QUANTILES), dim=1).T
    return torch.cat([quantiles, peak.flatten(1), grain], 1)


class Lift(nn.Module):
    """Tone curve of a whole photo, read off its exposure: brightens underexposed photos.

    It undoes a gamma curve and a loss of exposure, one of each per photo. It is fitted first, on
    thumbnails alone (`training.lift`), where these two numbers explain most of what underexposure
    did; a deep network asked to find them beside noise and blur learns them last.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            kaiming(nn.Linear(TONES, 64)),
            nn.ReLU(),
            kaiming(nn.Linear(64, 64)),
            nn.ReLU(),
            kaiming(nn.Linear(64, 2), 0.01),
        )

    def forward(self, photo: Tensor, exposure: Tensor) -> Tensor:
        """Brighten `photo`, (N, 3, H, W) in [0, 1], by its exposure, (N, 12); same shape.

        A photo of which it is not sure stays as it is: half a correction spoils a good photo of
        a dark thing and hardly helps a dark one.
        """
        sure = self.sure(exposure)
        if not sure.any():
            return photo
        return torch.where(sure, undarkened(photo, *self.curve(exposure)), photo)

    def sure(self, exposure: Tensor) -> Tensor:
        """Whether photos are underexposed beyond doubt, (N, 1, 1, 1)."""
        gamma, _ = self.curve(exposure)
        grain = exposure[:, TONES:, None, None]
        return (gamma > MIN_LIFT) & (grain > MIN_GRAIN) & (grain < MAX_GRAIN)

    def curve(self, exposure: Tensor) -> tuple[Tensor, Tensor]:
        """Gamma and exposure to undo, each (N, 1, 1, 1), sure or not."""
        logs = self.layers(2 * exposure[:, :TONES] - 1)[..., None, None]
        gamma, gain = logs.clamp(-1.5, 1.5).exp().split(1, 1)
        return gamma, gain


def undarkened(photo: Tensor, gamma: Tensor, gain: Tensor) -> Tensor:
    """Undo `gain * photo ** gamma`, clamped to [0, 1]."""
    # Not below half an 8-bit step, where the curve is steep without bound.
    return (photo.clamp(min=0.5 / 255) / gain).pow(1 / gamma).clamp(0, 1)


class Head(nn.Module):
    """Corrects a photo by what the features say: a residual, and a gain towards its root.

    base: (N, 3, H, W), about [0, 1]. features: (N, C, H/2, W/2).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv3x3(channels, HEAD_CHANNELS, gain=0.01)

    def forward(self, base: Tensor, features: Tensor) -> Tensor:
        """Return the corrected photo, (N, 3, H, W)."""
        return correct(base, self.conv(features))


def correct(base: Tensor, head: Tensor) -> Tensor:
    """Apply head channels, (N, 24, H/2, W/2), to `base`, (N, 3, H, W)."""
    residual, gain = F.pixel_shuffle(head, 2).chunk(2, 1)
    return towards_root(base, gain).add_(residual)


def towards_root(photo: Tensor, gain: Tensor) -> Tensor:
    """Move values towards their square roots by a gain (1: all the way)."""
    # Below one 8-bit step the root's slope would be noise (and its gradient without bound).
    return torch.addcmul(photo, gain, photo.clamp(1 / 255, 1).sqrt() - photo)


def network_input(degraded: Tensor, lifted: Tensor, mask: Tensor) -> Tensor:
    """Stack what a network sees of a photo: itself, itself lifted, and the mask.

    degraded, lifted: (N, 3, H, W) in [0, 1]. mask: (N, 1, H, W). Returns (N, 7, H, W).
    """
    seen = torch.cat([2 * degraded - 1, 2 * lifted - 1, mask], 1)
    return seen.contiguous(memory_format=torch.channels_last)
