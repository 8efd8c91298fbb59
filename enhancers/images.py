"""The only place where files, PIL images and bytes meet float tensors.

Past this module a photo is RGB float32 (N, 3, H, W) in [0, 1], upright, in sRGB. Pictures of
strangers enter here, so sizes are checked before anything is decoded, only the formats named in
`FORMATS` are tried, and whatever goes wrong becomes an `ImageError`: one sentence for people.
"""

from __future__ import annotations

import glob
import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

MAX_PIXELS = 24_000_000
"""Largest photo taken unless the caller says otherwise: 6000 x 4000, a common camera's."""

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
"""What is decoded; Pillow knows more, some of which run an interpreter (EPS)."""

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"
)  # fmt: skip
"""File endings by which a folder's pictures are recognised, in lower case."""

_READABLE = "give a PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF file"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation (Exif 2.32, tag 0x0112)."""

_SAME = 1.01 / 255
"""A profile that changes no level by more than one is some maker's copy of sRGB: its photos keep
their exact pixels."""


class ImageError(ValueError):
    """A picture cannot be used: what was expected, what came, what to do."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded picture, upright and in sRGB."""

    pixels: Tensor
    """(1, 3, H, W) float32 in [0, 1]."""
    alpha: Tensor | None
    """(1, 1, H, W) float32 in [0, 1], 1 = opaque; None where the picture has no transparency."""
    name: str
    """The file's name without its folder."""

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[-2]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[-1]


def load(source: str | Path | BinaryIO | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo: upright by its EXIF orientation, converted to sRGB by its ICC profile.

    Takes every mode Pillow decodes. 16-bit grey keeps its precision; Pillow cuts 16-bit colour to
    its upper 8 bits, at most one level of 255 below the rounded value. Integer pictures of 32 bits
    must lie in [0, 65535], floating-point ones in [0, 1]: a range is never guessed. An animation
    gives its first frame, a TIFF its first page. A profile that cannot be read is ignored.
    Raises ImageError if the picture cannot be read or has more than `max_pixels`, which its
    header tells before anything is decoded.
    """

    def check_size(name: str, size: tuple[int, int]) -> None:
        if size[0] * size[1] > max_pixels:
            raise ImageError(_too_large(name, max_pixels, size))

    with _decoded(source, check_size, max_pixels) as (name, image):
        return _photo(image, name, image.info.get("icc_profile"))


def load_mask(source: str | Path | BinaryIO | Image.Image, size: tuple[int, int]) -> Tensor:
    """Read a mask of holes for a photo of `size` (H, W); white marks what is unknown.

    Where the visible pixels all have one colour and others are transparent, as when somebody
    painted on an empty layer, the opaque pixels are the unknown ones, whatever the colour.
    Returns (1, 1, H, W) float32, 1 = unknown, 0 = known. Raises ImageError if it cannot be read
    or its upright size is another.
    """
    H, W = size

    def mismatch(name: str, width: int, height: int) -> ImageError:
        return ImageError(
            f"The mask must have the photo's size of {W} × {H} pixels, but {name} has "
            f"{width} × {height}; resize it, or draw it on the photo itself."
        )

    def check_size(name: str, size: tuple[int, int]) -> None:
        if sorted(size) != sorted((W, H)):  # not yet upright
            raise mismatch(name, *size)

    with _decoded(source, check_size, H * W) as (name, image):
        photo = _photo(image, name, icc=None)  # a mask holds yes and no, not colours
        if (photo.height, photo.width) != (H, W):
            raise mismatch(name, photo.width, photo.height)
    if photo.alpha is None:
        return (photo.pixels.mean(1, keepdim=True) > 0.5).float()
    visible = photo.alpha > 0.5
    colours = photo.pixels.permute(1, 0, 2, 3)[:, visible[0]]  # (3, number of visible pixels)
    if colours.numel() == 0:
        return visible.float()
    spread = (colours.amax(1) - colours.amin(1)).max()
    # A soft brush blurs the colour of its rim by a level or two where alpha is stored rounded.
    if not visible.all() and spread < 0.05:
        return visible.float()
    return ((photo.pixels * photo.alpha).mean(1, keepdim=True) > 0.5).float()


def quantise(pixels: Tensor) -> Tensor:
    """Round to the nearest of the 256 levels a file of 8 bits holds; shape and device stay."""
    return pixels.float().clamp(0, 1).mul(255).round().div(255)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Turn pixels (1, 3, H, W) in [0, 1] into bytes (H, W, 3), rounded to nearest."""
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        raise ValueError(f"Expected one photo of shape (1, 3, H, W), but got {pixels.shape}.")
    return _bytes(pixels[0].permute(1, 2, 0))


def from_uint8(array: np.ndarray) -> Tensor:
    """Turn bytes (H, W, 3) into pixels (1, 3, H, W) float32 in [0, 1]."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"Expected bytes (H, W, 3), but got {array.dtype} {array.shape}.")
    planes = torch.from_numpy(array.transpose(2, 0, 1).copy())
    return planes[None].float().div_(255)


def to_pil(pixels: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Turn pixels (1, 3, H, W) into an RGB picture, or RGBA with alpha (1, 1, H, W)."""
    image = Image.fromarray(to_uint8(pixels))
    if alpha is not None:
        if alpha.shape != (1, 1, *pixels.shape[2:]):
            raise ValueError(f"Expected alpha for {pixels.shape}, but got {alpha.shape}.")
        image.putalpha(Image.fromarray(_bytes(alpha[0, 0])))
    return image


def save_png(
    path: str | Path,
    pixels: Tensor,
    alpha: Tensor | None = None,
    *,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write an 8-bit PNG in sRGB, with `metadata` as its text chunks.

    The file appears complete or not at all: it is written beside its place and then renamed.
    """
    path = Path(path)
    text = PngInfo()
    for key, value in (metadata or {}).items():
        text.add_text(key, value)
    image = to_pil(pixels, alpha)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        image.save(temporary, "PNG", pnginfo=text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """List the files that paths, folders and glob patterns name, each once, in their order.

    A folder stands for the pictures directly in it, by their endings (`SUFFIXES`) and sorted;
    hidden files are left out. A pattern stands for the files that match. A file named in full is
    listed whatever its ending, and even if it is not there: `load` then says so, as it does for a
    pattern that matches nothing.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(
                child
                for child in path.iterdir()
                if child.suffix.lower() in SUFFIXES
                and not child.name.startswith(".")
                and child.is_file()
            )
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
            files = [match for match in matches if match.is_file()] or [path]
        else:
            files = [path]
        for file in files:
            found.setdefault(file.absolute(), file)
    return list(found.values())


@contextmanager
def _decoded(source, check_size, max_pixels: int) -> Iterator[tuple[str, Image.Image]]:
    """Give the name and the upright picture in its own mode; turn failures into ImageError."""
    name = "The picture"
    try:
        if isinstance(source, Image.Image):
            name = str(getattr(source, "filename", "") or name)
            check_size(name, source.size)
            yield name, _upright(source)
        elif isinstance(source, (str, os.PathLike)):
            name = str(source)
            with _file(Path(source)).open("rb") as stream, _opened(stream, name) as image:
                check_size(name, image.size)
                yield name, _upright(image)
        else:
            name = str(getattr(source, "name", name))
            stream = source if source.seekable() else io.BytesIO(source.read())
            with _opened(stream, name) as image:
                check_size(name, image.size)
                yield name, _upright(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is a global
        raise ImageError(_too_large(name, min(max_pixels, 2 * Image.MAX_IMAGE_PIXELS))) from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read; check its permissions.") from error
    except Exception as error:  # broken files raise anything: SyntaxError, struct.error, KeyError
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ImageError(
            f"{name} is damaged or incomplete ({reason}); copy or export it again."
        ) from error


def _file(path: Path) -> Path:
    if not path.exists():
        raise ImageError(f"{path} does not exist; check its name and folder.")
    if path.is_dir():
        raise ImageError(f"{path} is a folder, but a picture was expected; name a file in it.")
    if not path.is_file():
        raise ImageError(f"{path} is a device or a pipe, but a picture was expected; name a file.")
    return path


def _opened(stream: BinaryIO, name: str) -> Image.Image:
    """Read a picture's header; nothing is decoded yet."""
    head = stream.read(12)
    stream.seek(0)
    if not head:
        raise ImageError(f"{name} is empty; {_READABLE}.")
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
            raise ImageError(
                f"{name} is a HEIC picture, which cannot be read; export it as JPEG."
            ) from error
        raise ImageError(
            f"{name} is not a picture, or its start is damaged; {_READABLE}."
        ) from error


def _too_large(name: str, max_pixels: int, size: tuple[int, int] | None = None) -> str:
    has = f"has {size[0]} × {size[1]} pixels" if size else "has more"
    return f"A photo may have up to {max_pixels:,} pixels, but {name} {has}; make it smaller first."


def _upright(image: Image.Image) -> Image.Image:
    """Decode a picture and turn it as its EXIF orientation says."""
    image.load()  # turns a TIFF already, and then forgets its orientation
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # unreadable EXIF says nothing of the pixels, which are fine
        orientation = None
    if orientation not in _UPRIGHT:
        return image
    return image.transpose(_UPRIGHT[orientation])


def _photo(image: Image.Image, name: str, icc: bytes | None) -> Photo:
    """Convert a decoded picture of any mode."""
    if image.mode == "La":  # multiplied by alpha; Pillow converts it to nothing else
        image = image.convert("LA")
    if image.mode[0] in "1LIF" and image.mode != "LAB":
        grey = _grey_in_srgb(_grey(image, name), icc)
        pixels = torch.from_numpy(grey)[None, None].repeat(1, 3, 1, 1)
    else:
        pixels = from_uint8(np.asarray(_colour_in_srgb(image, name, icc)))
    return Photo(pixels, _alpha(image), Path(name).name)


def _alpha(image: Image.Image) -> Tensor | None:
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):  # one grey level is transparent (PNG's tRNS)
        opaque = np.asarray(image) != image.info["transparency"]
        return torch.from_numpy(opaque.astype(np.float32))[None, None]
    alpha = np.array(image.convert("RGBA").getchannel("A"))
    return torch.from_numpy(alpha)[None, None].float().div_(255)


def _grey(image: Image.Image, name: str) -> np.ndarray:
    """Grey levels (H, W) float32 in [0, 1], as stored, of a picture without colour."""
    if image.mode[0] in "1L":
        return np.asarray(image.convert("L"), np.float32) / 255
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (16,))[0]  # BitsPerSample
    white = 1.0 if image.mode == "F" else 2.0 ** min(bits, 16) - 1
    levels = np.asarray(image).astype(np.float32)
    if not (levels.min() >= 0 and levels.max() <= white):  # also catches NaN
        raise ImageError(
            f"Pixels of {name} must lie in [0, {white:g}], but they reach from {levels.min():g} "
            f"to {levels.max():g}; save it with 8 or 16 bits per channel."
        )
    levels /= white
    return 1 - levels if tags.get(262) == 0 else levels  # PhotometricInterpretation: WhiteIsZero


def _grey_in_srgb(grey: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Convert grey levels (H, W) in [0, 1] to sRGB."""
    # Optimised, LittleCMS misses dark greys by several levels; so send each level through once.
    ramp = Image.frombytes("I;16", (65536, 1), np.arange(65536, dtype="<u2").tobytes())
    if table := _by_profile(ramp, icc, ImageCms.Flags.NOOPTIMIZE):
        levels = np.asarray(table)[0, :, 1][np.rint(grey * 65535).astype(np.uint16)]
    elif picture := _by_profile(
        Image.fromarray(_bytes(torch.from_numpy(grey))).convert("RGB"), icc
    ):
        levels = np.asarray(picture)[..., 1]
    else:
        return grey
    converted = levels.astype(np.float32) / 255
    return converted if np.abs(converted - grey).max() > _SAME else grey


def _colour_in_srgb(image: Image.Image, name: str, icc: bytes | None) -> Image.Image:
    """Convert a colour picture to RGB in sRGB; transparency is dropped."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(284) == 2 and max(tags.get(258, (8,))) > 8:
        # PlanarConfiguration, BitsPerSample: Pillow 12 turns such planes into noise, silently.
        raise ImageError(
            f"Colours of more than 8 bits must be stored interleaved, but {name} has separate "
            "planes; save it interleaved, or with 8 bits per channel."
        )
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _by_profile(image, lab.tobytes())
    if image.mode == "CMYK":
        return _by_profile(image, icc) or image.convert("RGB")
    image = image.convert("RGB")
    converted = _by_profile(image, icc) or image
    change = max(high for _, high in ImageChops.difference(image, converted).getextrema())
    return converted if change / 255 > _SAME else image


def _by_profile(
    image: Image.Image, icc: bytes | None, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Image.Image | None:
    """Convert to sRGB; None where there is no profile, or a broken one, or one for other modes."""
    if not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, image.mode, "RGB", flags=flags)
        return ImageCms.applyTransform(image, transform)
    except (OSError, ImageCms.PyCMSError):
        return None


def _bytes(levels: Tensor) -> np.ndarray:
    return levels.detach().float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8).numpy()
