"""Inside the VAE: a photo as its code, the code edited, mixed, sampled, and what it costs.

`python -m enhancers.inside.vae --data DIR` finds the directions in which the code of any photo
moves when the photo gets brighter, richer in contrast, sharper or more colourful, and writes them
to `assets/vae_directions.safetensors` with the checksum of the weights they belong to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from enhancers.base import autocast
from enhancers.experts import HOLES
from enhancers.images import ImageError, list_images, load
from enhancers.inside import Given, given, luma
from enhancers.vae import VAE, Latents, VAEEnhancer
from enhancers.weights import FOLDER

DIRECTIONS = FOLDER.parent / "vae_directions.safetensors"
LEVELS = (8, 4, 2)
"""Pixels per position of each level of the code, along each side."""

UNIT = 0.2
"""An edit of strength 1 multiplies what it changes by 1.2, and one of strength -1 by 0.8."""

STRENGTHS = tuple(s / 2 for s in range(-8, 9))
"""Strengths at which the effect of a direction is measured; its slider reaches no further."""

FLOOR = 2.0
"""Levels below which a photo has too little of what is measured to lose any, as grey has colour."""

CROP = 128
"""Side of the crops the directions are found on."""


# ---------------------------------------------------------------------------------------------
# Codes


@dataclass(frozen=True)
class Code:
    """A photo as the VAE holds it."""

    network: VAE
    """The expert for the photo's damage."""
    given: Given
    encoded: list[tuple[Tensor, Tensor]]
    """The encoder's features and bands, from which the decoder computes the posteriors."""
    levels: list[Latents]
    """At 1/8, 1/4 and 1/2 of the resolution."""
    restored: Tensor
    """The decoded posterior means, (1, 3, H, W) in [0, 1]: what the enhancer returns."""

    @property
    def means(self) -> list[Tensor]:
        """Posterior mean of each level, (1, C, H/f, W/f)."""
        return [level.mean for level in self.levels]


@torch.inference_mode()
def encode(vae: VAEEnhancer, degraded: Tensor, mask: Tensor | None = None) -> Code:
    """Encode a photo and decode its posterior means."""
    seen = given(degraded, mask, vae.device)
    return _encode(vae.network.of(seen.degraded, seen.mask, seen.exposure), seen)


def _encode(network: VAE, seen: Given) -> Code:
    with autocast(seen.degraded.device):
        encoded = network.encode(seen.degraded, seen.mask, seen.exposure)
        restored, levels = network.decode(encoded)
    return Code(network, seen, encoded, levels, _picture(restored))


@torch.inference_mode()
def decode(code: Code, latents: Sequence[Tensor]) -> Tensor:
    """Decode latents of the sizes of `code.means` in place of these; (1, 3, H, W) in [0, 1]."""
    with autocast(code.given.degraded.device):
        restored, _ = code.network.decode(code.encoded, given=list(latents))
    return _picture(restored)


@torch.inference_mode()
def between(first: Code, second: Code, share: float) -> Tensor:
    """Decode the code that lies `share` (0-1) of the way from one photo's code to another's.

    Both codes are those of the first photo's expert.
    """
    if second.network is not first.network:
        second = _encode(first.network, second.given)
    mixed = [
        torch.lerp(a.float(), b.float(), share)
        for a, b in zip(first.means, second.means, strict=True)
    ]
    return decode(first, mixed)


@torch.inference_mode()
def samples(code: Code, n: int, seed: int = 0) -> Iterator[Tensor]:
    """Yield n decoded samples of a photo's posterior, (1, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        noise = [torch.randn(m.shape, generator=generator).to(m) for m in code.means]
        with autocast(code.given.degraded.device):
            restored, _ = code.network.decode(code.encoded, noise=noise)
        yield _picture(restored)


@torch.inference_mode()
def from_prior(vae: VAEEnhancer, n: int, size: int, seed: int = 0) -> Tensor:
    """Decode n codes drawn from the prior alone, (n, 3, size, size) in [0, 1].

    The expert is the one for holes, which has filled whole photos in.
    """
    generator = torch.Generator().manual_seed(seed)
    network = vae.network.ladders[HOLES]
    shapes = network.latent_shapes(n, size, size)
    noise = [torch.randn(shape, generator=generator).to(vae.device) for shape in shapes]
    with autocast(vae.device):
        drawn, _ = network.decode(noise=noise)
    return _picture(drawn)


@torch.inference_mode()
def partial(code: Code, levels: int) -> Tensor:
    """Decode a photo from its first levels alone, 1 to 3, the coarse one first.

    The others are left to what the prior expects, given those above.
    """
    if levels == len(code.means):
        return code.restored
    kept = [*code.means[:levels], *[None] * (len(code.means) - levels)]
    silence = [torch.zeros_like(mean) for mean in code.means]
    with autocast(code.given.degraded.device):
        restored, _ = code.network.decode(noise=silence, given=kept)
    return _picture(restored)


def nats(code: Code) -> list[Tensor]:
    """Where the code spends its information: per level, KL in nats, (H/f, W/f).

    The sum of a map is the level's KL divergence of posterior and prior, as training counts it.
    """
    return [level.kl().float().sum((0, 1)) for level in code.levels]


def _picture(restored: Tensor) -> Tensor:
    return restored.float().clamp(0, 1).cpu()


# ---------------------------------------------------------------------------------------------
# Edits, and what they change


def brightness(photo: Tensor) -> float:
    """Mean luma, in levels of 255."""
    return 255 * float(luma(photo).mean())


def contrast(photo: Tensor) -> float:
    """Local contrast: standard deviation of luma in windows of 15 pixels, averaged; in levels."""
    grey = luma(photo)
    window = {"kernel_size": min(15, *grey.shape[-2:]), "stride": 1}
    mean = F.avg_pool2d(grey, **window)
    variance = F.avg_pool2d(grey.square(), **window) - mean.square()
    return 255 * float(variance.clamp(min=0).sqrt().mean())


def sharpness(photo: Tensor) -> float:
    """Root mean square of the Laplacian of luma (four neighbours), in levels of 255."""
    grey = F.pad(luma(photo), (1, 1, 1, 1), mode="replicate")
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return 255 * float((around - 4 * grey[..., 1:-1, 1:-1]).square().mean().sqrt())


def colourfulness(photo: Tensor) -> float:
    """Mean chroma, the distance from grey in BT.601's two colour differences; in levels."""
    grey = luma(photo)
    blue, red = 0.564 * (photo[:, 2:] - grey), 0.713 * (photo[:, :1] - grey)
    return 255 * float((blue.square() + red.square()).sqrt().mean())


def brighten(photo: Tensor, factor: float) -> Tensor:
    """Multiply brightness."""
    return photo * factor


def add_contrast(photo: Tensor, factor: float) -> Tensor:
    """Multiply the distance of every pixel from the photo's mean luma."""
    return torch.lerp(luma(photo).mean((2, 3), keepdim=True), photo, factor)


def sharpen(photo: Tensor, factor: float) -> Tensor:
    """Multiply, twice as strongly as the others, the distance from a 3x3 mean."""
    soft = F.avg_pool2d(F.pad(photo, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(soft, photo, 2 * factor - 1)


def colour(photo: Tensor, factor: float) -> Tensor:
    """Multiply the distance of every pixel from grey."""
    return torch.lerp(luma(photo), photo, factor)


@dataclass(frozen=True)
class Edit:
    """A change to a photo that the code can be asked for, and how to measure it."""

    name: str
    unit: str
    """What `measure` returns."""
    apply: Callable[[Tensor, float], Tensor]
    """(photo, factor) -> photo; a factor of 1 changes nothing."""
    measure: Callable[[Tensor], float]


_TABLE = (
    Edit("brightness", "mean luma, levels of 255", brighten, brightness),
    Edit("contrast", "local contrast, levels of 255", add_contrast, contrast),
    Edit("sharpness", "RMS of the Laplacian, levels of 255", sharpen, sharpness),
    Edit("colourfulness", "mean chroma, levels of 255", colour, colourfulness),
)
EDITS: dict[str, Edit] = {edit.name: edit for edit in _TABLE}


# ---------------------------------------------------------------------------------------------
# Directions


@dataclass(frozen=True)
class Direction:
    """How the code of any photo moves as the photo is edited.

    Brightness shifts a code, but contrast, sharpness and colour stretch it: a photo twice as rich
    in contrast has about twice the code, so no vector is right for every photo. A direction is
    therefore an affine function of the code: z -> A [z, mean of z over the photo, 1], at each
    position and level. Its last column alone would be the usual mean difference.
    """

    matrices: tuple[Tensor, ...]
    """A of each level, (C, 2 C + 1): change of the latents per unit of strength."""
    low: float
    """Strengths between which the effect grows steadily on the photos it was measured on."""
    high: float
    effect: tuple[float, ...]
    """Mean of `Edit.measure` after decoding, at each of `STRENGTHS`."""

    def at(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """Return the direction for these latents, one tensor per level of their shapes."""
        return [_affine(a, z) for a, z in zip(self.matrices, latents, strict=True)]


def edited(
    code: Code,
    directions: Mapping[str, Direction],
    strengths: Mapping[str, float],
) -> Tensor:
    """Decode a photo's code moved along directions by strengths, both by the edit's name."""
    latents = code.means
    moved = [z.float() for z in latents]
    for name, strength in strengths.items():
        steps = directions[name].at(latents)
        moved = [z + strength * step for z, step in zip(moved, steps, strict=True)]
    return decode(code, moved)


def _features(latents: Tensor) -> Tensor:
    """[z, mean of z, 1] at each position: (N, C, h, w) -> (N h w, 2 C + 1)."""
    z = latents.float()
    mean = z.mean((2, 3), keepdim=True).expand_as(z)
    return torch.cat([z, mean, torch.ones_like(z[:, :1])], 1).movedim(1, -1).flatten(0, 2)


def _affine(matrix: Tensor, latents: Tensor) -> Tensor:
    N, C, h, w = latents.shape
    change = _features(latents) @ matrix.to(latents.device).T
    return change.view(N, h, w, C).movedim(-1, 1)


@torch.inference_mode()
def find_directions(
    vae: VAEEnhancer,
    photos: Sequence[Tensor],
    progress: Callable[[int, int], None] = lambda i, n: None,
) -> dict[str, Direction]:
    """Find the directions of all `EDITS` in closed form, and how far they work.

    photos: each (1, 3, H, W) in [0, 1]. The directions are the least squares fit of half the
    difference of the codes of each photo edited up and down; every fourth photo is left out of
    the fit, and the effects are measured on these. `progress(i, n)` is called after each photo.
    Raises ValueError for fewer than four photos.
    """
    if len(photos) < 4:
        raise ValueError(f"Expected at least four photos, but got {len(photos)}.")
    kept = photos[3::4]
    n = len(photos)
    sizes = [2 * c + 1 for c in vae.network.config.latents]
    squares = [torch.zeros(k, k, dtype=torch.float64) for k in sizes]
    products = {name: [torch.zeros(k, k // 2, dtype=torch.float64) for k in sizes]
                for name in EDITS}  # fmt: skip
    for i, photo in enumerate(p for j, p in enumerate(photos) if j % 4 != 3):
        code = encode(vae, photo)
        features = [_features(z).double().cpu() for z in code.means]
        for square, x in zip(squares, features, strict=True):
            square += x.T @ x
        for name, edit in EDITS.items():
            up, down = (_edited_means(code, edit, s) for s in (1, -1))
            for product, x, a, b in zip(products[name], features, up, down, strict=True):
                half = (a.float() - b.float()) / 2
                product += x.T @ half.movedim(1, -1).flatten(0, 2).double().cpu()
        progress(i + 1, n)
    directions = {}
    for name in EDITS:
        matrices = tuple(_solve(*pair) for pair in zip(squares, products[name], strict=True))
        directions[name] = Direction(matrices, 0, 0, ())
    effects = {name: [] for name in EDITS}
    for i, photo in enumerate(kept):
        code = encode(vae, photo)
        for name, direction in directions.items():
            effects[name].append(
                [EDITS[name].measure(edited(code, {name: direction}, {name: s})) for s in STRENGTHS]
            )
        progress(n - len(kept) + i + 1, n)
    return {
        name: Direction(
            direction.matrices,
            *steady_range(effects[name]),
            tuple(torch.tensor(effects[name]).mean(0).tolist()),
        )
        for name, direction in directions.items()
    }


def _solve(square: Tensor, product: Tensor) -> Tensor:
    """Least squares with a trace of ridge, which keeps channels that are always 0 out of it."""
    ridge = 1e-6 * square.trace() / len(square) * torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square + ridge, product).T.float().contiguous()


def _edited_means(code: Code, edit: Edit, strength: float) -> list[Tensor]:
    """Posterior means of a photo edited in its pixels, taken for as exposed as it was."""
    photo = edit.apply(code.given.degraded, 1 + UNIT * strength).clamp(0, 1)
    return _encode(code.network, Given(photo, code.given.mask, code.given.exposure)).means


def steady_range(effects: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the widest range of strengths around 0 over which every photo's effect grows.

    effects: per photo, the measure at each of `STRENGTHS`. Photos below `FLOOR` do not count.
    """
    low = high = STRENGTHS.index(0)
    telling = [pairwise(values) for values in effects if values[low] > FLOOR]
    grows = [all(b > a for a, b in pairs) for pairs in zip(*telling, strict=True)]
    while low > 0 and grows[low - 1]:
        low -= 1
    while high < len(grows) and grows[high]:
        high += 1
    return STRENGTHS[low], STRENGTHS[high]


def save_directions(directions: Mapping[str, Direction], path: Path, sha256: str) -> None:
    """Write directions, naming the weights they belong to."""
    tensors = {f"{name}.{level}": matrix for name, direction in directions.items()
               for level, matrix in zip(LEVELS, direction.matrices, strict=True)}  # fmt: skip
    notes = {
        name: {"low": direction.low, "high": direction.high, "effect": direction.effect}
        for name, direction in directions.items()
    }
    metadata = {"weights_sha256": sha256, "directions": json.dumps(notes)}
    save_file(tensors, path, metadata)


def load_directions(sha256: str, path: Path = DIRECTIONS) -> dict[str, Direction]:
    """Read the directions of the weights with this checksum, by the names of `EDITS`.

    Raises ValueError where there are none, or where they belong to other weights.
    """
    if not path.is_file():
        raise ValueError(f"There are no directions at {path.name}; {_HOW}")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if metadata["weights_sha256"] != sha256:
            raise ValueError(f"{path.name} belongs to other weights of the VAE; {_HOW}")
        return {
            name: Direction(
                tuple(file.get_tensor(f"{name}.{level}") for level in LEVELS),
                note["low"],
                note["high"],
                tuple(note["effect"]),
            )
            for name, note in json.loads(metadata["directions"]).items()
        }


_HOW = "find them with `python -m enhancers.inside.vae --data DIR`."


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m enhancers.inside.vae",
        description="Find the directions of the VAE's code that edit photos.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=120, help="how many of them to use")
    parser.add_argument("--out", type=Path, default=DIRECTIONS, help="file to write")
    arguments = parser.parse_args(argv)
    crops = []
    for path in list_images([arguments.data])[: arguments.photos]:
        try:
            crops.append(_centre(load(path).pixels))
        except ImageError as error:
            print(f"skipped: {error}", file=sys.stderr)
    vae = VAEEnhancer(FOLDER / "vae", torch.device("cpu"))
    try:
        directions = find_directions(
            vae, crops, lambda i, n: print(f"\r{i} of {n} photos", end="", flush=True)
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    save_directions(directions, arguments.out, vae.spec.sha256)
    for name, direction in directions.items():
        ends = direction.effect[0], direction.effect[len(STRENGTHS) // 2], direction.effect[-1]
        print(
            f"\n{name}: steady from {direction.low:g} to {direction.high:g}; {EDITS[name].unit}: "
            + " ".join(f"{value:.1f}" for value in ends),
            end="",
        )
    print()
    return 0


def _centre(photo: Tensor) -> Tensor:
    """Cut out the centre, halved where the photo is large, so that it shows more than a detail."""
    if min(photo.shape[-2:]) >= 4 * CROP:
        photo = F.avg_pool2d(photo, 2)
    if min(photo.shape[-2:]) < CROP:
        photo = F.interpolate(photo, (CROP, CROP), mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((side - CROP) // 2 for side in photo.shape[-2:])
    return photo[..., top : top + CROP, left : left + CROP]


if __name__ == "__main__":
    sys.exit(main())
