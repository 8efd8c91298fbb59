"""What the tabs about the models' insides compute and say, without a browser."""

import re

import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import tiny_enhancers

from enhancers.inside import vae as inside_vae
from enhancers.inside.vae import EDITS, STRENGTHS, Direction
from eval.metrics import psnr
from ui import build_demo, job
from ui.inside import diffusion, gan, ranking, vae
from ui.inside.distortions import DISTORTIONS, spoil
from ui.inside.exhibit import paragraphs, table
from ui.inside.pictures import SIDE, Subject, false_colour, load_subject
from ui.job import DAMAGE, DEGRADED, REFERENCE

KNOBS = {
    "vae-knobs": (1, 0, 0, -0.5),
    "vae-prior": (0,),
    "gan-dream": (0,),
    "diffusion-film": (3, 1),
    "diffusion-schedulers": (3,),
    "diffusion-dream": (0,),
    "why-metrics": (24,),
}
"""Values of the knobs of those exhibits that have some."""


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    return tiny_enhancers(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def exhibits(methods, monkeypatch):
    matrices = tuple(0.01 * torch.eye(c, 2 * c + 1) for c in (4, 4, 12))
    direction = Direction(matrices, -2, 2, tuple(10.0 + s for s in STRENGTHS))
    directions = dict.fromkeys(EDITS, direction)
    monkeypatch.setattr(inside_vae, "load_directions", lambda sha256: directions)
    monkeypatch.setattr(gan, "NOTHING", 16)
    monkeypatch.setattr(diffusion, "NOTHING", 16)
    return {
        exhibit.key: exhibit
        for exhibit in (
            *vae.exhibits(methods["vae"]),
            *gan.exhibits(methods),
            *diffusion.exhibits(methods["diffusion"]),
            *ranking.exhibits(methods),
        )
    }


KEYS = [
    "vae-knobs", "vae-levels", "vae-posterior", "vae-between", "vae-prior",
    "gan-critic", "gan-noise", "gan-path", "gan-dream", "gan-contest",
    "diffusion-forward", "diffusion-film", "diffusion-seeds", "diffusion-schedulers",
    "diffusion-dream", "why-ranks", "why-tradeoff", "why-metrics",
]  # fmt: skip


def views(exhibit, subject: Subject, photo) -> list:
    knobs = KNOBS.get(exhibit.key, ())
    if exhibit.key == "vae-between":
        knobs = (str(photo),)
    return list(exhibit.show(*([] if exhibit.alone else [subject]), *knobs))


def test_all_exhibits_are_known_here(exhibits):
    assert sorted(exhibits) == sorted(KEYS)


@pytest.mark.parametrize("how", [DAMAGE, DEGRADED])
@pytest.mark.parametrize("key", KEYS)
def test_every_exhibit_fills_its_parts_and_says_what_they_show(exhibits, photo, key, how):
    exhibit = exhibits[key]
    if exhibit.alone and how == DEGRADED:
        pytest.skip("needs no photo")
    *before, last = views(exhibit, load_subject(photo, how, "noise", 25, 0, None), photo)
    assert all(0 <= view.fraction < 1 and view.told is None for view in before)
    assert last.fraction == 1
    assert len(re.sub(r"<[^>]+>", "", last.told)) > 40
    for part in exhibit.parts:
        if key != "gan-contest":
            assert getattr(last, part) is not None
    for picture in last.pictures or ():
        assert picture.title
        assert picture.pixels.shape[:2] == (1, 3)
        assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
    if last.film is not None:
        assert all(note and len(shown) == len(last.film.names) for note, shown in last.film.frames)
    if how == DEGRADED and key not in ("vae-knobs", "vae-between", "why-ranks", "why-metrics"):
        said = last.told + " ".join(p.note for p in last.pictures or ())
        assert not re.search(r"\d dB", said) or key == "diffusion-forward"


def test_mean_of_seeds_is_reported_with_the_single_ones(exhibits, photo):
    subject = load_subject(photo, DAMAGE, "noise", 25, 0, None)
    last = views(exhibits["diffusion-seeds"], subject, photo)[-1]
    by_title = {picture.title: picture for picture in last.pictures}
    drawn = [picture.pixels for title, picture in by_title.items() if title.startswith("Seed")]
    mean = torch.cat(drawn).mean(0, keepdim=True)
    assert torch.allclose(by_title["Mean"].pixels, mean)
    assert f"PSNR of their mean: {psnr(mean, subject.clean):.2f} dB" in last.told


def test_the_film_ends_at_what_the_enhancer_returns(exhibits, methods, photo):
    subject = load_subject(photo, DAMAGE, "scratches", 10, 0, None)
    last = views(exhibits["diffusion-film"], subject, photo)[-1]
    restored = methods["diffusion"].restore(subject.degraded, subject.mask, steps=3, seed=1)
    note, (_, predicted) = last.film.frames[-1]
    assert torch.equal(predicted, restored)
    assert note.startswith("step 3 of 3") and f"{psnr(restored, subject.clean):.2f} dB" in note


def test_directions_of_other_weights_end_in_a_sentence(methods, photo):
    knobs = vae.exhibits(methods["vae"])[0]
    with pytest.raises(ValueError, match="belongs to other weights"):
        views(knobs, load_subject(photo, DEGRADED, "noise", 25, 0, None), photo)


def test_a_second_photo_is_asked_for(exhibits, photo):
    subject = load_subject(photo, DEGRADED, "noise", 25, 0, None)
    with pytest.raises(ValueError, match="Choose a second photo"):
        list(exhibits["vae-between"].show(subject, None))


# The photo


def test_photos_are_shrunk_before_they_are_damaged(tmp_path):
    Image.new("RGB", (1000, 500), (120, 120, 120)).save(tmp_path / "large.png")
    subject = load_subject(tmp_path / "large.png", DAMAGE, "noise", 25, 0, None)
    assert subject.degraded.shape == (1, 3, SIDE // 2, SIDE)
    assert 255 * float((subject.degraded - subject.clean).std()) == pytest.approx(25, rel=0.05)


def test_the_original_is_shrunk_alike(photo, tmp_path):
    task = job.prepare(photo, DAMAGE, "noise", 25)
    noisy = job.save(task.degraded, task, tmp_path, "noisy", {})
    subject = load_subject(noisy, REFERENCE, "", None, 0, photo)
    assert torch.equal(subject.clean, task.clean)
    assert torch.equal(subject.best, task.clean)
    alone = load_subject(noisy, DEGRADED, "", None, 0, None)
    assert alone.clean is None
    assert torch.equal(alone.best, task.degraded)


def test_without_a_photo_one_is_asked_for():
    for how in (DAMAGE, DEGRADED):
        with pytest.raises(ValueError, match="Choose a photo"):
            load_subject(None, how, "noise", 25, 0, None)


# Pictures, numbers, words


def test_false_colours_grow_brighter_with_the_number():
    colours = false_colour(torch.linspace(-1, 3, 33)[None], 0, 2)
    assert colours.shape == (1, 3, 1, 33)
    brightness = colours.mean(1).flatten().tolist()
    assert brightness == sorted(brightness)
    assert brightness[0] == brightness[8] < brightness[9]
    assert brightness[24] == brightness[32]


@pytest.mark.parametrize("name", DISTORTIONS)
def test_every_distortion_meets_the_target(name):
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 96), indexing="ij")
    waves = 0.5 + 0.3 * torch.sin(40 * x * (1 + y))
    picture = (torch.stack([waves, waves.flip(0), 0.3 + 0.4 * x]))[None]
    for target in (22, 30):
        assert psnr(spoil(picture, name, target), picture) == pytest.approx(target, abs=1.2)


def test_order_knows_which_way_is_better():
    means = pd.DataFrame({"psnr": [20, 30.0], "mse": [650, 65.0]}, index=["gan", "vae"])
    assert ranking.order(means, "psnr") == ranking.order(means, "mse") == ["vae", "gan"]


def test_text_is_escaped():
    assert paragraphs("a <b>") == "<p>a &lt;b&gt;</p>"
    assert "<i>" not in table(["<i>"], [("<i>", "<i>")], "<i>")


def test_all_work_of_these_tabs_waits_in_the_models_line(methods):
    demo = build_demo(list(methods.values()))
    lines = [fn.concurrency_id for fn in demo.fns.values() if fn.name == "present"]
    assert lines == ["models"] * len(KEYS)
