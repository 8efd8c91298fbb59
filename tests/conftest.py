"""A page served with fake enhancers, and a browser to look at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEnhancer, fake_enhancers
from PIL import Image

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Server:
    url: str
    enhancers: dict[str, FakeEnhancer]


def serve(enhancers) -> Iterator[Server]:
    """Serve the page for these enhancers on a free port while the generator is open."""
    from ui import LAUNCH, build_demo

    demo = build_demo(enhancers)
    _, url, _ = demo.launch(**LAUNCH, server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield Server(url, {enhancer.spec.name: enhancer for enhancer in enhancers})
    demo.close(verbose=False)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    yield from serve(fake_enhancers())


@pytest.fixture(scope="session")
def slow_server() -> Iterator[Server]:
    """Every step takes a second."""
    yield from serve(fake_enhancers(seconds=1.0))


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium. Where it is missing, tests are skipped, but not in CI: they fail."""
    if shutil.which(CHROMIUM) is None:
        reason = f"There is no browser at {CHROMIUM}; set CHROMIUM to the path of one."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A smooth colourful picture, 96 x 64, with a sharp edge in it."""
    y, x = np.mgrid[:64, :96] / 95
    picture = np.stack([x, y, 1 - x], -1) * 200 + 20
    picture[20:40, 30:60] = 240
    path = tmp_path_factory.mktemp("photos") / "slope.png"
    Image.fromarray(picture.round().astype(np.uint8)).save(path)
    return path
