"""Batches, bundles, links, earlier results and waiting in line, in a real Chromium."""

from __future__ import annotations

import json
import zipfile

import pytest
from conftest import DESKTOP, PHONE
from PIL import Image

from ui.bundle import METRICS, SETTINGS

pytestmark = pytest.mark.browser


def saved(visitor, folder, click: str):
    """The file that a click saves."""
    with visitor.page.expect_download() as started:
        visitor.page.click(click)
    target = folder / started.value.suggested_filename
    started.value.save_as(target)
    return target


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_batch_from_files_to_zip(visit, server, photo, tmp_path, viewport):
    (tmp_path / "bad.png").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(photo, "folder/inside.png")
    visitor = visit(server.url, viewport)
    visitor.open_tab("Batch")
    files = [photo, tmp_path / "bad.png", tmp_path / "more.zip"]
    visitor.page.set_input_files("#batch-files input[type=file]", files)
    visitor.wait_for("#batch-files", "more")
    visitor.page.click("#batch-start")
    visitor.wait_for("#batch-status", "Done: 2 restored, 1 not")
    visitor.wait_for("#batch-results", "bad.png is not a picture")
    visitor.page.locator("#batch-download:not([disabled])").wait_for()
    with zipfile.ZipFile(saved(visitor, tmp_path, "#batch-download")) as archive:
        names = archive.namelist()
    assert {"slope.vae.png", "inside.diffusion.png", METRICS, SETTINGS} <= set(names)
    assert visitor.page.locator("#batch-start").is_enabled()
    assert visitor.size()[0] <= viewport["width"]


def test_batch_stops_and_keeps_what_is_finished(visit, slow_server, tmp_path):
    photos = [tmp_path / f"photo{number}.png" for number in range(12)]  # a minute's work
    for number, path in enumerate(photos):
        Image.new("RGB", (96, 64), (20 * number, 90, 120)).save(path)
    visitor = visit(slow_server.url)
    visitor.open_tab("Batch")
    visitor.page.set_input_files("#batch-files input[type=file]", photos)
    visitor.wait_for("#batch-files", "photo11")
    visitor.page.click("#batch-start")
    visitor.wait_for("#batch-results", "vae")
    visitor.page.click("#batch-stop")
    visitor.wait_for("#batch-results", "the batch was stopped")
    visitor.page.locator("#batch-download:not([disabled])").wait_for()
    with zipfile.ZipFile(saved(visitor, tmp_path, "#batch-download")) as archive:
        assert "photo0.vae.png" in archive.namelist()
        assert "photo11.vae.png" not in archive.namelist()


def test_results_can_be_taken_home_together(visit, server, photo, tmp_path):
    visitor = visit(server.url)
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    visitor.page.click("#pack")
    visitor.wait_for("[data-testid=toast-body]", "Restore a photo first")
    visitor.restore()
    with zipfile.ZipFile(saved(visitor, tmp_path, "#pack")) as archive:
        assert {"slope.input.png", "slope.gan.png", "truth.png"} <= set(archive.namelist())
        settings = json.loads(archive.read(SETTINGS))
    assert settings["recipe"]["degradation"] == "noise"
    assert settings["methods"]["vae"]["weights_sha256"] == "sha-of-vae"


def test_a_link_leads_to_the_same_pixels(visit, server, tmp_path):
    visitor = visit(f"{server.url}?photo=coffee&degradation=jpeg&severity=30&how=damage&seed=4")
    visitor.wait_for(".caption", "JPEG 30 (quality)")
    assert visitor.page.locator("#severity input[type=number]").input_value() == "30"
    visitor.page.locator("#options button").click()
    assert visitor.page.locator("#seed input").input_value() == "4"
    visitor.restore()
    address = visitor.page.locator("#link a").get_attribute("href")
    assert "photo=coffee" in address and "severity=30" in address and "seed=4" in address
    first = Image.open(visitor.download("diffusion", tmp_path))
    other = visit(server.url.rstrip("/") + "/" + address)
    other.wait_for(".caption", "JPEG 30 (quality)")
    other.restore()
    again = Image.open(other.download("diffusion", tmp_path))
    assert again.tobytes() == first.tobytes()
    assert again.text["recipe"] == first.text["recipe"]


def test_a_wrong_link_says_so_and_the_page_opens(visit, server):
    visitor = visit(f"{server.url}?degradation=noise&severity=99")
    visitor.wait_for("#status", "goes from 0 to 55, but got 99")
    assert visitor.page.locator("#restore").is_enabled()


def test_earlier_results_can_be_seen_again(visit, server, photo):
    visitor = visit(server.url)
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    visitor.restore()
    visitor.page.locator("#history button img").first.wait_for()
    before = visitor.table()
    severity = visitor.page.locator("#severity input[type=number]")
    severity.fill("50")
    severity.press("Enter")
    visitor.wait_for(".caption", "Noise 50")
    visitor.restore()
    visitor.page.locator("#history button img").nth(1).wait_for()
    assert visitor.page.locator("#history").bounding_box()["height"] < 250  # a strip
    visitor.page.locator("#history button").filter(has_text="Noise 25").first.click()
    visitor.wait_for("#status", "Shown again: slope, Noise 25")
    visitor.wait_for(".caption", "Noise 25")
    assert visitor.table() == before
    assert severity.input_value() == "25"
    assert visitor.page.locator("#download-vae").is_enabled()


def test_who_waits_sees_the_place_in_line(visit, slow_server, photo):
    first, second, third = (visit(slow_server.url) for _ in range(3))
    for number, visitor in enumerate((first, second, third)):
        visitor.page.locator("#how input[value=degraded]").check()
        visitor.wait_for(".caption", "as given")
        visitor.page.locator("#options button").click()
        visitor.page.locator("#seed input").fill(str(50 + number))
        visitor.page.click("#restore")
        visitor.wait_for("#status", "at work" if number == 0 else "Waiting for a turn")
    third.wait_for("#status", "queue: 2/2")
    third.page.click("#stop")
    second.page.click("#stop")
    first.page.click("#stop")


def test_api_tab_tells_what_the_endpoints_take(visit, server):
    visitor = visit(server.url, PHONE)
    visitor.open_tab("API")
    visitor.wait_for("#api-text", "/enhance")
    assert visitor.size()[0] <= PHONE["width"]
