import numpy as np
import pytest
import torch
from PIL import Image

from enhancers.images import ImageError
from eval.datasets import SAMPLE_SIDE, open_dataset


def save(path, level=0, size=(6, 4)):
    Image.new("RGB", size, (level, 0, 0)).save(path)
    return path


def test_samples_are_photos_that_need_no_download(monkeypatch):
    def no_network(*_):
        raise AssertionError("a bundled photo asked for the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    samples = open_dataset("samples")
    assert samples.name == "samples"
    assert len(samples) >= 8
    assert len({entry.name for entry in samples}) == len(samples)
    grey = 0
    for entry in samples:
        pixels = entry.load()
        assert pixels.dtype == torch.float32
        assert pixels.shape[:2] == (1, 3)
        assert 200 <= min(pixels.shape[2:]) <= max(pixels.shape[2:]) <= SAMPLE_SIDE
        assert pixels.min() >= 0
        assert pixels.max() <= 1
        assert pixels.std() > 0.05
        grey += bool((pixels[:, 0] == pixels[:, 1]).all())
    assert 2 <= grey <= len(samples) - 5


def test_large_samples_are_cropped_around_their_centre():
    from skimage.data import retina  # 1411 x 1411

    entry = {entry.name: entry for entry in open_dataset("samples")}["retina"]
    expected = retina()[449:961, 449:961]
    restored = entry.load()[0].permute(1, 2, 0).mul(255).round().numpy().astype(np.uint8)
    assert (restored == expected).all()


def test_folder_lists_its_photos_by_file_name(tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    save(folder / "b.png", 200)
    save(folder / "a.jpg")
    save(folder / "a.png")
    (folder / "notes.txt").write_text("not a photo")
    dataset = open_dataset(folder)
    assert dataset.name == "holiday"
    assert [entry.name for entry in dataset] == ["a.jpg", "a.png", "b.png"]
    pixels = dataset.entries[2].load()
    assert pixels.shape == (1, 3, 4, 6)
    assert pixels[0, 0, 0, 0] == pytest.approx(200 / 255)
    assert open_dataset(str(folder)).name == "holiday"


def test_folder_is_named_even_when_given_as_a_dot(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert open_dataset(".").name == tmp_path.name


def test_photos_are_read_only_when_asked_for(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    save(tmp_path / "good.png")
    bad, good = open_dataset(tmp_path)
    with pytest.raises(ImageError, match=r"bad\.png"):
        bad.load()
    assert good.load().shape == (1, 3, 4, 6)


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere' is not a folder; give a folder of photos"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"one\.png' is not a folder"):
        open_dataset(save(tmp_path / "one.png"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No photos are in"):
        open_dataset(tmp_path / "empty")
