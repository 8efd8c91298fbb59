"""Named photos to measure on: a folder, the photos inside scikit-image, or a public test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import skimage.data
from torch import Tensor

from enhancers import images
from eval import downloads

SAMPLES = "samples"
"""The dataset that every installation has. A folder of that name is `./samples`."""

SAMPLE_SIDE = 512
"""Bundled photos are cropped around their centre to at most this many pixels a side.

Cropped rather than shrunk, so that the sharpness measured is the photo's own.
"""

# The photos that come inside scikit-image's wheel: nothing is downloaded. Left out are its
# textures, drawings, printed text, and pictures that are themselves noisy or blurred.
_SAMPLES: dict[str, Callable[[], np.ndarray]] = {
    "astronaut": skimage.data.astronaut,
    "camera": skimage.data.camera,  # grey
    "chelsea": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "coins": skimage.data.coins,  # grey
    "immunohistochemistry": skimage.data.immunohistochemistry,
    "moon": skimage.data.moon,  # grey
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "retina": skimage.data.retina,
    "rocket": skimage.data.rocket,
}


@dataclass(frozen=True)
class Entry:
    """One photo of a dataset, read only when asked for."""

    name: str
    """Unique within the dataset; a file is called the same on every machine."""
    load: Callable[[], Tensor]
    """Returns (1, 3, H, W) in [0, 1]; transparency is ignored. Raises `images.ImageError`."""


@dataclass(frozen=True)
class Dataset:
    """Named photos in a fixed order."""

    name: str
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def open_dataset(spec: str | Path) -> Dataset:
    """Return the photos in a folder, `"samples"`, or one of `downloads.SOURCES`.

    A folder's dataset is named after it, and each photo after its file; subfolders are not
    entered. A folder that is called like a public set is used in its place. Photos are not opened
    yet: a damaged one shows when it is loaded. Raises ValueError where there is no such folder,
    or no photo in it, and `downloads.DownloadError` where a public set cannot be had.
    """
    if spec == SAMPLES:
        return Dataset(SAMPLES, tuple(Entry(n, partial(_sample, n)) for n in _SAMPLES))
    folder = Path(spec)
    if not folder.is_dir():
        if str(spec) not in downloads.SOURCES:
            known = ", ".join([SAMPLES, *downloads.SOURCES])
            raise ValueError(f"'{folder}' is not a folder; give a folder of photos, or {known}.")
        folder = downloads.fetch(str(spec))
    files = images.list_images([folder])
    if not files:
        raise ValueError(f"No photos are in '{folder}'; subfolders must be named each.")
    return Dataset(folder.resolve().name, tuple(Entry(f.name, partial(_photo, f)) for f in files))


def at_hand(name: str) -> Dataset | None:
    """Return a dataset of that name if its photos are here already; nothing is downloaded."""
    if name == SAMPLES:
        return open_dataset(SAMPLES)
    folder = downloads.cache() / name
    return open_dataset(folder) if folder.is_dir() else None


def _photo(file: Path) -> Tensor:
    return images.load(file).pixels


def _sample(name: str) -> Tensor:
    picture = _SAMPLES[name]()
    if picture.ndim == 2:  # grey
        picture = np.stack([picture] * 3, axis=-1)
    return centre(images.from_uint8(picture))


def centre(photo: Tensor) -> Tensor:
    """Crop a photo (1, 3, H, W) around its centre to at most `SAMPLE_SIDE` pixels a side."""
    H, W = photo.shape[2:]
    top, left = max(0, H - SAMPLE_SIDE) // 2, max(0, W - SAMPLE_SIDE) // 2
    return photo[:, :, top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]
