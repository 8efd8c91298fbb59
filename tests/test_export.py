"""The leaderboard in one HTML file."""

import base64
import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from conftest import DESKTOP, PATIENCE, PHONE
from test_charts import made, speed_table

from eval import export, leaderboard
from eval.results import COLUMNS

CHARTS = ("ranking", "curves", "plane", "speed", "scatter")


@pytest.fixture(scope="module")
def report() -> str:
    columns = ["test", "degradation", "severity", "metric", "value", "method", "source", "differs"]
    row = ("set", "noise", 25.0, "psnr", 31.0, "Theirs <3", "A paper", "sigma told")
    published = pd.DataFrame([row], columns=columns)
    photos = pd.concat([made(), made(degradation="jpeg", severities=(10.0, 20.0))])
    others = photos[photos["metric"] == "psnr"].assign(metric="of no view")
    photos = pd.concat([photos, others])
    return export.page(photos, speed_table(), published, ["abc<1>", "def"])


def data_of(report: str) -> list[dict]:
    (text,) = re.findall('<script id="data" type="text/plain">(.*?)</script>', report)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_every_view_is_there_with_all_charts_and_tables(report):
    views = data_of(report)
    assert [view["titles"] for view in views if view["usual"]] == [
        ["set", "Noise", "25", "PSNR"],
        ["set", "Noise", "25", "NIQE"],
        ["set", "JPEG", "20", "PSNR"],
        ["set", "JPEG", "20", "NIQE"],
    ]
    assert len(views) == 2 * (3 + 2)  # metrics, severities
    for view in views:
        assert tuple(view["charts"]) == CHARTS
        assert set(view["tables"]) == {"meaning", "standings", "beside", "wins"}
        assert "data-behind" not in view["tables"]["standings"]
        lines = {name: view["tables"][name].count("<tr") for name in ("standings", "wins")}
        assert lines["wins"] == lines["standings"] > 2
    (beside,) = [view["tables"]["beside"] for view in views if view["tables"]["beside"]]
    assert "Theirs &lt;3" in beside
    assert "Measured at abc&lt;1&gt;, def." in report


def test_the_command_writes_a_file_and_refuses_in_a_sentence(tmp_path, capsys):
    table = tmp_path / "results.csv"
    stamp = ("abc", "", "2", "cpu", "1")
    rows = [
        ("set", image, "noise", "25", method, "", "0", "psnr", value, *stamp)
        for image, method, value in (("a", "input", "20"), ("a", "vae", "29"), ("b", "vae", "28"))
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(table, index=False)
    out = tmp_path / "board.html"
    assert export.main(["--html", str(out), "--results", str(table)]) == 0
    assert len(data_of(out.read_text())) == 1
    table.write_text(",".join(COLUMNS) + "\n")
    for wrong, message in (
        (["--html", str(out), "--results", str(table)], "holds no measurement yet"),
        (["--html", str(out), "--results", str(tmp_path / "no.csv")], "No such file"),
        (["--html", str(out), "--results", str(leaderboard.SPEED)], "is not a results file"),
        ([], "--html"),
    ):
        with pytest.raises(SystemExit):
            export.main(wrong)
        assert message in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_file_works_alone(browser, report, tmp_path, viewport, scheme):
    file = tmp_path / "board.html"
    file.write_text(report, encoding="utf-8")
    context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri())
    for chart in CHARTS:
        box = page.wait_for_selector(f"[data-chart={chart}] .main-svg").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]

    def heading() -> str:
        return page.locator(".standings h3").inner_text()

    def choices(name: str) -> list[str]:
        return page.locator(f"[data-filter={name}] option").all_inner_texts()

    assert heading().startswith("Noise 25")
    assert choices("severity") == ["15", "25", "50"]
    page.select_option("[data-filter=severity]", "50")
    assert heading().startswith("Noise 50")
    page.select_option("[data-filter=metric]", "NIQE")
    assert "lower is better" in page.locator(".meaning").inner_text()
    page.select_option("[data-filter=degradation]", "JPEG")
    assert heading().startswith("JPEG 20")
    assert "NIQE" in page.locator("[data-chart=ranking] .gtitle").text_content()
    button = page.locator(".standings thead button").filter(has_text="NIQE")
    button.click()
    numbers = page.locator(".standings tbody td:nth-child(3)").all_inner_texts()
    assert list(map(float, numbers)) == sorted(map(float, numbers))
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    context.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_nothing_is_asked_of_the_network(report):
    own = Path(export.HERE / "export.html").read_text() + export.STYLE + export.SCRIPT
    assert not re.search(r"https?:|<link|\bsrc=|@import|url\(|fetch\(", own)
