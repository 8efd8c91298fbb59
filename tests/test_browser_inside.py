"""The tabs about the models' insides in a real Chromium, with small random networks."""

from __future__ import annotations

import pytest
import torch
from conftest import DESKTOP, PHONE, serve
from tiny import tiny_enhancers

from enhancers.inside import vae as inside_vae
from enhancers.inside.vae import EDITS, STRENGTHS, Direction

pytestmark = pytest.mark.browser

TABS = {"VAE": 5, "GAN": 5, "Diffusion": 5, "Why these ranks": 3}
"""Titles, and the number of exhibits under each."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with the real enhancers, small, and directions that stretch every code."""
    matrices = tuple(0.1 * torch.eye(c, 2 * c + 1) for c in (4, 4, 12))
    direction = Direction(matrices, -2, 2, tuple(10.0 + s for s in STRENGTHS))
    with pytest.MonkeyPatch.context() as patch:
        directions = dict.fromkeys(EDITS, direction)
        patch.setattr(inside_vae, "load_directions", lambda sha256: directions)
        methods = tiny_enhancers(tmp_path_factory.mktemp("weights"))
        yield from serve(list(methods.values()))


@pytest.fixture
def visitor(visit, page, photo):
    """Somebody with a small photo of their own, so that everything is quick."""
    visitor = visit(page.url, DESKTOP)
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    return visitor


def run(visitor, key: str) -> None:
    visitor.page.click(f"#inside-{key} button.primary")
    visitor.page.locator(f"#inside-{key} .told p").first.wait_for()


@pytest.mark.parametrize("title", TABS)
def test_every_figure_comes_with_words_and_fits_a_phone(visitor, title):
    visitor.open_tab(title)
    page = visitor.page
    exhibits = page.locator(".exhibit:visible")
    exhibits.nth(TABS[title] - 1).wait_for()
    assert exhibits.count() == TABS[title]
    for i in range(TABS[title]):
        exhibits.nth(i).locator("button.primary").click()
    for i in range(TABS[title]):
        exhibits.nth(i).locator(".told p").first.wait_for()
    page.locator(".exhibit:visible .chart .main-svg").first.wait_for()
    page.wait_for_function("![...document.images].some((i) => i.offsetParent && !i.naturalWidth)")
    shown = page.locator(".exhibit:visible img:visible")
    assert shown.count() >= 4
    assert all(image.get_attribute("alt") for image in shown.all())
    assert page.locator(".exhibit:visible progress").count() == 0
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        page.wait_for_timeout(500)
        assert visitor.size()[0] <= viewport["width"]


def test_film_is_scrubbed_by_key_and_played_to_its_end(visitor):
    visitor.open_tab("Diffusion")
    steps = visitor.page.locator("#film-steps input[type=number]")
    steps.fill("4")
    steps.press("Enter")
    run(visitor, "diffusion-film")
    film = visitor.page.locator("#inside-diffusion-film .film")
    note, slider, button = (film.locator(s) for s in (".note", "input[type=range]", "button"))
    assert note.inner_text().startswith("step 1 of 4, pure noise")
    first = film.locator("img").first.get_attribute("src")
    slider.press("ArrowRight")
    assert note.inner_text().startswith("step 2 of 4")
    assert slider.get_attribute("aria-valuetext") == note.inner_text()
    assert film.locator("img").first.get_attribute("src") != first
    assert "step 2 of 4" in film.locator("img").first.get_attribute("alt")
    button.click()
    assert button.get_attribute("aria-label") == "Pause"
    film.locator(".note").filter(has_text="step 4 of 4").wait_for()
    film.locator("button[aria-label=Play]").wait_for()


def test_a_knob_that_is_let_go_edits_the_code(visitor):
    visitor.open_tab("VAE")
    knob = visitor.page.locator("#knob-contrast input[type=number]")
    knob.fill("1.5")
    knob.press("Tab")
    visitor.wait_for("#inside-vae-knobs figcaption", "contrast +1.5")
    visitor.wait_for("#inside-vae-knobs .told", "PSNR against the truth")


def test_without_a_truth_nothing_is_measured_against_it(visitor):
    visitor.page.locator("#how input[value=degraded]").check()
    visitor.wait_for(".caption", "as given")
    visitor.open_tab("GAN")
    run(visitor, "gan-critic")
    titles = visitor.page.locator("#inside-gan-critic figcaption b").all_inner_texts()
    assert titles == ["Input", "VAE", "GAN", "Diffusion"]
