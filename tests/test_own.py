"""A visitor's own photos on the leaderboard, without the page."""

import threading
import time
import zipfile

import numpy as np
import pytest
from fakes import FakeEnhancer, fake_enhancers
from PIL import Image

from eval.datasets import SAMPLE_SIDE
from eval.leaderboard import LEADERBOARD
from eval.results import per_photo, read_results
from ui import own
from ui.line import Line
from ui.own import OWN, Own


@pytest.fixture
def photos(tmp_path):
    """Two photos and a zip file that holds one of the same name and one that is broken."""
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png", "zipped.png"):
        coarse = random.integers(40, 200, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 32)).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "zipped.png", "folder/a.png")
        archive.writestr("bad.png", b"no picture")
    return [str(tmp_path / name) for name in ("a.png", "b.png", "more.zip")]


def by_name(enhancers=None) -> dict:
    return {enhancer.spec.name: enhancer for enhancer in enhancers or fake_enhancers()}


def measured(mine, damages, methods, enhancers=None) -> list[own.Progress]:
    jobs = own.plan(mine, damages, methods)
    return list(own.measure(mine, jobs, by_name(enhancers), Line()))


def test_photos_and_zip_files_are_measured_and_bad_files_named(photos):
    mine, shipped = Own(photos), LEADERBOARD.read_bytes()
    assert [entry.name for entry in mine.dataset] == ["a.png", "b.png", "a (2).png", "bad.png"]
    assert mine.photos() is None
    steps = measured(mine, ["noise:25", "jpeg:10"], ["vae", "unsharp"])
    last = steps[-1]
    assert (last.done, last.total) == (3 * 2 * 3, 3 * 2 * 3)  # photos, damages, methods
    assert len(last.skipped) == 1
    assert "bad.png" in last.skipped[0]
    rows = mine.photos()
    assert set(rows["dataset"]) == {OWN}
    assert set(rows["label"]) == {"input", "vae", "unsharp"}
    assert set(rows["image"]) == {"a.png", "b.png", "a (2).png"}
    assert set(rows["metric"]) >= {"psnr", "ssim", "mse", "seconds"}
    table = read_results(mine.csv)
    assert set(table[table["method"] == "vae"]["weights"]) == {"sha-of-vae"[:12]}
    assert LEADERBOARD.read_bytes() == shipped
    assert len(per_photo(table)) == len(rows)


def test_large_photos_are_cropped_around_their_centre(tmp_path):
    wide = np.zeros((SAMPLE_SIDE + 20, SAMPLE_SIDE + 100, 3), dtype=np.uint8)
    wide[10:-10, 50:-50] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (entry,) = Own([str(tmp_path / "wide.png")]).dataset
    pixels = entry.load()
    assert pixels.shape == (1, 3, SAMPLE_SIDE, SAMPLE_SIDE)
    assert (pixels * 255 == 200).all()


@pytest.mark.parametrize(
    ("damages", "methods", "message"),
    [
        ([], ["vae"], "Choose at least one damage"),
        (["fog:3"], ["vae"], "fog"),
        (["noise:99"], ["vae"], "between 0 and 55"),
        (["noise:25"], ["bm3d"], "No method is called 'bm3d'"),
        ([f"noise:{sigma}" for sigma in range(1, 51)], ["vae", "gan"], "take 600 restorations"),
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(photos, damages, methods, message):
    with pytest.raises(ValueError, match=message):
        own.plan(Own(photos), damages, methods)


def test_nothing_to_measure_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Choose photos first"):
        Own([])
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"None of these files is a photo.*bad\.zip"):
        own.plan(Own([str(tmp_path / "bad.zip")]), ["noise:25"], ["vae"])


def test_closing_stops_the_work_and_keeps_what_was_measured(photos):
    slow = FakeEnhancer("vae", 0.5, seconds=0.3, steps=4)
    mine = Own(photos)
    jobs = own.plan(mine, ["noise:25", "blur:1.6"], ["vae"])
    steps = own.measure(mine, jobs, by_name([slow]), Line())
    while next(steps).done < 3 or slow.begun < 5:  # the first photo, and a part of the second
        pass
    steps.close()
    begun = slow.begun
    deadline = time.monotonic() + 60
    while any(thread.name == "measure" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert slow.begun <= begun + 1
    assert mine.photos()["image"].iloc[0] == "a.png"


def test_each_photo_waits_in_the_line_anew(photos):
    line, mine = Line(), Own(photos[:1])
    jobs = own.plan(mine, ["noise:25"], ["vae"])
    with line.join():
        steps = own.measure(mine, jobs, by_name(), line)
        while not (step := next(steps)).ahead:
            pass
        assert step.done == 0
    assert [step.done for step in steps][-1] == 2


def test_a_method_that_fails_ends_the_measurement(photos):
    class Broken(FakeEnhancer):
        def _restore(self, *_, **__):
            raise RuntimeError("out of memory")

    mine = Own(photos)
    with pytest.raises(RuntimeError, match="out of memory"):
        measured(mine, ["noise:25"], ["vae"], [Broken("vae", 1)])
    assert set(mine.photos()["label"]) == {"input"}


def test_the_files_go_with_the_object(photos):
    mine = Own(photos)
    measured(mine, ["noise:25"], [])
    folder = mine.csv.parent
    assert (folder / "photos").is_dir()
    del mine
    assert not folder.exists()
