"""Masks, presets and guesses on the Restore tab, in a real Chromium."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import PHONE
from PIL import Image

from enhancers import images
from ui import job
from ui.first import SIDE

pytestmark = pytest.mark.browser


def paint(visitor, *across: float) -> None:
    """Draw a line through the middle of the picture that is shown alone."""
    box = visitor.page.locator("#viewer [data-key=input] canvas").bounding_box()
    for i, part in enumerate(across):
        visitor.page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        if not i:
            visitor.page.mouse.down()
    visitor.page.mouse.up()


def test_painted_mask_reaches_the_photo_and_every_method_and_can_be_undone(
    visit, server, photo, tmp_path
):
    visitor = visit(server.url)
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64, Noise 25")
    visitor.page.click("#mask-box button")
    visitor.page.click("#paint")
    paint(visitor, 0.45, 0.55)
    visitor.wait_for(".caption", "% masked")
    lost = np.asarray(Image.open(visitor.download("input", tmp_path)))
    assert (lost[32, 44:52] == 255).all()
    assert not (lost[32, 10] == 255).all()
    note = visitor.page.locator("#viewer [data-key=input] small")
    once = note.inner_text()

    visitor.page.click("#viewer [data-do=eraser]")
    paint(visitor, 0.5, 0.7)
    smaller = "([note, once]) => note.textContent !== once && note.textContent.includes('masked')"
    visitor.page.wait_for_function(smaller, arg=[note.element_handle(), once])
    visitor.page.keyboard.press("Control+z")
    visitor.wait_for("#viewer [data-key=input] small", once)
    visitor.page.click("#viewer [data-do=undo]")
    visitor.page.locator("#viewer [data-key=input] small", has_not_text="masked").wait_for()
    assert visitor.page.locator("#viewer [data-do=undo]").is_disabled()

    visitor.page.click("#viewer [data-do=brush]")
    paint(visitor, 0.45, 0.55)
    visitor.wait_for(".caption", "% masked")
    visitor.page.click("#viewer fieldset.mask [data-do=mask]")
    visitor.restore()
    assert visitor.table()[-1][0] == "Classical: biharmonic inpainting"
    masked = visitor.page.locator("#mask img").get_attribute("src")
    mask = tmp_path / "mask.png"
    mask.write_bytes(visitor.page.request.get(masked).body())
    task = job.prepare(photo, job.DAMAGE, "noise", 25, mask=mask)
    restored = server.enhancers["vae"].restore(task.degraded, task.mask)
    shown = np.asarray(Image.open(visitor.download("vae", tmp_path)))
    assert np.array_equal(shown, images.to_uint8(restored))


def test_uploaded_mask_lies_on_a_turned_photo_and_another_photo_takes_it_off(
    visit, server, photo, tmp_path
):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), (90, 90, 90)).save(tmp_path / "turned.jpg", exif=exif)
    lost = np.zeros((60, 40), np.uint8)
    lost[5:15, 20:30] = 255
    Image.fromarray(lost).save(tmp_path / "mask.png")
    Image.fromarray(lost.T.copy()).save(tmp_path / "lying.png")
    visitor = visit(server.url)
    visitor.upload(tmp_path / "turned.jpg")
    visitor.wait_for(".caption", "40×60")
    visitor.page.click("#mask-box button")
    visitor.upload(tmp_path / "lying.png", "mask")
    visitor.wait_for("[data-testid=toast-body]", "size of 40 × 60 pixels, but lying.png has 60")
    visitor.page.press("#mask [aria-label=Clear]", "Enter")
    visitor.upload(tmp_path / "mask.png", "mask")
    visitor.wait_for(".caption", "4.2% masked")
    degraded = np.asarray(Image.open(visitor.download("input", tmp_path)))
    assert np.array_equal((degraded == 255).all(-1), lost > 0)
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    assert visitor.page.locator("#mask img").count() == 0
    assert "masked" not in visitor.page.locator("#viewer [data-key=input] small").inner_text()


def test_presets_set_the_options_and_reset_brings_everything_back(visit, server):
    visitor = visit(server.url)
    field = "#option-gan-realism input[type=number]"
    checked = "#preset input:checked"
    visitor.page.click("#options button")
    realism = visitor.page.locator(field)
    realism.wait_for()
    assert realism.input_value() == "1"
    visitor.page.locator("#preset input[value=fidelity]").check()
    visitor.page.wait_for_function(f"document.querySelector('{field}').value === '0'")
    assert visitor.page.input_value("#option-diffusion-steps input[type=number]") == "1"
    realism.fill("0.4")
    realism.press("Enter")
    visitor.page.wait_for_function(f"document.querySelector('{checked}') === null")
    visitor.page.locator("#seed input").fill("9")
    visitor.page.click("#reset")
    visitor.page.wait_for_function(f"document.querySelector('{field}').value === '1'")
    visitor.page.wait_for_function(f"document.querySelector('{checked}')?.value === 'balanced'")
    assert visitor.page.input_value("#seed input") == "0"


def test_button_tells_the_time_and_guesses_can_be_stopped(visit, slow_server, photo):
    visitor = visit(slow_server.url)
    visitor.wait_for("#restore", "Restore (about")
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    visitor.page.click("#guessing button")
    visitor.page.click("#guess")
    visitor.wait_for("#status", "Seeds: ")
    fakes = [slow_server.enhancers[name] for name in ("gan", "diffusion")]
    visitor.page.click("#stop")
    visitor.wait_for("#status", "Stopped")
    begun = sum(fake.begun for fake in fakes)
    visitor.page.wait_for_timeout(3000)
    assert sum(fake.begun for fake in fakes) <= begun + 1
    assert visitor.page.locator("#guess").is_enabled()


def test_guesses_are_mapped_and_forgotten_with_the_photo(visit, server, photo):
    visitor = visit(server.url, PHONE)
    visitor.page.click("#guessing button")
    visitor.page.click("#guess")
    visitor.wait_for("#guessed", "GAN: 4 seeds")
    visitor.page.wait_for_selector("#maps [data-key=gan-error][data-state=shown]")
    assert visitor.page.locator("#maps figure").count() == 4
    assert not visitor.page.locator("#maps [data-do=mask]:visible").count()
    assert visitor.size()[0] <= PHONE["width"]
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    visitor.page.locator("#maps figure").first.wait_for(state="hidden")
    assert visitor.page.locator("#guessed").inner_text().strip() == ""


def test_first_screen_shows_pictures_on_every_screen(visit, server):
    for width, height in ((390, 844), (1280, 900), (2560, 1300)):
        visitor = visit(server.url, {"width": width, "height": height})
        box = visitor.page.locator("#viewer [data-key=vae] canvas").bounding_box()
        assert box["y"] + box["height"] <= height
        assert min(box["width"], box["height"]) >= 130
        assert f"{SIDE}×{SIDE}" in visitor.page.locator("#viewer [data-key=input]").inner_text()
