import itertools
import json
import math
import re
from pathlib import Path

import gradio
import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs_version

from eval import charts, leaderboard, report
from eval.leaderboard import View, scores, standings
from eval.results import COLUMNS, per_photo

VIEW = View("set", "noise", 25.0, "psnr")
SETTINGS = (
    ("input", "", 20.0),
    ("vae", "", 29.0),
    ("gan", "realism=1", 28.5),
    ("diffusion", "steps=1", 29.5),
    ("diffusion", "steps=8", 28.0),
    ("a-classic", "", 26.0),
)


def row(image, method, options, metric, value, degradation="noise", severity=25.0):
    stamp = ("", "", "", "", 1)
    return ("set", image, degradation, severity, method, options, 0, metric, value, *stamp)


def made(metrics=("psnr", "niqe"), severities=(15.0, 25.0, 50.0), degradation="noise"):
    """Results of 12 photos with a clear order of methods; `a-classic` is one that nobody knows."""
    chance = np.random.default_rng(0)
    rows = []
    for i, metric, severity, (method, options, level) in itertools.product(
        range(12), metrics, severities, SETTINGS
    ):
        value = level + i + chance.normal(scale=0.1) - severity / 9
        rows.append(row(f"{i}.png", method, options, metric, value, degradation, severity))
    return per_photo(pd.DataFrame(rows, columns=list(COLUMNS)))


@pytest.fixture(scope="module")
def photos():
    return made()


def speed_table() -> pd.DataFrame:
    columns = ["method", "options", "size", "threads", "median_s", "cpu"]
    rows = [
        ("yardstick", "", "512x512", "2", "0.3", "A processor"),
        ("vae", "", "512x512", "2", "0.2", "A processor"),
        ("diffusion", "steps=1", "512x512", "2", "0.4", "A processor"),
        ("diffusion", "steps=8", "512x512", "2", "3.2", "A processor"),
        ("vae", "", "4000x3000", "2", "", "A processor"),
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def speed():
    return speed_table()


def drawn(photos, speed) -> dict:
    return {
        "ranking": charts.ranking(photos, VIEW),
        "curves": charts.severity_curves(photos, VIEW),
        "plane": charts.perception_distortion(photos, VIEW),
        "speed": charts.speed_quality(photos, speed, VIEW),
        "scatter": charts.photo_scatter(photos, VIEW, "vae", "diffusion"),
    }


def text(figure) -> str:
    return re.sub("<[^>]*>", " ", figure.layout.title.text)


def by_name(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


# What holds for every chart


def test_plotly_draws_for_the_plotly_js_that_gradio_bundles():
    assets = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
    (bundle,) = assets.glob("PlotlyPlot-*.js")
    bundled = re.findall(r"\.version=[`'\"](\d+\.\d+\.\d+)[`'\"]", bundle.read_text("utf-8"))
    assert get_plotlyjs_version() in bundled


def test_every_chart_says_where_how_many_and_which_way_is_better(photos, speed):
    for name, figure in drawn(photos, speed).items():
        assert "set" in text(figure), name
        assert "n = 12 photos" in text(figure), name
        assert "higher is better" in text(figure), name
        assert "dB" in json.dumps(figure.layout.to_plotly_json()), name


def test_every_chart_is_clear_and_lets_a_finger_scroll_the_page(photos, speed):
    for name, figure in drawn(photos, speed).items():
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == charts.CLEAR, name
        assert figure.layout.xaxis.fixedrange, name
        assert figure.layout.yaxis.fixedrange, name
        assert figure.layout.dragmode is False, name


def test_a_chart_without_data_is_a_sentence(photos, speed):
    elsewhere = View("other", "noise", 25.0, "psnr")
    figures = [
        charts.ranking(photos, elsewhere),
        charts.severity_curves(photos, elsewhere),
        charts.severity_curves(made(severities=(25.0,)), VIEW),
        charts.perception_distortion(photos, elsewhere),
        charts.perception_distortion(made(metrics=("psnr",)), VIEW),
        charts.speed_quality(photos, speed[speed["method"] == "yardstick"], VIEW),
        charts.speed_quality(photos, speed, elsewhere),
        charts.photo_scatter(photos, VIEW, "vae", "vae"),
        charts.photo_scatter(photos, VIEW, "vae", "unknown"),
    ]
    for figure in figures:
        assert not figure.data
        assert not figure.layout.xaxis.visible
        (annotation,) = figure.layout.annotations
        assert annotation.text.endswith(".")


def test_methods_keep_their_look_and_strangers_get_one(photos):
    look = charts.styles(["nlm", "tv", "vae"])
    assert look == charts.styles(["vae", "tv", "nlm"])
    assert len({(s.colour, s.marker) for s in look.values()}) == len(look)
    assert len({s.colour for s in charts.styles([]).values()}) == 4
    many = charts.styles([f"m{i}" for i in range(20)])
    assert len({(s.colour, s.marker) for s in many.values()}) == len(many)


# Each chart


def test_ranking_shows_means_intervals_and_ranks_the_best_on_top(photos):
    bars, points = charts.ranking(photos, VIEW).data
    rows = standings(scores(photos, VIEW), "psnr")
    assert rows[0].label == "diffusion"
    assert points.x[-1] == rows[0].mean.value
    assert points.error_x.array[-1] == pytest.approx(rows[0].mean.high - rows[0].mean.value)
    assert points.error_x.arrayminus[-1] == pytest.approx(rows[0].mean.value - rows[0].mean.low)
    assert "rank 1" in points.y[-1]
    ends = [base + length for base, length in zip([bars.base] * len(bars.x), bars.x, strict=True)]
    assert ends == pytest.approx(list(points.x))
    assert bars.base == pytest.approx(scores(photos, VIEW)["input"].mean())


def test_severity_curves_grow_worse_to_the_right(photos):
    figure = charts.severity_curves(photos, VIEW)
    lines = by_name(figure)
    assert list(lines["VAE"].x) == [15, 25, 50]
    assert lines["VAE"].y[0] > lines["VAE"].y[2]
    assert lines["Diffusion"].line.color == lines["Diffusion, steps=8"].line.color
    assert lines["Diffusion"].line.dash != lines["Diffusion, steps=8"].line.dash
    assert figure.layout.xaxis.autorange is True
    jpeg = made(degradation="jpeg", severities=(10.0, 40.0))
    figure = charts.severity_curves(jpeg, View("set", "jpeg", 10.0, "psnr"))
    assert figure.layout.xaxis.autorange == "reversed"
    assert "quality" in figure.layout.xaxis.title.text


def test_plane_joins_the_settings_of_a_method_in_order(photos):
    figure = charts.perception_distortion(photos, VIEW)
    line = by_name(figure)["Diffusion"]
    assert line.mode == "lines+markers+text"
    assert line.text == ("steps=1", "steps=8")
    psnr = scores(photos, VIEW)
    assert list(line.x) == pytest.approx(
        [psnr["diffusion"].mean(), psnr["diffusion:steps=8"].mean()]
    )
    assert by_name(figure)["VAE"].mode == "markers"
    assert figure.layout.yaxis.autorange == "reversed"  # lower NIQE is better, so up


def test_plane_takes_fine_detail_where_niqe_is_missing():
    figure = charts.perception_distortion(made(metrics=("psnr", "hf_energy")), VIEW)
    assert figure.layout.yaxis.title.text.startswith("Fine detail")
    assert "1 is right" in text(figure)


def test_speed_takes_only_what_was_timed_and_measured(photos, speed):
    figure = charts.speed_quality(photos, speed, VIEW)
    assert set(by_name(figure)) == {"VAE", "Diffusion"}
    assert list(by_name(figure)["Diffusion"].x) == [0.4, 3.2]
    assert "512×512 pixels, 2 threads" in text(figure)
    assert figure.layout.xaxis.type == "log"
    assert set(figure.layout.xaxis.ticktext) >= {"0.2", "0.5", "1", "2"}
    assert charts.speed_quality(photos, speed[:3], VIEW).layout.xaxis.type is None


def test_scatter_has_a_point_per_photo_and_counts_the_winner(photos):
    equal, points = charts.photo_scatter(photos, VIEW, "vae", "diffusion").data
    assert len(points.x) == 12
    assert list(equal.x) == list(equal.y)
    table = scores(photos, VIEW)
    share = (table["diffusion"] > table["vae"]).mean()
    figure = charts.photo_scatter(photos, VIEW, "vae", "diffusion")
    assert f"Diffusion is better on {share:.0%} of the photos" in text(figure)
    assert "0.png" in points.hovertext[0]


# The tables


def test_standings_name_the_best_and_the_tied():
    values = 30 + np.arange(20.0)
    twin = values + np.random.default_rng(0).normal(scale=0.1, size=20)
    table = pd.DataFrame({"vae": values, "gan": twin, "input": values - 9 - twin / 99})
    rows = standings(table, "psnr")
    html = report.standings_table(rows, VIEW)
    assert html.count("1–2 <small>tied</small>") == 2
    assert html.count("class=best") == 2
    assert "Degraded input" in html
    assert "higher is better" in report.meaning(VIEW)
    wins = report.wins_table(rows)
    assert "<td class=won>100%</td>" in wins
    assert "<td>–</td>" in wins


def test_lower_is_better_puts_the_smallest_first():
    table = pd.DataFrame({"a": [5.0, 6.0, 7.0], "b": [1.0, 2.0, 3.5]})
    assert [row.label for row in standings(table, "mse")] == ["b", "a"]
    assert [row.label for row in standings(table, "psnr")] == ["a", "b"]


def test_no_direction_no_ranks():
    table = pd.DataFrame({"a": [0.5, 0.6], "b": [1.0, 2.0]})
    rows = standings(table, "hf_energy")
    assert [row.rank for row in rows] == [None, None]
    html = report.standings_table(rows, View("set", "noise", 25.0, "hf_energy"))
    assert "Rank" not in html
    assert report.wins_table(rows) == ""


def test_a_value_without_interval_has_a_dash():
    rows = standings(pd.DataFrame({"a": [5.0]}), "psnr")
    assert math.isnan(rows[0].mean.low)
    assert ">–<" in report.standings_table(rows, VIEW)


def test_published_numbers_are_marked_and_sorted_among_ours():
    columns = ["test", "degradation", "severity", "protocol", "metric", "value", "method"]
    theirs = pd.DataFrame(
        [
            ("set", "noise", 25.0, "float", "psnr", 31.0, "<Theirs>", "A paper", "sigma told"),
            ("set", "noise", 50.0, "float", "psnr", 28.0, "Elsewhere", "A paper", ""),
        ],
        columns=[*columns, "source", "differs"],
    )
    ours = standings(pd.DataFrame({"vae": [30.0, 31.5], "gan": [33.0, 34.0]}), "psnr")
    html = report.published_table(leaderboard.published(theirs, VIEW), ours, VIEW)
    assert html.index("GAN") < html.index("&lt;Theirs&gt;") < html.index("VAE")
    assert html.count("<small>published</small>") == 1
    assert "sigma told" in html
    assert "Elsewhere" not in html
    assert report.published_table(theirs[:0], ours, VIEW) == ""
