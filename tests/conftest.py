"""A page served with fake enhancers, and a browser to look at it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
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

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 120_000
"""Milliseconds to wait for anything: a busy machine is no failure."""


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


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Pictures are small: threads that wait for each other cost more than they save."""
    torch.set_num_threads(1)


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


class Visitor:
    """A person at the page."""

    def __init__(self, browser, url: str, viewport: dict[str, int], **settings):
        self.context = browser.new_context(viewport=viewport, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self.page.on("request", self._note_host)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector("#viewer [data-key=input][data-state=shown]")

    def _note_host(self, request) -> None:
        if request.url.startswith("http"):
            self.hosts.add(request.url.split("/")[2].split(":")[0])

    def open_tab(self, title: str) -> None:
        """Press a tab, or its line in the menu of those for which the screen is too narrow."""
        tab = self.page.get_by_role("tab", name=title, exact=True)
        if not tab.is_visible():
            self.page.click("button[aria-label='More tabs']")
            tab = self.page.locator(".overflow-dropdown").get_by_role(
                "button", name=title, exact=True
            )
        tab.click()

    def upload(self, path: Path, field: str = "photo") -> None:
        self.page.set_input_files(f"#{field} input[type=file]", path)

    def wait_for(self, selector: str, text: str | re.Pattern) -> None:
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def restore(self, until: str = "Done in") -> None:
        self.page.click("#restore")
        self.wait_for("#status", until)

    def table(self) -> list[list[str]]:
        rows = self.page.locator("#scores tbody tr")
        return [row.locator("th, td").all_inner_texts() for row in rows.all()]

    def download(self, name: str, folder: Path) -> Path:
        self.page.locator(f"#download-{name}:not([disabled])").wait_for()
        with self.page.expect_download() as started:
            self.page.click(f"#download-{name}")
        target = folder / started.value.suggested_filename
        started.value.save_as(target)
        return target

    def size(self) -> tuple[int, int]:
        script = "() => [document.documentElement.scrollWidth, document.body.scrollHeight]"
        return tuple(self.page.evaluate(script))


@pytest.fixture
def visit(browser):
    """Open the page as often as a test likes; afterwards nothing may have gone wrong in it."""
    visitors = []

    def open_page(url: str, viewport=DESKTOP, **settings) -> Visitor:
        visitors.append(Visitor(browser, url, viewport, **settings))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.context.close()
    assert [problem for visitor in visitors for problem in visitor.problems] == []
    assert {host for visitor in visitors for host in visitor.hosts} <= {"127.0.0.1"}


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A smooth colourful picture, 96 x 64, with a sharp edge in it."""
    y, x = np.mgrid[:64, :96] / 95
    picture = np.stack([x, y, 1 - x], -1) * 200 + 20
    picture[20:40, 30:60] = 240
    path = tmp_path_factory.mktemp("photos") / "slope.png"
    Image.fromarray(picture.round().astype(np.uint8)).save(path)
    return path
