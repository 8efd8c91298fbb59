"""What happens to photos: one implementation for training, evaluation and the page.

Every degradation takes clean photos (N, 3, H, W) in [0, 1], a severity in a person's units (one
number, or one per photo) and an explicit `torch.Generator`; it returns photos of the same shape
on the 8-bit grid, as a real file would hold them, and the mask of pixels that were lost. Random
numbers are drawn on the generator's device, so a CPU generator gives the same damage on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Generator, Tensor

from enhancers.images import quantise


@dataclass(frozen=True)
class Degradation:
    """One kind of damage and the scale on which its severity is given."""

    name: str
    title: str
    """Name for people."""
    unit: str
    """Unit of the severity."""
    low: float
    high: float
    default: float
    """A middle severity."""
    step: float
    """Step of a slider over [low, high]."""
    help: str
    """One sentence for people."""
    worse_when_higher: bool = True


_TABLE = (
    Degradation("noise", "Noise", "sigma, 0-255", 0, 55, 25, 1,
                "Sensor grain: Gaussian noise of this standard deviation, equal everywhere."),
    Degradation("shot", "Shot noise", "sigma at mid-grey", 0, 55, 25, 1,
                "Photon noise of a dim exposure: stronger in bright areas."),
    Degradation("blur", "Blur", "sigma, px", 0.4, 4, 1.6, 0.1,
                "Out of focus: Gaussian blur, with a little noise."),
    Degradation("motion", "Motion blur", "length, px", 3, 21, 9, 1,
                "A moving camera: a straight blur in a random direction, with a little noise."),
    Degradation("lowres", "Low resolution", "times smaller", 1.5, 4, 3, 0.5,
                "Shrunk this many times and enlarged again (bicubic)."),
    Degradation("jpeg", "JPEG", "quality", 10, 90, 20, 1,
                "Saved as a JPEG of this quality (4:2:0).", worse_when_higher=False),
    Degradation("dark", "Too dark", "gamma", 1.2, 2.8, 2.2, 0.1,
                "Underexposed: gamma curve, less exposure, and the noise of a dark photo."),
    Degradation("mixed", "Mixed", "level", 1, 5, 3, 0.5,
                "A well-travelled picture: blurred, shrunk, noisy and saved as JPEG."),
    Degradation("scratches", "Scratches", "% of the picture", 1, 30, 10, 1,
                "Scratches and stains whose place is known (inpainting)."),
)  # fmt: skip

DEGRADATIONS: dict[str, Degradation] = {d.name: d for d in _TABLE}
NAMES: tuple[str, ...] = tuple(DEGRADATIONS)


def parse(text: str) -> tuple[str, float]:
    """Read `name` or `name:severity`, as in `noise:25`; a bare name takes its default.

    Raises ValueError for an unknown name or a severity out of range.
    """
    name, colon, number = text.strip().partition(":")
    if name not in DEGRADATIONS:
        raise ValueError(f"Unknown degradation '{name}'; choose among {', '.join(NAMES)}.")
    degradation = DEGRADATIONS[name]
    if not colon:
        return name, degradation.default
    try:
        severity = float(number)
    except ValueError:
        raise ValueError(f"The severity in '{text}' must be a number, as in '{name}:"
                         f"{degradation.default:g}'.") from None  # fmt: skip
    if not degradation.low <= severity <= degradation.high:
        raise ValueError(
            f"The severity of {name} ({degradation.unit}) must lie between {degradation.low:g} "
            f"and {degradation.high:g}, but got {severity:g}."
        )
    return name, severity


def degrade(
    clean: Tensor, name: str, severity: float | Tensor, *, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Damage photos; the same generator state gives the same damage.

    clean: (N, 3, H, W) in [0, 1]. severity: in the unit of `DEGRADATIONS[name]`; a number, or
    (N,). Returns degraded (N, 3, H, W) on the 8-bit grid and mask (N, 1, H, W), 1 where lost.
    """
    severity = torch.as_tensor(severity, dtype=clean.dtype, device=clean.device)
    severity = severity.expand(clean.shape[0])
    if name == "scratches":
        mask = torch.cat([_holes(clean.shape[-2:], float(s), generator) for s in severity])
        mask = mask.to(clean)
        return quantise(torch.lerp(clean, torch.ones_like(clean), mask)), mask
    degraded = _PIXELWISE[name](clean, severity, generator)
    return quantise(degraded), clean.new_zeros(clean.shape[0], 1, *clean.shape[2:])


def add_noise(photo: Tensor, sigma: float | Tensor, generator: Generator) -> Tensor:
    """Gaussian noise of standard deviation sigma (8-bit units; a number or (N,)), unclipped."""
    noise = torch.randn(photo.shape, generator=generator, device=generator.device)
    return photo + noise.to(photo) * (_per_photo(sigma) / 255)


def add_shot_noise(photo: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
    """Poisson noise whose standard deviation at mid-grey is sigma (8-bit units, (N,))."""
    # Poisson(x P) / P has variance x / P; at x = 0.5 that is (sigma / 255)^2.
    photons = 0.5 * (255 / _per_photo(sigma.clamp(min=0.1))) ** 2
    counts = torch.poisson((photo * photons).to(generator.device), generator=generator)
    return counts.to(photo) / photons


def gaussian_blur(photo: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur; sigma in pixels, (N,)."""
    radius = max(1, int(3 * float(sigma.max()) + 1))
    offsets = torch.arange(-radius, radius + 1, device=photo.device)
    squared = offsets[:, None] ** 2 + offsets**2
    return _filter(photo, torch.exp(-squared / (2 * _per_photo(sigma)[:, 0] ** 2)))


def motion_blur(photo: Tensor, length: Tensor, angle: Tensor) -> Tensor:
    """Blur along a segment; length in pixels and angle in radians, (N,)."""
    radius = max(1, int(float(length.max()) / 2 + 1))
    y, x = torch.meshgrid(*[torch.arange(-radius, radius + 1, device=photo.device)] * 2,
                          indexing="ij")  # fmt: skip
    cos, sin = _per_photo(angle.cos())[:, 0], _per_photo(angle.sin())[:, 0]
    # A pixel's weight falls off linearly over one pixel around the segment.
    along = (x * cos + y * sin).abs()
    across = (y * cos - x * sin).abs()
    half = _per_photo(length)[:, 0] / 2
    return _filter(photo, (half + 0.5 - along).clamp(0, 1) * (1 - across).clamp(min=0))


def low_resolution(photo: Tensor, scale: Tensor) -> Tensor:
    """Shrink by `scale` ((N,), >= 1) and enlarge again, both bicubic and antialiased.

    The small picture is rounded to 8 bit, as its file would be.
    """
    H, W = photo.shape[-2:]
    results = []
    for one, s in zip(photo.split(1), scale.tolist(), strict=True):
        size = max(1, round(H / s)), max(1, round(W / s))
        small = F.interpolate(one, size, mode="bicubic", antialias=True, align_corners=False)
        large = F.interpolate(
            quantise(small), (H, W), mode="bicubic", antialias=True, align_corners=False
        )
        results.append(large)
    return torch.cat(results)


def jpeg(photo: Tensor, quality: Tensor) -> Tensor:
    """JPEG compression and decompression as libjpeg does it: 4:2:0, smooth chroma upsampling.

    photo: (N, 3, H, W) in [0, 1]. quality: (N,), 1-100, libjpeg's scale.
    """
    H, W = photo.shape[-2:]
    x = F.pad(quantise(photo) * 255, (0, -W % 16, 0, -H % 16), mode="replicate")
    ycc = torch.einsum("ij,njhw->nihw", _YCC.to(x), x).round()  # chroma centred on 0
    luma, chroma = ycc[:, :1] - 128, F.avg_pool2d(ycc[:, 1:], 2).round()
    luma = _code_blocks(luma, _table(_LUMA_TABLE, quality))
    chroma = _code_blocks(chroma, _table(_CHROMA_TABLE, quality))
    chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    decoded = torch.cat([luma + 128, chroma.round()], 1)
    rgb = torch.einsum("ij,njhw->nihw", _YCC.inverse().to(x), decoded)
    return (rgb[..., :H, :W] / 255).clamp(0, 1)


def darken(photo: Tensor, gamma: Tensor, exposure: Tensor) -> Tensor:
    """Gamma curve followed by a loss of exposure, each (N,)."""
    return photo.clamp(0, 1) ** _per_photo(gamma) * _per_photo(exposure)


# ---------------------------------------------------------------------------------------------
# From one severity to the parameters of each degradation


def _blur(clean: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
    return add_noise(gaussian_blur(clean, sigma), 2.0, generator)


def _motion(clean: Tensor, length: Tensor, generator: Generator) -> Tensor:
    angle = torch.rand(len(length), generator=generator, device=generator.device) * torch.pi
    return add_noise(motion_blur(clean, length, angle.to(clean)), 2.0, generator)


def _dark(clean: Tensor, gamma: Tensor, generator: Generator) -> Tensor:
    # Gamma 2.2 goes with exposure 0.6 and noise 5; both follow gamma linearly from "untouched".
    depth = (gamma - 1) / 1.2
    return add_noise(darken(clean, gamma, 1 - 0.4 * depth), 5 * depth, generator)


def _mixed(clean: Tensor, level: Tensor, generator: Generator) -> Tensor:
    x = gaussian_blur(clean, 0.3 * level)
    x = low_resolution(x, 1 + 0.3 * level)
    x = add_noise(x, 3 * level, generator).clamp(0, 1)
    return jpeg(x, 90 - 12 * level)


_PIXELWISE: dict[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "noise": add_noise,
    "shot": add_shot_noise,
    "blur": _blur,
    "motion": _motion,
    "lowres": lambda clean, scale, generator: low_resolution(clean, scale),
    "jpeg": lambda clean, quality, generator: jpeg(clean, quality),
    "dark": _dark,
    "mixed": _mixed,
}


# ---------------------------------------------------------------------------------------------
# Parts


def _per_photo(values: float | Tensor) -> float | Tensor:
    """(N,) -> (N, 1, 1, 1); a plain number stays one."""
    return values.view(-1, 1, 1, 1) if isinstance(values, Tensor) else values


def _filter(photo: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each photo with its own symmetric kernel (N, k, k) by FFT, borders mirrored."""
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    radius = kernels.shape[-1] // 2
    H, W = photo.shape[-2:]
    mirror_h, mirror_w = min(radius, H - 1), min(radius, W - 1)
    x = F.pad(photo, (mirror_w,) * 2 + (mirror_h,) * 2, mode="reflect")
    x = F.pad(x, (radius - mirror_w,) * 2 + (radius - mirror_h,) * 2, mode="replicate")
    size = x.shape[-2:]
    spectrum = torch.fft.rfft2(x) * torch.fft.rfft2(kernels, s=size)[:, None]
    # The kernel's centre lies at `radius`, so the valid part begins at twice that.
    return torch.fft.irfft2(spectrum, s=size)[..., 2 * radius :, 2 * radius :].to(photo)


# JFIF: RGB -> luma, and chroma centred on zero.
_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    dtype=torch.float64,
)

# Quantisation tables of ITU-T T.81, annex K.1.
_LUMA_TABLE = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
_CHROMA_TABLE = torch.full((8, 8), 99)
_CHROMA_TABLE[:4, :4] = torch.tensor(
    [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
)

# Orthonormal DCT-II: row k holds the k-th cosine.
_k = torch.arange(8, dtype=torch.float64)
_DCT = torch.cos(torch.pi * (2 * _k + 1) * _k[:, None] / 16) / 2
_DCT[0] /= 2**0.5


def _table(base: Tensor, quality: Tensor) -> Tensor:
    """Quantisation tables (N, 8, 8) for libjpeg's quality scale."""
    quality = quality.round().clamp(1, 100)
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((base.to(quality) * scale.view(-1, 1, 1) + 50) / 100).floor().clamp(1, 255)


def _code_blocks(plane: Tensor, table: Tensor) -> Tensor:
    """Quantise the DCT of each 8x8 block; (N, C, H, W) around zero, table (N, 8, 8)."""
    N, C, H, W = plane.shape
    dct = _DCT.to(plane)
    blocks = plane.view(N, C, H // 8, 8, W // 8, 8).transpose(3, 4)  # (N, C, H/8, W/8, 8, 8)
    table = table.view(N, 1, 1, 1, 8, 8)
    coefficients = (dct @ blocks @ dct.T / table).round() * table
    blocks = (dct.T @ coefficients @ dct).round().clamp(-128, 127)
    return blocks.transpose(3, 4).reshape(N, C, H, W)


def _holes(size: tuple[int, int], percent: float, generator: Generator) -> Tensor:
    """Draw scratches and stains until `percent` of the picture is covered; (1, 1, H, W)."""
    H, W = size
    seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    random = np.random.default_rng(int(seed))
    # Drawn at up to 768 px and enlarged, so that strokes scale with the photo.
    shrink = max(1.0, max(H, W) / 768)
    h, w = max(1, round(H / shrink)), max(1, round(W / shrink))
    canvas = Image.new("L", (w, h))
    draw = ImageDraw.Draw(canvas)
    while np.asarray(canvas).mean() < 255 * percent / 100:
        start = random.uniform((0, 0), (w, h))
        if random.random() < 0.15:
            radius = random.uniform(1, 2 + 0.04 * max(h, w), 2)
            draw.ellipse([*(start - radius), *(start + radius)], fill=255)
            continue
        turns = random.normal(random.uniform(0, 2 * np.pi), 0.35, 5)
        lengths = random.uniform(4, 8 + 0.15 * max(h, w), 5)
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * lengths[:, None]
        points = [start, *(start + steps.cumsum(0))]
        width = int(random.integers(1, 5))
        draw.line([tuple(p) for p in points], fill=255, width=width, joint="curve")
    canvas = canvas.resize((W, H), Image.Resampling.NEAREST)
    return torch.from_numpy(np.asarray(canvas) > 0).float()[None, None]
