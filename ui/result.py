"""What the pictures of one photo tell of themselves, and all of them in one zip. No Gradio here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from ui import region
from ui.bundle import Bundle, Row, known
from ui.region import Region

TRUTH_FILE = "truth.png"
GONE = "These pictures are no longer on the server; restore the photo again."


def texts(files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read what is stored in each PNG of a result, by the key of the picture.

    Raises ValueError if a file is gone.
    """
    found = {}
    for key, file in files.items():
        if not Path(file).exists():
            raise ValueError(GONE)
        with Image.open(file, formats=["PNG"]) as image:
            found[key] = dict(image.text)
    return found


def pack(files: Mapping[str, str], truth: str | None, target: Path) -> None:
    """Write one photo's results, PNG files by the key of the picture, as a bundle.

    truth: the file that the others are measured against, where it is known. Everything in the
    bundle is read from the files themselves. Raises ValueError if one is gone.
    """
    stored = texts(files)
    with Bundle(target) as bundle:
        bundle.settings |= settings(stored)
        for key, file in files.items():
            with Image.open(file) as image:
                width, height = image.size
            scores = {}
            if truth is not None:
                scores = region.scores({key: file}, truth, Region(0, 0, width, height))[key]
            text = stored[key]
            row = Row(
                text.get("photo", ""),
                Path(file).name,
                text.get("method", key),
                width,
                height,
                **known(scores),
                seconds=text.get("seconds", ""),
            )
            bundle.add(row, Path(file))
        if truth is not None:
            bundle.add(Row(bundle.settings["photo"], TRUTH_FILE, "truth"), Path(truth))


def settings(stored: Mapping[str, Mapping[str, str]]) -> dict:
    """What the text chunks of a result's pictures tell together, for `settings.json`."""
    any_of_them = next(iter(stored.values()))
    methods = {
        text["method"]: {
            "seed": int(text["seed"]),
            "options": json.loads(text["options"]),
            "weights_sha256": text["weights_sha256"],
        }
        for text in stored.values()
        if "method" in text
    }
    return {
        "photo": any_of_them["photo"],
        "damage": any_of_them["damage"],
        "recipe": json.loads(any_of_them["recipe"]),
        "methods": methods,
    }
