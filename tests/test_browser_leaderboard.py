"""The Leaderboard tab in a real Chromium: every chart drawn, at the sizes and themes people use."""

from __future__ import annotations

import re
import time

import pandas as pd
import pytest
from conftest import DESKTOP, PHONE, serve
from fakes import fake_enhancers
from test_charts import made, speed_table

from eval import leaderboard
from eval.datasets import open_dataset
from eval.results import read_results
from ui import leaderboard as tab

pytestmark = pytest.mark.browser

CHARTS = ("ranking", "curves", "plane", "speed", "scatter")


@pytest.fixture(scope="module")
def board():
    """A page whose leaderboard has every kind of number."""
    photos = pd.concat([made(), with_samples()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tab, "photos", lambda: photos)
        patch.setattr(tab, "speed", speed_table)
        patch.setattr(tab, "published", published)
        yield from serve(fake_enhancers())


def with_samples() -> pd.DataFrame:
    """Results of photos that every installation has."""
    names = [entry.name for entry in open_dataset("samples")]
    photos = made(severities=(25.0,))
    photos["image"] = photos["image"].map({f"{i}.png": name for i, name in enumerate(names)})
    return photos.dropna(subset="image").assign(dataset="samples")


def published() -> pd.DataFrame:
    columns = ["test", "degradation", "severity", "metric", "value", "method", "source", "differs"]
    row = ("set", "noise", 25.0, "psnr", 31.0, "Theirs", "A paper", "sigma told")
    return pd.DataFrame([row], columns=columns)


def open_board(visitor, chart: str = "scatter") -> None:
    visitor.open_tab("Leaderboard")
    visitor.page.wait_for_selector(f"#board-{chart} .main-svg")


def pick(visitor, field: str, option: str) -> None:
    """Choose in a dropdown once the last change is over: its answer renews the choices."""
    visitor.page.wait_for_selector("#board-ranking > .wrap.hide", state="attached")
    visitor.page.click(f"#board-{field} input")
    visitor.page.get_by_role("option", name=option).click()


def shapes(visitor, chart: str) -> int:
    """Bars and points that can be seen."""
    script = """chart =>
        [...document.querySelectorAll(`#board-${chart} .point path, #board-${chart} path.point`)]
        .filter(shape => shape.getBoundingClientRect().width > 0).length"""
    return visitor.page.evaluate(script, chart)


def colours(visitor, selector: str) -> tuple[float, float]:
    """Brightness of a text and of what is behind it, 0 to 1."""
    script = """selector => {
        const text = document.querySelector(selector);
        let behind = text;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
            behind = behind.parentElement;
        return [getComputedStyle(text).fill, getComputedStyle(behind).backgroundColor];
    }"""
    found = visitor.page.evaluate(script, selector)
    numbers = [[int(part) for part in c[c.index("(") + 1 : -1].split(",")[:3]] for c in found]
    return tuple(sum(rgb) / 765 for rgb in numbers)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_chart_is_drawn_and_readable(visit, board, viewport, theme):
    visitor = visit(f"{board.url}?__theme={theme}", viewport)
    open_board(visitor)
    # The input's bar has no length: bars start there.
    expected = {"ranking": 11, "curves": 18, "plane": 6, "speed": 3, "scatter": 12}
    for chart in CHARTS:
        visitor.page.wait_for_selector(f"#board-{chart} .main-svg")
        assert shapes(visitor, chart) == expected[chart], chart
        box = visitor.page.locator(f"#board-{chart} .main-svg").first.bounding_box()
        assert box["x"] >= 0, chart
        assert box["x"] + box["width"] <= viewport["width"], chart
        text, page = colours(visitor, f"#board-{chart} .xtick text")
        assert abs(text - page) > 0.6, chart
        assert (
            visitor.page.locator(f"#board-{chart} .gtitle").bounding_box()["width"] < box["width"]
        )
    assert visitor.size()[0] <= viewport["width"]
    visitor.wait_for("#board-published", "sigma told")


def test_filters_change_table_and_charts(visit, board):
    visitor = visit(board.url)
    open_board(visitor)
    visitor.wait_for("#board-table h3", "Noise 25")
    pick(visitor, "severity", "50")
    visitor.wait_for("#board-table h3", "Noise 50")
    visitor.wait_for("#board-ranking .gtitle", "Noise 50")
    pick(visitor, "metric", "NIQE")
    visitor.wait_for("#board-meaning", "lower is better")
    visitor.wait_for("#board-table tbody tr:first-child", "Degraded input")
    pick(visitor, "second", "a-classic")
    visitor.wait_for("#board-scatter .gtitle", "a-classic is better")


def test_a_click_on_a_heading_sorts_by_number(visit, board):
    visitor = visit(board.url)
    open_board(visitor)
    button = visitor.page.locator("#board-table thead button").filter(has_text="PSNR")
    numbers = visitor.page.locator("#board-table tbody td:nth-child(3)")
    button.click()
    rising = [float(text) for text in numbers.all_inner_texts()]
    assert rising == sorted(rising)
    assert visitor.page.locator("#board-table th[aria-sort=ascending]").count() == 1
    button.click()
    assert [float(text) for text in numbers.all_inner_texts()] == rising[::-1]


def test_the_shipped_results_are_shown_and_downloaded(visit, server, tmp_path):
    visitor = visit(server.url)
    open_board(visitor, "ranking")
    assert shapes(visitor, "ranking") >= 8
    with visitor.page.expect_download() as started:
        visitor.page.click("#board-download")
    started.value.save_as(tmp_path / "board.csv")
    assert (tmp_path / "board.csv").read_bytes() == leaderboard.LEADERBOARD.read_bytes()


def test_every_dropdown_has_its_choices_when_opened_again(visit, board):
    visitor = visit(board.url)
    open_board(visitor)
    visitor.open_tab("Restore")
    open_board(visitor)
    visitor.page.click("#board-severity input")
    options = visitor.page.get_by_role("option").all_inner_texts()
    assert [text.split()[-1] for text in options] == ["15", "25", "50"]


# --- The photos behind a number ----------------------------------------------------------------


def panel(key: str) -> str:
    return f"#board-viewer [data-key={key}][data-state=shown]"


def test_a_click_on_a_line_lists_its_photos(visit, board):
    visitor = visit(board.url)
    open_board(visitor)
    visitor.page.locator("#board-table tbody tr").first.locator("td").last.click()
    visitor.wait_for("#board-behind h3", "Diffusion, Noise 25 (sigma, 0-255), set: photo by photo")
    assert visitor.page.locator("#board-behind tbody tr").count() == 12
    visitor.wait_for("#board-behind", "The photos of set are not on this server")
    assert not visitor.page.locator("#board-viewer").is_visible()
    pick(visitor, "severity", "50")
    visitor.wait_for("#board-table h3", "Noise 50")
    assert visitor.page.locator("#board-behind h3").count() == 0


def test_a_click_on_a_point_opens_the_pictures_behind_it(visit, board):
    visitor = visit(board.url)
    open_board(visitor)
    visitor.page.locator("#board-curves .point path, #board-curves path.point").last.hover(
        force=True
    )
    visitor.page.mouse.down()
    visitor.page.mouse.up()
    visitor.wait_for("#board-behind h3", "Noise 50")
    pick(visitor, "dataset", "samples")
    visitor.wait_for("#board-table h3", "samples")
    visitor.page.wait_for_selector("#board-ranking > .wrap.hide", state="attached")
    visitor.page.locator("#board-table tbody button").filter(has_text="VAE").click()
    for key in ("truth", "input", "restored"):  # of the worst photo
        visitor.page.wait_for_selector(panel(key))
    worst = visitor.page.locator("#board-behind tbody tr").last.locator("th").inner_text()
    visitor.wait_for(panel("truth"), worst)
    visitor.page.locator("#board-behind tbody button").first.click()
    best = visitor.page.locator("#board-behind tbody tr").first.locator("th").inner_text()
    visitor.wait_for(panel("truth"), best)
    visitor.wait_for(panel("restored"), "VAE")
    assert visitor.size()[0] <= 1280


# --- The visitor's own photos ------------------------------------------------------------------


def measure(visitor, photo, *methods: str) -> None:
    """Upload a photo and start; methods: those beside the usual ones.

    Not before the charts are drawn: meanwhile the browser shows nothing else that comes.
    """
    open_board(visitor)
    visitor.page.get_by_text("Measure my own photos").click()
    visitor.page.set_input_files("#board-files input[type=file]", photo)
    visitor.wait_for("#board-files", photo.name)
    for method in methods:
        visitor.page.fill("#board-methods input", method)
        visitor.page.keyboard.press("Enter")
    visitor.page.click("#board-measure")


def test_own_photos_join_the_view_and_never_the_shipped_file(visit, board, photo, tmp_path):
    shipped = leaderboard.LEADERBOARD.read_bytes()
    visitor = visit(board.url)
    measure(visitor, photo, "diffusion:steps=2")
    visitor.wait_for("#board-status", "Done: 7 restorations")  # input, two for noise, four models
    visitor.wait_for("#board-table h3", "Noise 25 (sigma, 0-255), Your photos")
    assert visitor.page.locator("#board-table tbody tr").count() == 7
    visitor.page.locator("#board-my-download:not([disabled])").wait_for()
    with visitor.page.expect_download() as started:
        visitor.page.click("#board-my-download")
    started.value.save_as(tmp_path / "mine.csv")
    rows = read_results(tmp_path / "mine.csv")
    assert set(rows["dataset"]) == {"Your photos"}
    assert set(rows["image"]) == {photo.name}
    assert leaderboard.LEADERBOARD.read_bytes() == shipped
    visitor.page.locator("#board-table tbody button").filter(has_text="VAE").click()
    visitor.page.wait_for_selector(panel("restored"))
    pick(visitor, "dataset", "set")
    visitor.wait_for("#board-table h3", "set: means")
    stranger = visit(board.url)
    open_board(stranger)
    stranger.page.click("#board-dataset input")
    assert stranger.page.get_by_role("option", name="Your photos").count() == 0


def test_stop_ends_a_measurement_and_shows_what_there_is(visit, slow_server, photo):
    visitor = visit(slow_server.url)
    measure(visitor, photo)
    visitor.wait_for("#board-status", re.compile("[1-5] of 6 restorations"))
    visitor.page.click("#board-stop")
    visitor.wait_for("#board-status", "Stopped.")
    visitor.wait_for("#board-table h3", "Your photos")
    visitor.page.locator("#board-measure:not([disabled])").wait_for()
    begun = sum(fake.begun for fake in slow_server.enhancers.values())
    time.sleep(3)
    assert sum(fake.begun for fake in slow_server.enhancers.values()) <= begun + 1


def test_a_wrong_request_is_refused_in_a_sentence(visit, board):
    visitor = visit(board.url)
    visitor.open_tab("Leaderboard")
    visitor.page.get_by_text("Measure my own photos").click()
    visitor.page.click("#board-measure")
    visitor.wait_for("body", "Choose photos first")
    visitor.page.locator("#board-measure:not([disabled])").wait_for()
