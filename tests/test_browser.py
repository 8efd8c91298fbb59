"""What a person does on the page, in a real Chromium, against fakes; once with real weights."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import DESKTOP, PHONE, serve
from fakes import fake_enhancers
from PIL import Image

import enhancers
from enhancers import images
from ui import job
from ui.examples import EXAMPLES
from ui.first import SIDE
from ui.runner import Runner

pytestmark = pytest.mark.browser

WIDE = {"width": 2560, "height": 1300}
SHIFTS = """() => {
  const observer = new PerformanceObserver(() => {});
  observer.observe({ type: "layout-shift", buffered: true });
  return observer.takeRecords().flatMap(({ sources }) =>
    sources.map(({ node }) => node?.outerHTML));
}"""
WEIGHTS = Path(enhancers.__file__).parents[1] / "assets" / "weights"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_from_upload_to_download(visit, server, photo, tmp_path, viewport):
    visitor = visit(server.url, viewport)
    visitor.wait_for(".caption", f"{SIDE}×{SIDE}, Noise 25")
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64, Noise 25")
    severity = visitor.page.locator("#severity input[type=number]")
    severity.fill("40")
    severity.press("Enter")
    visitor.wait_for(".caption", "96×64, Noise 40 (sigma, 0-255), seed 0")
    visitor.restore()

    task = job.prepare(photo, job.DAMAGE, "noise", 40)
    input_file = visitor.download("input", tmp_path)
    assert np.array_equal(np.asarray(Image.open(input_file)), images.to_uint8(task.degraded))
    table = {row[0]: row[1:] for row in visitor.table()}
    classical = "Classical: total variation"
    assert list(table) == ["Input, untouched", "VAE", "GAN", "Diffusion", classical]
    for name, fake in server.enhancers.items():
        restored = fake.restore(task.degraded)
        file = visitor.download(name, tmp_path)
        assert file.name == f"slope.{name}.png"
        assert np.array_equal(np.asarray(Image.open(file)), images.to_uint8(restored))
        assert Image.open(file).text["weights_sha256"] == f"sha-of-{name}"
        assert table[fake.spec.title][0].startswith(f"{job.scores(restored, task)['psnr']:.2f}")
    numbers = {title: float(row[0].split()[0]) for title, row in table.items()}
    assert [title for title, row in table.items() if "best" in row[0]] == [
        max(numbers, key=numbers.get)
    ]
    assert "no gain over the input" in table["GAN"][0]
    assert visitor.size()[0] <= viewport["width"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_moves_while_the_page_opens(visit, server, viewport):
    visitor = visit(server.url, viewport)
    visitor.wait_for("#restore", "(")  # the methods have been timed
    assert visitor.page.evaluate(SHIFTS) == []


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, WIDE], ids=["desktop", "phone", "wide"])
def test_nothing_moves_and_nothing_hangs_over_the_edge(visit, server, viewport):
    visitor = visit(server.url, viewport)
    places = "() => [...document.querySelectorAll('#viewer .panel, #downloads, #scores')].map(" + (
        "e => Math.round(e.getBoundingClientRect().y + window.scrollY))"
    )
    assert visitor.size()[0] <= viewport["width"]
    before = visitor.page.evaluate(places)
    visitor.restore()
    visitor.page.locator("#download-diffusion:not([disabled])").wait_for()
    assert visitor.page.evaluate(places) == before
    label = visitor.page.locator("#restore")
    assert label.evaluate("button => button.scrollWidth <= button.clientWidth")
    visitor.page.evaluate("document.querySelector('#scores').scrollIntoView()")
    assert visitor.page.locator("#bar").bounding_box()["y"] >= 0  # Stop stays at hand
    assert visitor.size()[0] <= viewport["width"]


def test_stop_stops_the_work_and_keeps_what_is_finished(visit, slow_server, photo):
    visitor = visit(slow_server.url)
    fake = slow_server.enhancers["diffusion"]
    visitor.wait_for("#restore", "(")  # the methods have been timed
    visitor.upload(photo)
    visitor.wait_for(".caption", "96×64")
    visitor.page.click("#restore")
    visitor.wait_for("#viewer [data-key=diffusion]", "estimate after")
    visitor.page.click("#stop")
    visitor.wait_for("#status", "Stopped")
    begun = fake.begun
    visitor.page.wait_for_timeout(3000)
    assert fake.begun <= begun + 1
    visitor.wait_for("#status", "Stopped")
    assert visitor.page.locator("#download-vae").is_enabled()
    assert visitor.page.locator("#download-diffusion").is_disabled()
    visitor.wait_for("#viewer [data-key=diffusion]", "stopped")
    assert visitor.page.locator("#restore").is_enabled()
    assert visitor.page.locator("#stop").is_disabled()
    visitor.restore()  # and the next run comes through
    assert visitor.page.locator("#download-diffusion").is_enabled()


def test_already_degraded_example_has_no_scores(visit, server):
    visitor = visit(server.url)
    index = next(i for i, example in enumerate(EXAMPLES) if example.degradation is None)
    button = visitor.page.locator("#examples button").nth(index)
    assert button.get_attribute("aria-label") == f"Example: {EXAMPLES[index].title}"
    button.click()
    visitor.wait_for(".caption", "as given")
    assert visitor.page.locator("#how input[value=degraded]").is_checked()
    assert not visitor.page.locator("#severity").is_visible()
    visitor.restore()
    visitor.wait_for("#scores", "Quality cannot be scored here")
    assert [len(row) for row in visitor.table()] == [2, 2, 2, 2, 2]


def test_damage_brings_its_own_slider(visit, server):
    visitor = visit(server.url)
    visitor.page.click("#degradation input")
    visitor.page.get_by_role("option", name="JPEG").click()
    visitor.wait_for("#severity", "quality")
    visitor.wait_for(".caption", "JPEG 20 (quality)")
    assert visitor.page.locator("#severity input[type=number]").input_value() == "20"


def test_own_original_gives_scores_and_a_wrong_one_a_sentence(visit, server, photo, tmp_path):
    task = job.prepare(photo, job.DAMAGE, "noise", 25)
    noisy = job.save(task.degraded, task, tmp_path, "noisy", {})
    Image.new("RGB", (20, 10)).save(tmp_path / "small.png")
    visitor = visit(server.url)
    visitor.upload(noisy)
    visitor.page.locator("#how input[value=reference]").check()
    visitor.upload(tmp_path / "small.png", "reference")
    visitor.wait_for("[data-testid=toast-body]", "both must have the same size")
    visitor.upload(photo, "reference")
    visitor.page.locator("#reference img[src*=slope]").wait_for()
    visitor.restore()
    assert visitor.table()[0][1] == f"{job.scores(task.degraded, task)['psnr']:.2f}"


def test_a_broken_file_says_so_once_and_costs_nothing(visit, server, tmp_path):
    visitor = visit(server.url)
    visitor.restore()
    before = visitor.table()
    (tmp_path / "bad.png").write_text("no picture")
    visitor.upload(tmp_path / "bad.png")
    visitor.wait_for("[data-testid=toast-body]", "bad.png is not a picture")
    visitor.page.wait_for_timeout(1000)
    assert visitor.page.get_by_text("bad.png is not a picture").count() == 1
    assert visitor.table() == before
    assert visitor.page.locator("#download-vae").is_enabled()


def test_restore_right_after_a_change_is_not_lost(visit, server):
    visitor = visit(server.url)
    visitor.page.locator("#examples button").nth(1).click()
    visitor.page.locator("#photo img[src*=chelsea]").wait_for()
    visitor.restore()
    visitor.page.wait_for_timeout(1500)
    visitor.wait_for("#status", "Done in")
    assert len(visitor.table()) == 5
    visitor.wait_for(".caption", "451×300, JPEG 20")


def test_a_run_may_be_over_before_the_click_is_answered(visit, monkeypatch):
    answered = threading.Event()

    def warm_up(runner):
        answered.wait()
        runner.warmed.set()

    monkeypatch.setattr(Runner, "warm_up", warm_up)  # until then the page listens to the server
    joined = """() => performance.getEntriesByType("resource").filter(
      ({ name }) => name.includes("queue/join")).length > 1"""
    serving = serve(fake_enhancers())
    visitor = visit(next(serving).url)

    def answer_late(route):
        answer = route.fetch()
        visitor.page.wait_for_timeout(2000)
        route.fulfill(response=answer)

    try:
        visitor.page.wait_for_function(joined)
        visitor.page.route("**/queue/join*", answer_late, times=1)
        visitor.restore()
        for name in ("vae", "gan", "diffusion"):
            visitor.page.locator(f"#viewer [data-key={name}][data-state=shown]").wait_for()
            assert visitor.page.locator(f"#download-{name}").is_enabled()
    finally:
        answered.set()
        serving.close()


def test_a_change_stops_the_run_and_clears_its_results(visit, slow_server):
    visitor = visit(slow_server.url)
    visitor.page.click("#restore")
    visitor.wait_for("#status", "Diffusion at work")
    visitor.page.locator("#how input[value=degraded]").check()
    visitor.page.locator("#download-vae[disabled]").wait_for()
    visitor.wait_for("#viewer [data-key=diffusion]", "not run yet")
    visitor.page.locator("#restore:not([disabled])").wait_for()
    begun = slow_server.enhancers["diffusion"].begun
    visitor.page.wait_for_timeout(2500)
    assert slow_server.enhancers["diffusion"].begun <= begun + 1
    assert visitor.page.locator("#download-vae").is_disabled()
    assert visitor.page.locator("#restore").is_enabled()


@pytest.mark.skipif(
    not all((WEIGHTS / name).is_dir() for name in ("vae", "gan", "diffusion")),
    reason="the weights are not trained yet",
)
def test_shipped_weights_help_against_noise(visit, photo, tmp_path):
    with_weights = serve([enhancers.load(name) for name in enhancers.NAMES])
    server = next(with_weights)
    try:
        visitor = visit(server.url)
        beforehand = [row[:-1] for row in visitor.table()]
        visitor.restore()
        (_, noisy, *_), *results = visitor.table()
        # To the decimals shown where processors compute alike, else within rounding.
        for (name, psnr, *_), (again, anew, *_) in zip(beforehand[1:], results, strict=True):
            assert name == again
            assert float(anew.split()[0]) == pytest.approx(float(psnr.split()[0]), abs=0.05)
        assert len(results) == 4
        assert all(float(psnr.split()[0]) > float(noisy) + 3 for _, psnr, *_ in results)
        assert Image.open(visitor.download("diffusion", tmp_path)).size == (SIDE, SIDE)
    finally:
        with_weights.close()
