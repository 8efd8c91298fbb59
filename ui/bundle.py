"""Zip files of results: the pictures, `metrics.csv` and `settings.json`. No Gradio here."""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import platform
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path

METRICS, SETTINGS = "metrics.csv", "settings.json"
_PACKAGES = ("torch", "diffusers", "pillow", "gradio")
"""Those whose version may change a pixel, or what the page does."""


@dataclass(frozen=True)
class Row:
    """A line of `metrics.csv`; what is not known is empty."""

    photo: str
    """Name of the file given."""
    file: str = ""
    """Name of the picture in the zip."""
    method: str = ""
    """`input` is the photo as the methods saw it."""
    width: int | str = ""
    height: int | str = ""
    psnr: float | str = ""
    """dB; of the 8-bit picture against the truth, as the next two."""
    ssim: float | str = ""
    mse: float | str = ""
    """On the 0-255 scale."""
    seconds: float | str = ""
    problem: str = ""
    """Why there is no picture."""


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what the pictures depend on, by name."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in _PACKAGES}


def known(scores: Mapping[str, float] | None) -> dict[str, float | str]:
    """Scores as fields of a `Row`: empty where they are not known or not defined."""
    return {name: "" if math.isnan(value) else value for name, value in (scores or {}).items()}


def plain_stem(name: str) -> str:
    """The name of a file without folder and ending, fit for any file system."""
    stem = Path(name.replace("\\", "/")).stem
    return re.sub(r"[^\w .()+-]", "_", stem).strip(" .")[:100] or "photo"


class Bundle:
    """A zip file as it is written; complete once the `with` block is left."""

    def __init__(self, path: Path):
        # PNGs do not get smaller; to try would take longer than to restore them.
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._rows: list[Row] = []
        self.settings: dict = {"versions": versions()}
        """What `settings.json` will hold."""

    def add(self, row: Row, picture: Path | None = None) -> None:
        """Add a line, and its picture under the name the line gives it."""
        self._rows.append(row)
        if picture is not None:
            self._archive.write(picture, row.file)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind, *_) -> None:
        with self._archive:
            if kind is None:
                self._archive.writestr(METRICS, _as_csv(self._rows))
                self._archive.writestr(SETTINGS, json.dumps(self.settings, indent=2) + "\n")


def _as_csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_harmless(asdict(row)) for row in rows)
    return text.getvalue()


def _harmless(fields: dict) -> dict:
    """Keep spreadsheets from running what a file's name holds: a quote before = + - @."""
    return {
        key: f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
        for key, value in fields.items()
    }
