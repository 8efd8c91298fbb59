"""The Leaderboard tab in a real Chromium: every chart drawn, at the sizes and themes people use."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import DESKTOP, PHONE, serve
from fakes import fake_enhancers
from test_charts import made, speed_table

from eval import leaderboard
from ui import leaderboard as tab

pytestmark = pytest.mark.browser

CHARTS = ("ranking", "curves", "plane", "speed", "scatter")


@pytest.fixture(scope="module")
def board():
    """A page whose leaderboard has every kind of number."""
    photos = made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tab, "photos", lambda: photos)
        patch.setattr(tab, "speed", speed_table)
        patch.setattr(tab, "published", published)
        yield from serve(fake_enhancers())


def published() -> pd.DataFrame:
    columns = ["test", "degradation", "severity", "metric", "value", "method", "source", "differs"]
    row = ("set", "noise", 25.0, "psnr", 31.0, "Theirs", "A paper", "sigma told")
    return pd.DataFrame([row], columns=columns)


def open_board(visitor, chart: str = "scatter") -> None:
    visitor.page.get_by_role("tab", name="Leaderboard").click()
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
    visitor.page.get_by_role("tab", name="Restore").click()
    open_board(visitor)
    visitor.page.click("#board-severity input")
    options = visitor.page.get_by_role("option").all_inner_texts()
    assert [text.split()[-1] for text in options] == ["15", "25", "50"]
