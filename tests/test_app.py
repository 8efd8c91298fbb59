import json
import math
import re
import time
import urllib.request
from contextlib import nullcontext

import gradio_client
import numpy as np
import pytest
import torch
from fakes import FakeEnhancer, fake_enhancers
from PIL import Image

from enhancers import images
from eval.metrics import measure
from eval.speed import running_app
from ui import api, build_demo, examples, job, markup
from ui.api import checked_options
from ui.job import DAMAGE, DEGRADED, REFERENCE
from ui.restore import nested, severity_slider, watch
from ui.runner import Runner


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


# The page as a whole


def test_build_demo_constructs_with_only_three_public_endpoints():
    demo = build_demo(fake_enhancers())
    assert set(demo.get_api_info()["named_endpoints"]) == {"/degrade", "/enhance", "/methods"}
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility != "private"}
    assert public == {"degrade", "enhance", "methods"}


def test_all_model_work_waits_in_one_line():
    demo = build_demo(fake_enhancers())
    lines = {fn.name: fn.concurrency_id for fn in demo.fns.values() if fn.fn}
    assert lines["restore"] == lines["enhance"] == "models"


def test_examples_are_bundled_and_some_need_no_damage():
    assert len(examples.EXAMPLES) >= 8
    for example in examples.EXAMPLES:
        task = job.prepare(examples.path(example), example.how, example.degradation or "")
        assert task.degraded.shape[1] == 3
        assert max(Image.open(examples.thumbnail(example)).size) <= examples.THUMBNAIL
    assert any(example.how == DEGRADED for example in examples.EXAMPLES)
    assert examples.EXAMPLES[0].how == DAMAGE


def test_page_names_no_outside_host(server):
    html = urllib.request.urlopen(server.url).read().decode()
    loaded = re.sub(r"<meta[^>]*>", "", html)  # Gradio's card for social networks, never fetched
    css = urllib.request.urlopen(f"{server.url}theme.css").read().decode()
    hosts = re.findall(r"""(?:src|href|url\(|@import)[=\s"'(]*(?:https?:)?//([^/"')]+)""", loaded)
    assert [host for host in hosts if not host.startswith("127.0.0.1")] == []
    assert re.findall(r"""(?:url\(|@import)[\s"'(]*(?:https?:)?//[^/"')]+""", css) == []


def test_app_runs_beside_another_users_and_leaves_no_photos(tmp_path, monkeypatch):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 16), (90, 90, 90)).save(photo)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "gradio").write_text("somebody else's")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with running_app(threads=1) as app:
        client = gradio_client.Client(app.url, verbose=False, download_files=False)
        client.predict(gradio_client.handle_file(photo), "noise", 10, api_name="/degrade")
        assert list(temporary.glob("triptych-*/**/photo.png"))
    assert not list(temporary.glob("triptych-*"))


# What is done to a photo before the enhancers see it


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1", "I;16"])
def test_any_kind_of_picture_keeps_size_and_alpha(tmp_path, mode):
    source = tmp_path / "in.png"
    if mode == "I;16":
        Image.fromarray(np.full((5, 7), 40000, np.uint16)).save(source)
    else:
        colour = (200, 100, 50, 128) if mode.endswith("A") else (200, 100, 50)
        Image.new("RGBA" if mode.endswith("A") else "RGB", (7, 5), colour).convert(mode).save(
            source
        )
    task = job.prepare(source, DAMAGE, "noise", 10)
    assert task.degraded.shape == (1, 3, 5, 7)
    saved = Image.open(job.save(task.degraded, task, tmp_path, "out", {}))
    assert saved.size == (7, 5)
    assert saved.mode == ("RGBA" if mode in ("RGBA", "LA") else "RGB")
    if saved.mode == "RGBA":
        assert set(np.asarray(saved)[..., 3].flat) == {128}


def test_one_pixel_goes_all_the_way(tmp_path):
    Image.new("RGB", (1, 1), (9, 99, 199)).save(tmp_path / "dot.png")
    task = job.prepare(tmp_path / "dot.png", DAMAGE, "noise", 25)
    views = list(watch(Runner(fake_enhancers()), task, 0, {}, tmp_path))
    assert "not defined" in views[-2].table  # SSIM needs a window
    assert Image.open(tmp_path / "dot.vae.png").size == (1, 1)


def test_huge_photo_is_refused_by_its_size_and_name(tmp_path):
    Image.new("1", (5000, 4000)).save(tmp_path / "huge.png")
    with pytest.raises(images.ImageError, match=r"huge\.png has 5000 × 4000 pixels") as error:
        job.prepare(tmp_path / "huge.png", DEGRADED)
    assert str(tmp_path) not in str(error.value)


def test_photo_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert job.prepare(tmp_path / "turned.jpg", DEGRADED).degraded.shape == (1, 3, 30, 20)


def test_same_seed_same_damage(photo):
    first, again, other = (job.prepare(photo, DAMAGE, "noise", 25, s).degraded for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reference_is_the_truth(photo, tmp_path):
    damaged = job.prepare(photo, DAMAGE, "noise", 25)
    file = job.save(damaged.degraded, damaged, tmp_path, "noisy", {})
    task = job.prepare(file, REFERENCE, reference=photo)
    assert torch.equal(task.clean, damaged.clean)
    assert job.scores(task.degraded, task) == measure(damaged.degraded, damaged.clean)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"photo": None}, "Choose a photo first"),
        ({"how": REFERENCE}, "Give the original"),
        ({"how": "clean"}, "A photo is"),
        ({"degradation": "rust"}, "There is no degradation 'rust'"),
        ({"severity": 99}, "goes from 0 to 55, but got 99"),
        ({"severity": math.nan}, "but got nan"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"seed": 1.5}, "A seed is a whole number"),
        ({"seed": math.inf}, "A seed is a whole number"),
        ({"seed": math.nan}, "A seed is a whole number"),
        ({"seed": None}, "but got nothing"),
    ],
)
def test_wrong_settings_end_in_one_sentence(photo, settings, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        job.prepare(**{"photo": photo, "how": DAMAGE} | settings)
    assert "\n" not in str(error.value)


def test_reference_of_another_size_is_refused(photo, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="64×64 pixels and the photo 96×64"):
        job.prepare(photo, REFERENCE, reference=tmp_path / "small.png")


def test_severity_slider_fits_the_degradation():
    assert severity_slider("jpeg")["info"].endswith("Lower is worse.")
    assert severity_slider("noise")["maximum"] == 55


# The run


def test_run_shows_every_result_in_order_with_scores(photo, tmp_path):
    runner, task = Runner(fake_enhancers()), job.prepare(photo, DAMAGE, "noise", 25)
    views = list(watch(runner, task, 3, {}, tmp_path))
    panels = [panel for view in views for panel in view.panels.values()]
    shown = [panel.key for panel in panels if panel.state == "shown"]
    assert shown == ["input", "truth", "classical", "vae", "gan", "diffusion"]
    assert np.array_equal(pixels(panels[1].file), images.to_uint8(task.clean))
    table = views[-2].table
    assert table.count(">best<") == 3
    assert table.count("no gain over the input") == 3
    assert views[-1].status.startswith('<div class="status"><p><span role="status">Done in')
    restored = runner.enhancers["vae"].restore(task.degraded, seed=3)
    assert np.array_equal(pixels(tmp_path / "slope.vae.png"), images.to_uint8(restored))
    assert f"{measure(restored, task.clean)['psnr']:.2f}" in table


def test_result_says_how_to_make_it_again(photo, tmp_path):
    task = job.prepare(photo, DAMAGE, "jpeg", 20)
    list(watch(Runner(fake_enhancers()), task, 7, {"diffusion": {"steps": 2}}, tmp_path))
    text = Image.open(tmp_path / "slope.diffusion.png").text
    assert text["method"] == "diffusion"
    assert text["seed"] == "7"
    assert json.loads(text["options"]) == {"steps": 2}
    assert text["weights_sha256"] == "sha-of-diffusion"
    assert text["damage"] == "JPEG 20 (quality), seed 0"
    recipe = {"how": DAMAGE, "degradation": "jpeg", "severity": 20, "damage_seed": 0}
    assert json.loads(text["recipe"]) == recipe
    assert json.loads(text["versions"])["torch"] == torch.__version__
    assert float(text["seconds"]) >= 0
    given = Image.open(tmp_path / "slope.input.png").text
    assert given["photo"] == "slope.png"
    assert json.loads(given["recipe"]) == recipe


def test_without_truth_no_scores_are_shown(photo, tmp_path):
    views = list(watch(Runner(fake_enhancers()), job.prepare(photo, DEGRADED), 0, {}, tmp_path))
    assert "Quality cannot be scored here" in views[-2].table
    assert "PSNR," not in views[-2].table
    assert len(re.findall(r"<td>\d+\.\d s</td>", views[-2].table)) == 4


def test_diffusion_shows_its_estimates(photo, tmp_path):
    runner = Runner([FakeEnhancer("diffusion", 0.9, seconds=0.3, steps=3)])
    views = watch(runner, job.prepare(photo, DEGRADED), 0, {}, tmp_path)
    notes = [view.panels["diffusion"].note for view in views if "diffusion" in view.panels]
    assert "estimate after 33% of the steps" in notes


def test_closing_the_run_stops_the_work_within_a_step(photo):
    fake = FakeEnhancer("diffusion", 0.9, seconds=0.2, steps=16)
    updates = Runner([fake]).run(job.prepare(photo, DEGRADED).degraded, None)
    next(update for update in updates if update.event and update.event.step >= 2)
    updates.close()
    begun = fake.begun
    time.sleep(1)
    assert fake.begun <= begun + 1
    assert fake.begun < 10


def test_next_run_waits_until_the_stopped_one_has_ended(photo):
    degraded = job.prepare(photo, DEGRADED).degraded
    slow = FakeEnhancer("diffusion", 0.9, seconds=0.6, steps=2)
    runner = Runner([slow])
    first = runner.run(degraded, None)
    while not slow.begun:
        next(first)
    first.close()
    updates = list(runner.run(degraded, None))
    assert updates[0].name == ""  # a heartbeat: nothing is at work yet
    assert slow.begun == 3 and slow.done == 3  # one step of the first, two of the second
    assert updates[-1].event.restored is not None


def test_a_failing_method_ends_the_run_with_its_exception_and_frees_the_turn(photo):
    runner = Runner(fake_enhancers())
    degraded = job.prepare(photo, DEGRADED).degraded
    with pytest.raises(ValueError, match="steps must lie between"):
        list(runner.run(degraded, None, options={"diffusion": {"steps": 99}}))
    assert sum(u.event is not None and u.event.restored is not None
               for u in runner.run(degraded, None)) == 3  # fmt: skip


@pytest.mark.parametrize("steps", [2, 99])
def test_memory_is_given_back_once_a_run_has_ended_however_it_did(photo, monkeypatch, steps):
    given_back = []
    monkeypatch.setattr("ui.runner.release", lambda: given_back.append(1))
    updates = Runner(fake_enhancers()).run(
        job.prepare(photo, DEGRADED).degraded, None, options={"diffusion": {"steps": steps}}
    )
    with nullcontext() if steps == 2 else pytest.raises(ValueError):
        list(updates)
    assert len(given_back) == 1


def test_time_left_and_order_are_learnt(photo):
    slow, fast = FakeEnhancer("vae", 0.5, 0.6, steps=3), FakeEnhancer("gan", 0.5, 0.1, steps=1)
    runner, degraded = Runner([slow, fast]), job.prepare(photo, DEGRADED).degraded
    assert next(runner.run(degraded, None)).seconds_left is None
    time.sleep(0.8)
    list(runner.run(degraded, None))
    updates = list(runner.run(degraded, None))
    assert updates[0].name == "gan"
    assert updates[0].seconds_left == pytest.approx(1.9, abs=0.5)
    fractions = [update.fraction for update in updates]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_sliders_become_options_by_method():
    assert nested(fake_enhancers(), [0.5, 8]) == {
        "vae": {},
        "gan": {"realism": 0.5},
        "diffusion": {"steps": 8},
    }


# What the page says


def test_table_names_the_best_and_the_useless_in_words():
    rows = [
        markup.Row("Input", {"psnr": 20.0, "ssim": 0.5, "mse": 650.0}, is_input=True),
        markup.Row("A <b>", {"psnr": math.inf, "ssim": 1.0, "mse": 0.0}, 1.0),
        markup.Row("B", {"psnr": 19.0, "ssim": math.nan, "mse": 650.0}, 2.0),
    ]
    a, b = markup.table(rows, scored=True).split("<tr>")[-2:]
    assert "A &lt;b&gt;" in a and a.count("best") == 6 and "∞" in a  # class and word
    assert b.count("no gain over the input") == 2 and "not defined" in b


def test_input_is_best_where_nothing_helps():
    rows = [
        markup.Row("Input", {"psnr": 30.0, "ssim": 0.9, "mse": 65.0}, is_input=True),
        markup.Row("A", {"psnr": 20.0, "ssim": 0.5, "mse": 650.0}, 1.0),
    ]
    first, second = markup.table(rows, scored=True).split("<tr>")[-2:]
    assert first.count(">best<") == 3
    assert second.count("no gain over the input") == 3


def test_options_of_a_script_are_checked_before_any_work():
    runner = Runner(fake_enhancers())
    assert checked_options(runner, None) == {}
    for options, sentence in (
        ({"cnn": {}}, "no method 'cnn'"),
        ({"gan": {"steps": 3}}, "gan has no option 'steps'; it takes realism"),
        ({"diffusion": {"steps": 40}}, "steps must lie between 1 and 16"),
        ({"diffusion": 3}, "the options of diffusion by name"),
        ({"diffusion": {"steps": "many"}}, "steps must be a number"),
    ):
        with pytest.raises(ValueError, match=sentence):
            checked_options(runner, options)


# Scripts


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("downloads")
    return gradio_client.Client(server.url, verbose=False, download_files=folder)


def test_degrade_endpoint_gives_the_very_pixels(client, photo):
    degraded, mask = client.predict(
        gradio_client.handle_file(photo), "noise", 25, 4, api_name="/degrade"
    )
    expected = job.prepare(photo, DAMAGE, "noise", 25, 4).degraded
    assert np.array_equal(pixels(degraded), images.to_uint8(expected))
    assert pixels(mask).max() == 0


def test_degrade_endpoint_needs_only_a_photo(client, photo):
    degraded, _ = client.predict(gradio_client.handle_file(photo), api_name="/degrade")
    expected = job.prepare(photo, DAMAGE, "noise").degraded
    assert np.array_equal(pixels(degraded), images.to_uint8(expected))


def test_enhance_endpoint_restores_and_measures(client, server, photo):
    file = gradio_client.handle_file
    degraded, mask = client.predict(file(photo), "scratches", 10, api_name="/degrade")
    assert pixels(mask).max() == 255
    *pictures, report = client.predict(
        photo=file(degraded),
        reference=file(photo),
        mask=file(mask),
        options={"diffusion": {"steps": 2}},
        api_name="/enhance",
    )
    clean = images.load(photo).pixels
    holes = images.load_mask(mask, clean.shape[-2:])
    for name, path in zip(server.enhancers, pictures, strict=True):
        options = {"steps": 2} if name == "diffusion" else {}
        restored = server.enhancers[name].restore(images.load(degraded).pixels, holes, **options)
        assert np.array_equal(pixels(path), images.to_uint8(restored))
        scores = {key: report[name][key] for key in ("psnr", "ssim", "mse")}
        assert scores == pytest.approx(measure(restored, clean))
        assert report[name]["seconds"] >= 0
    assert report["input"]["psnr"] == pytest.approx(
        measure(images.load(degraded).pixels, clean)["psnr"]
    )


def test_every_argument_of_an_endpoint_has_a_type(client):
    for name, endpoint in client.view_api(return_format="dict")["named_endpoints"].items():
        for argument in endpoint["parameters"]:
            assert argument["type"].get("type") != {}, (name, argument)


def test_enhance_endpoint_without_truth_has_no_scores(client, photo):
    *pictures, report = client.predict(gradio_client.handle_file(photo), api_name="/enhance")
    assert all(pixels(path).shape == (64, 96, 3) for path in pictures)
    assert report["input"] == {"psnr": None, "ssim": None, "mse": None}


def test_endpoints_answer_bad_input_with_a_sentence(client, tmp_path, photo):
    (tmp_path / "bad.png").write_text("no picture")
    Image.new("RGB", (3, 3)).save(tmp_path / "small.png")
    file = gradio_client.handle_file
    with pytest.raises(Exception, match=r"bad\.png is not a picture"):
        client.predict(file(tmp_path / "bad.png"), api_name="/enhance")
    with pytest.raises(Exception, match="goes from 0 to 55, but got 99"):
        client.predict(file(photo), "noise", 99, api_name="/degrade")
    with pytest.raises(Exception, match="3×3 pixels and the photo 96×64"):
        client.predict(file(photo), file(tmp_path / "small.png"), api_name="/enhance")


def test_a_script_that_waits_hears_at_most_once_a_second(slow_server, photo, monkeypatch):
    told, skip = [], api.gr.skip
    monkeypatch.setattr(api.gr, "skip", lambda: told.append(1) or skip())
    client = gradio_client.Client(slow_server.url, verbose=False)
    began = time.monotonic()
    options = {"diffusion": {"steps": 4}}
    client.predict(gradio_client.handle_file(photo), options=options, api_name="/enhance")
    assert 1 <= len(told) <= time.monotonic() - began


def test_stopping_a_script_stops_the_work(slow_server, photo):
    client = gradio_client.Client(slow_server.url, verbose=False)
    fake = slow_server.enhancers["diffusion"]
    photo, before = gradio_client.handle_file(photo), fake.begun
    running = client.submit(photo, options={"diffusion": {"steps": 16}}, api_name="/enhance")
    deadline = time.monotonic() + 60
    while fake.begun == before and time.monotonic() < deadline:
        time.sleep(0.1)
    running.cancel()
    time.sleep(3)
    begun = fake.begun
    assert 1 <= begun - before < 16
    time.sleep(2)
    assert fake.begun == begun
