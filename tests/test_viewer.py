import math
from pathlib import Path

import httpx
import numpy as np
import pytest
from fakes import FakeEnhancer
from PIL import Image

from enhancers import images
from eval.metrics import measure
from ui import job, markup
from ui.job import DAMAGE, DEGRADED
from ui.region import Region, scores
from ui.restore import watch
from ui.runner import Runner
from ui.viewer import FAILED, SHOWN, Panel, panels_of, state


@pytest.fixture
def pair(photo, tmp_path) -> dict[str, str]:
    """A noisy picture and the truth, as the page saves them."""
    task = job.prepare(photo, DAMAGE, "noise", 25)
    return {
        "noisy": job.save(task.degraded, task, tmp_path, "noisy", {}),
        "truth": job.save_preview(task.clean, task, tmp_path, "truth"),
    }


def test_region_scores_are_those_of_the_cut_out_pictures(pair):
    noisy, truth = (
        images.from_uint8(np.asarray(Image.open(pair[name]))[10:40, 20:70])
        for name in ("noisy", "truth")
    )
    found = scores({"a": pair["noisy"], "b": pair["truth"]}, pair["truth"], Region(20, 10, 50, 30))
    assert found["a"] == measure(noisy, truth)
    assert found["b"] == {"psnr": math.inf, "ssim": 1, "mse": 0}


def test_small_region_has_no_ssim_and_says_so(pair):
    region = Region(0, 0, 96, 10)
    found = scores({"noisy": pair["noisy"]}, pair["truth"], region)["noisy"]
    assert math.isnan(found["ssim"]) and math.isfinite(found["psnr"])
    rows = [markup.Row("Noisy", found)]
    table = markup.region_table(region, rows)
    assert "not defined" in table and "Too small for SSIM, which needs at least 11×11" in table
    assert "Too small" not in markup.region_table(
        Region(0, 0, 11, 11), [markup.Row("Noisy", found)]
    )


def test_region_without_truth_is_explained():
    assert "Quality cannot be scored here" in markup.region_table(Region(0, 0, 9, 9), None)


@pytest.mark.parametrize("region", [Region(90, 0, 7, 5), Region(0, 60, 5, 5)])
def test_region_outside_the_picture_is_refused(pair, region):
    with pytest.raises(ValueError, match="but the picture has only 96×64 pixels"):
        scores({"noisy": pair["noisy"]}, pair["truth"], region)


@pytest.mark.parametrize(
    "values", [(-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0.5), (0, 0, 5, None), (0, 0, "5", 5)]
)
def test_region_is_four_whole_numbers(values):
    with pytest.raises(ValueError, match="A region is left, top, width and height"):
        Region(*values)


def test_deleted_pictures_end_in_one_sentence(pair, tmp_path):
    (tmp_path / "truth.png").unlink()
    with pytest.raises(ValueError, match="no longer on the server"):
        scores({"noisy": pair["noisy"]}, pair["truth"], Region(0, 0, 5, 5))


def test_panels_come_back_from_the_browser_as_they_went(pair):
    panels = [
        Panel("input", "Input", "96×64", SHOWN, pair["noisy"]),
        Panel("truth", "Truth", "", SHOWN, pair["truth"], truth=True),
        Panel("gan", "GAN", "failed: no memory", FAILED),
    ]
    assert panels_of(state(panels)) == panels


def test_a_path_that_gradio_did_not_check_is_refused(pair):
    value = state([Panel("input", "Input", "", SHOWN, pair["noisy"])])
    value["panels"][0]["image"] = {"path": pair["truth"]}
    with pytest.raises(ValueError, match="meta"):
        panels_of(value)


def test_a_method_that_fails_says_why_where_its_picture_would_be(photo, tmp_path):
    task = job.prepare(photo, DEGRADED)
    fake = FakeEnhancer("diffusion", 0.9)
    views = []
    with pytest.raises(ValueError, match="steps must lie between"):
        for view in watch(Runner([fake]), task, 0, {"diffusion": {"steps": 99}}, tmp_path):
            views.append(view)
    panel = views[-1].panels["diffusion"]
    assert panel.state == FAILED and panel.note.startswith("failed: steps must lie between")
    assert panel.file is None


def test_only_pictures_of_this_server_are_measured(server, pair):
    """Whoever asks for a region names files; those that the page did not make are refused."""
    config = httpx.get(f"{server.url}config").json()
    events = [(event, d["id"]) for d in config["dependencies"] for _, event in d["targets"]]
    (asked_for,) = (number for event, number in events if event == "measure")
    (own,) = (c for c in config["components"] if c["props"].get("elem_id") == "viewer")
    marked = {"path": pair["truth"], "meta": {"_type": "gradio.FileData"}}
    images = [own["props"]["value"]["panels"][0]["image"], marked, marked | {"is_stream": True}]
    answers = []
    for image in [*images, {"path": pair["truth"]}, pair["truth"]]:
        panels = state([Panel("a", "A", "", SHOWN), Panel("truth", "T", "", SHOWN, truth=True)])
        for panel in panels["panels"]:
            panel["image"] = image
        session = f"region-{len(answers)}"
        asked = {
            "data": [panels],
            "fn_index": asked_for,
            "session_hash": session,
            "event_data": {"region": {"x": 0, "y": 0, "width": 20, "height": 20}},
        }
        httpx.post(f"{server.url}gradio_api/queue/join", json=asked).raise_for_status()
        answer = httpx.get(
            f"{server.url}gradio_api/queue/data", params={"session_hash": session}, timeout=60
        )
        answers.append("Inside 20×20 pixels" in answer.text)
    assert Path(pair["truth"]).exists()
    assert answers == [True, False, False, False, False]
