"""The training tab in a real Chromium: seconds of real training, of tiny networks."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from conftest import DESKTOP, PHONE, serve
from fakes import fake_enhancers

from ui.inside import training
from ui.limits import TRAINING

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page():
    """A page on which a training may take three seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRAINING, "1")
        patch.setattr(training, "MINUTES", (0.05, 5))
        yield from serve(fake_enhancers())


@pytest.fixture
def visitor(visit, page):
    visitor = visit(page.url, DESKTOP)
    visitor.page.get_by_role("tab", name="Train", exact=True).click()
    return visitor


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("triptych-training-*"))


def told(visitor, text: str) -> str:
    paragraph = visitor.page.locator("#inside-training .told p").filter(has_text=text).first
    paragraph.wait_for()
    return paragraph.inner_text()


def test_a_run_ends_with_pictures_curves_and_words_and_fits_a_phone(visitor):
    before = folders()
    visitor.page.locator("#training-family input[value=diffusion]").check()
    visitor.page.click("#training-start")
    assert re.match(r"Done: \d+ steps in \d+ seconds", told(visitor, "Done: "))
    visitor.page.locator("#training-start:not([disabled])").wait_for()
    assert visitor.page.locator("#training-stop").is_disabled()
    titles = visitor.page.locator("#inside-training figcaption b").all_inner_texts()
    assert titles == ["Damaged", "Tiny Diffusion", "Shipped Diffusion", "Truth"]
    alts = [i.get_attribute("alt") for i in visitor.page.locator("#inside-training img").all()]
    assert all(alt.startswith(title) for alt, title in zip(alts, titles, strict=True))
    assert visitor.page.locator("#inside-training .chart .main-svg").count() >= 1
    assert visitor.page.locator("#inside-training .told tbody tr").count() == 5
    assert visitor.page.locator("#inside-training progress").count() == 0
    for viewport in (DESKTOP, PHONE):
        visitor.page.set_viewport_size(viewport)
        visitor.page.wait_for_timeout(500)
        assert visitor.size()[0] <= viewport["width"]
    assert folders() <= before


def test_stop_ends_a_long_run_and_leaves_nothing(visitor):
    before = folders()
    minutes = visitor.page.locator("#minutes input[type=number]")
    minutes.fill("5")
    minutes.press("Tab")
    visitor.page.click("#training-start")
    visitor.wait_for("#training-status", "min left")
    assert len(folders() - before) == 1
    visitor.page.click("#training-stop")
    told(visitor, "Stopped")
    visitor.page.locator("#training-start:not([disabled])").wait_for()
    assert folders() <= before


def test_who_leaves_the_page_ends_the_run(visitor):
    before = folders()
    visitor.page.locator("#minutes input[type=number]").fill("5")
    visitor.page.click("#training-start")
    visitor.wait_for("#training-status", "min left")
    visitor.page.goto("about:blank")
    for _ in range(240):
        if folders() <= before:
            return
        visitor.page.wait_for_timeout(500)
    pytest.fail("The run goes on for nobody.")


def test_a_file_that_is_no_photo_is_refused_in_a_sentence(visitor, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    visitor.page.click("#training-own button")
    visitor.upload(tmp_path / "notes.png", "training-photos")
    visitor.wait_for("#training-photos", "notes")
    visitor.page.click("#training-start")
    visitor.wait_for(".toast-body", "notes.png is not a picture")
    visitor.wait_for("#training-status", "Failed.")
    visitor.page.locator("#training-start:not([disabled])").wait_for()
