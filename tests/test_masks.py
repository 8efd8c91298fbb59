"""What a mask of lost pixels does to a photo on its way through the page."""

import numpy as np
import pytest
import torch
from PIL import Image

from enhancers import classical, images
from enhancers.degradations import DEGRADATIONS
from ui import job
from ui.job import DAMAGE, DEGRADED, REFERENCE


@pytest.fixture
def mask(tmp_path):
    """Some of the dark part of `photo`."""
    lost = np.zeros((64, 96), np.uint8)
    lost[44:64, 30:45] = 255
    Image.fromarray(lost).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_mask_on_a_clean_photo_hides_it_and_the_truth_is_known(photo, mask):
    whole = job.prepare(photo, DAMAGE, "noise", 25)
    task = job.prepare(photo, DAMAGE, "noise", 25, mask=mask)
    lost = task.mask.bool().expand_as(task.degraded)
    assert int(task.mask.sum()) == 20 * 15
    assert set(task.degraded[lost].tolist()) == {1.0}
    assert torch.equal(task.degraded[~lost], whole.degraded[~lost])
    assert torch.equal(task.clean, whole.clean)
    assert task.damage.endswith("seed 0, 4.9% masked")
    assert job.scores(task.degraded, task)["psnr"] < job.scores(whole.degraded, whole)["psnr"]


def test_mask_adds_to_the_scratches(photo, mask):
    scratched = job.prepare(photo, DAMAGE, "scratches", 5)
    both = job.prepare(photo, DAMAGE, "scratches", 5, mask=mask)
    painted = images.load_mask(mask, (64, 96))
    assert torch.equal(both.mask, torch.maximum(scratched.mask, painted))


@pytest.mark.parametrize("how", [DEGRADED, REFERENCE])
def test_mask_on_a_degraded_photo_leaves_its_pixels(photo, mask, how):
    task = job.prepare(photo, how, reference=photo, mask=mask)
    assert torch.equal(task.degraded, images.load(photo).pixels)
    assert int(task.mask.sum()) == 20 * 15
    assert task.damage == "as given, 4.9% masked"
    assert (job.scores(task.degraded, task) is None) == (how == DEGRADED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_lies_on_the_photo_as_people_see_it(tmp_path, orientation):
    upright = np.full((30, 20, 3), 90, np.uint8)
    upright[4:9, 2:5] = (255, 0, 0)  # the spot to be painted over
    Image.fromarray((upright[..., 0] == 255).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    task = job.prepare(tmp_path / "turned.png", DEGRADED, mask=tmp_path / "mask.png")
    red = task.degraded[:, :1] == 1
    assert torch.equal(task.mask.bool(), red)
    assert int(red.sum()) == 15


def test_mask_of_another_size_is_refused_in_one_sentence(photo, tmp_path):
    Image.new("L", (64, 96)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"size of 96 × 64 pixels, but small\.png has 64") as error:
        job.prepare(photo, DEGRADED, mask=tmp_path / "small.png")
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_every_photo_has_a_quick_classical_method_beside_it(photo, mask):
    found = {kind: job.baseline(job.prepare(photo, DAMAGE, kind)) for kind in DEGRADATIONS}
    assert found["scratches"] == "biharmonic"
    assert found["noise"] == job.baseline(job.prepare(photo, DEGRADED)) == "tv"
    assert set(found.values()) <= set(classical.NAMES) - set(job.SLOW)
    assert job.baseline(job.prepare(photo, DAMAGE, "noise", mask=mask)) == "biharmonic"


def test_no_classical_method_where_it_would_take_minutes(photo, mask, monkeypatch):
    task = job.prepare(photo, DEGRADED, mask=mask)
    monkeypatch.setattr(job, "BASELINE_HOLES", 299)
    assert job.baseline(task) is None
    monkeypatch.setattr(job, "BASELINE_HOLES", 300)
    assert job.baseline(task) == "biharmonic"
    monkeypatch.setattr(job, "BASELINE_PIXELS", 96 * 64 - 1)
    assert job.baseline(task) is None
