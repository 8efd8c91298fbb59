"""Photos to try the page with: those that scikit-image carries in its wheel, read offline."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ui.job import DAMAGE, DEGRADED

THUMBNAIL = 192
"""Longest side in pixels, so that the row of examples loads at once."""


@dataclass(frozen=True)
class Example:
    """A photo and what to do to it first."""

    file: str
    """In scikit-image's data folder."""
    title: str
    degradation: str | None
    """None where the photo is degraded as it is."""

    @property
    def how(self) -> str:
        """What the photo is, as `ui.job.prepare` takes it."""
        return DEGRADED if self.degradation is None else DAMAGE


EXAMPLES = (
    Example("astronaut.png", "Astronaut", "noise"),
    Example("chelsea.png", "Cat", "jpeg"),
    Example("coffee.png", "Coffee", "mixed"),
    Example("rocket.jpg", "Rocket", "dark"),
    Example("motorcycle_left.png", "Motorcycle", "lowres"),
    Example("camera.png", "Cameraman", "blur"),
    Example("coins.png", "Coins", "scratches"),
    Example("hubble_deep_field.jpg", "Galaxies", "shot"),
    Example("clock_motion.png", "Clock, moved", None),
    Example("moon.png", "Moon, faint", None),
)


@functools.cache
def folder() -> Path:
    """Copies of the examples in a temporary folder, the only place Gradio serves them from."""
    spec = importlib.util.find_spec("skimage")  # importing it would take a second
    source = Path(spec.submodule_search_locations[0]) / "data"
    target = Path(tempfile.mkdtemp(prefix="triptych-examples-"))
    atexit.register(shutil.rmtree, target)
    (target / "thumbnails").mkdir()
    for example in EXAMPLES:
        shutil.copy(source / example.file, target)
        with Image.open(source / example.file) as image:
            image.thumbnail((THUMBNAIL, THUMBNAIL))
            image.convert("RGB").save(thumbnail(example, target))
    return target


def path(example: Example) -> str:
    """File of an example."""
    return str(folder() / example.file)


def thumbnail(example: Example, root: Path | None = None) -> str:
    """File of its small version."""
    return str((root or folder()) / "thumbnails" / f"{Path(example.file).stem}.png")
