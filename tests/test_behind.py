"""What lies behind a number: the table of photos, and the pictures made again."""

import html
import json
import re

import pandas as pd
import pytest
import torch
from fakes import fake_enhancers
from test_charts import VIEW, made

from enhancers import images
from eval import charts, report
from eval.datasets import at_hand, open_dataset
from eval.leaderboard import View, scores, standings
from eval.metrics import psnr
from eval.protocols import damage
from ui.behind import default_image, pictures

NOISY = View("samples", "noise", 25.0, "psnr")


def asked(markup: str) -> list[dict]:
    """What the buttons of a table ask for."""
    return [json.loads(html.unescape(text)) for text in re.findall('data-behind="(.*?)"', markup)]


def test_lines_and_points_say_whose_photos_lie_behind_them():
    photos = made()
    rows = standings(scores(photos, VIEW), "psnr")
    assert asked(report.standings_table(rows, VIEW)) == []
    labels = [{"label": row.label} for row in rows]
    assert asked(report.standings_table(rows, VIEW, opens=True)) == labels
    for trace in charts.ranking(photos, VIEW).data:
        assert [json.loads(text) for text in trace.customdata] == labels[::-1]
    curve = charts.severity_curves(photos, VIEW).data[1]
    assert [json.loads(text) for text in curve.customdata] == [
        {"label": "vae", "severity": severity} for severity in (15, 25, 50)
    ]
    plane = {trace.name: trace for trace in charts.perception_distortion(photos, VIEW).data}
    assert [json.loads(text)["label"] for text in plane["Diffusion"].customdata] == [
        "diffusion",
        "diffusion:steps=8",
    ]
    points = charts.photo_scatter(photos, VIEW, "vae", "gan").data[1]
    assert json.loads(points.customdata[0]) == {"label": "gan", "image": "0.png"}


def test_photos_are_listed_from_best_to_worst_beside_the_input():
    table = pd.DataFrame(
        {"input": [20.0, 21, 22], "vae": [25.0, 29.5, 27]}, index=["a.png", "<b>.png", "c.png"]
    )
    markup = report.photos_table(table, VIEW, "vae", at_hand=True)
    assert [button["image"] for button in asked(markup)] == ["<b>.png", "c.png", "a.png"]
    assert asked(markup)[0] == {"label": "vae", "severity": 25.0, "image": "<b>.png"}
    assert "29.50 <small>best</small>" in markup
    assert "25.00 <small>worst</small>" in markup
    assert "+8.50" in markup
    assert "<b>.png" not in markup
    lower = report.photos_table(table, View("set", "noise", 25.0, "mse"), "vae", at_hand=True)
    assert [button["image"] for button in asked(lower)] == ["a.png", "c.png", "<b>.png"]
    neither = report.photos_table(table, View("set", "noise", 25.0, "hf_energy"), "vae", True)
    assert "best" not in neither.replace("neither higher nor lower is better", "")


def test_photos_that_are_elsewhere_are_said_to_be_and_cannot_be_pressed():
    table = pd.DataFrame({"vae": [25.0, 29.5]}, index=["a.png", "b.png"])
    markup = report.photos_table(table, VIEW, "vae", at_hand=False)
    assert asked(markup) == []
    assert "The photos of set are not on this server" in markup
    assert "29.50" in markup


def test_datasets_at_hand_are_those_here_already(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert at_hand("samples").name == "samples"
    assert at_hand("cbsd68") is None
    (tmp_path / "triptych" / "cbsd68").mkdir(parents=True)
    images.save_png(tmp_path / "triptych" / "cbsd68" / "a.png", torch.zeros(1, 3, 2, 2))
    assert [entry.name for entry in at_hand("cbsd68")] == ["a.png"]


@pytest.mark.parametrize(
    ("metric", "image"), [("psnr", "low"), ("mse", "high"), ("hf_energy", "middle")]
)
def test_the_worst_photo_is_shown_first(metric, image):
    values = pd.Series({"middle": 2.0, "low": 1.0, "high": 3.0})
    assert default_image(values, metric) == image


def test_pictures_are_those_that_were_measured(tmp_path):
    enhancers = {enhancer.spec.name: enhancer for enhancer in fake_enhancers()}
    samples = open_dataset("samples")
    panels = pictures(samples, NOISY, "diffusion:steps=2", "chelsea", enhancers, tmp_path)
    assert [panel.key for panel in panels] == ["truth", "input", "restored"]
    assert [panel.truth for panel in panels] == [True, False, False]
    truth, degraded, restored = (images.load(panel.file).pixels for panel in panels)
    (clean,) = (entry.load() for entry in samples if entry.name == "chelsea")
    assert torch.equal(truth, clean)
    expected, _ = damage(clean, "chelsea", "noise", 25)
    assert torch.equal(degraded, expected)
    assert psnr(restored, clean) > psnr(degraded, clean) + 1
    assert enhancers["diffusion"].done == 2
    panels = pictures(samples, NOISY, "input", "chelsea", enhancers, tmp_path)
    assert [panel.key for panel in panels] == ["truth", "input"]
    with pytest.raises(ValueError, match=r"gone\.png is not among the photos of samples"):
        pictures(samples, NOISY, "vae", "gone.png", enhancers, tmp_path)


def test_noise_beyond_black_and_white_can_be_shown(tmp_path):
    view = View("samples", "noise-float", 50.0, "psnr")
    panels = pictures(open_dataset("samples"), view, "input", "chelsea", {}, tmp_path)
    assert images.load(panels[1].file).pixels.max() == 1
