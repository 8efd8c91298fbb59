import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import SEEDS
from PIL import Image

import enhancers
from enhancers.__main__ import main
from enhancers.base import Enhancer, Option, Spec

ROOT = Path(__file__).parent.parent

OPTIONS = {
    "vae": (),
    "gan": (Option("fine_detail", 0, 1, 0.5, "100 % of it"),),
    "diffusion": (Option("steps", 1, 8, 2, "more is slower", integer=True),),
}


class Negative(Enhancer):
    """Inverts the photo, and blackens what the mask marks; remembers how it was asked."""

    def __init__(self, name: str, asked: list):
        self.spec = Spec(name, name.upper(), 0, f"sha-of-{name}", options=OPTIONS[name])
        self.device = torch.device("cpu")
        self.asked = asked

    def _restore(self, degraded, mask, generator, on_step, **options):
        self.asked.append((self.spec.name, SEEDS[generator.initial_seed()], options))
        on_step(1, 2, None)
        on_step(2, 2, degraded)
        return (1 - degraded) * (1 - mask)


@pytest.fixture
def asked(monkeypatch) -> list:
    """Stand-ins for the enhancers; gives the list of what they were asked."""
    asked: list = []
    monkeypatch.setattr(enhancers, "load", lambda name, device="cpu": Negative(name, asked))
    monkeypatch.setattr(enhancers, "OPTIONS", OPTIONS)
    return asked


def picture(
    path: Path, height: int = 4, width: int = 6, channels: int = 3, **options
) -> np.ndarray:
    """Write a picture of random pixels; returns them."""
    shape = (height, width, channels)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_method_writes_its_picture_and_says_so(tmp_path, asked, capsys):
    pixels = picture(tmp_path / "a.png")
    out = tmp_path / "new" / "folder"
    assert main([str(tmp_path / "a.png"), "--out", str(out)]) == 0
    assert written(out) == ["a.diffusion.png", "a.gan.png", "a.vae.png"]
    assert np.array_equal(read(out / "a.gan.png"), 255 - pixels)
    output = capsys.readouterr()
    assert output.out.split() == [str(out / f"a.{name}.png") for name in enhancers.NAMES]
    assert output.err == ""


def test_folders_and_patterns(tmp_path, asked):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    picture(tmp_path / "one" / "a.png")
    picture(tmp_path / "one" / "b.jpg")
    (tmp_path / "one" / "notes.txt").write_text("not a picture")
    picture(tmp_path / "two" / "c.png")
    picture(tmp_path / "two" / "d.webp")
    paths = [str(tmp_path / "one"), str(tmp_path / "two" / "*.webp")]
    assert main([*paths, "--method", "vae", "--out", str(tmp_path / "out")]) == 0
    assert written(tmp_path / "out") == ["a.vae.png", "b.vae.png", "d.vae.png"]


def test_alpha_is_kept(tmp_path, asked):
    pixels = picture(tmp_path / "a.png", channels=4)
    assert main([str(tmp_path / "a.png"), "--method", "vae", "--out", str(tmp_path)]) == 0
    restored = read(tmp_path / "a.vae.png")
    assert np.array_equal(restored[..., 3], pixels[..., 3])
    assert np.array_equal(restored[..., :3], 255 - pixels[..., :3])


def test_a_rotated_photo_comes_out_upright(tmp_path, asked):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = picture(tmp_path / "a.png", exif=exif)
    assert main([str(tmp_path / "a.png"), "--method", "vae", "--out", str(tmp_path)]) == 0
    assert np.array_equal(read(tmp_path / "a.vae.png"), 255 - np.rot90(pixels, -1))
    with Image.open(tmp_path / "a.vae.png") as image:
        assert image.size == (4, 6) and 0x0112 not in image.getexif()


def test_seed_and_options_reach_the_enhancer_and_the_file(tmp_path, asked):
    picture(tmp_path / "a.png")
    arguments = ["--out", str(tmp_path), "--seed", "7", "--diffusion-steps", "8"]
    assert main([str(tmp_path / "a.png"), *arguments, "--gan-fine-detail", "0.25"]) == 0
    assert asked == [
        ("vae", 7, {}),
        ("gan", 7, {"fine_detail": 0.25}),
        ("diffusion", 7, {"steps": 8}),
    ]
    with Image.open(tmp_path / "a.diffusion.png") as image:
        text = image.text
    assert text["Software"] == "Triptych"
    assert (text["method"], text["seed"]) == ("diffusion", "7")
    assert json.loads(text["options"]) == {"steps": 8}
    assert text["weights sha256"] == "sha-of-diffusion"
    assert "mask" not in text


def test_options_left_out_take_their_defaults(tmp_path, asked):
    picture(tmp_path / "a.png")
    assert main([str(tmp_path / "a.png"), "--method", "diffusion", "--out", str(tmp_path)]) == 0
    assert asked == [("diffusion", 0, {"steps": 2})]
    with Image.open(tmp_path / "a.diffusion.png") as image:
        assert json.loads(image.text["options"]) == {"steps": 2}


def test_a_mask_marks_what_to_invent(tmp_path, asked):
    picture(tmp_path / "a.png")
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2:4] = 255
    Image.fromarray(mask).save(tmp_path / "holes.png")
    arguments = ["--mask", str(tmp_path / "holes.png"), "--out", str(tmp_path)]
    assert main([str(tmp_path / "a.png"), "--method", "vae", *arguments]) == 0
    restored = read(tmp_path / "a.vae.png")
    assert (restored[1:3, 2:4] == 0).all() and restored.any(axis=2).sum() == 24 - 4
    with Image.open(tmp_path / "a.vae.png") as image:
        assert image.text["mask"] == "holes.png"


def test_a_mask_of_another_size_is_named_and_the_rest_written(tmp_path, asked, capsys):
    picture(tmp_path / "a.png", height=5)
    picture(tmp_path / "b.png")
    Image.new("L", (6, 4)).save(tmp_path / "holes.png")
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    out = tmp_path / "out"
    arguments = ["--mask", str(tmp_path / "holes.png"), "--out", str(out), "--method", "vae"]
    assert main([*paths, *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{paths[0]}: The mask must have the photo's size of 6 × 5")
    assert written(out) == ["b.vae.png"]


def test_bad_files_among_good_ones(tmp_path, asked, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(photos / "a.png")
    (photos / "b.png").write_text("Dear diary")
    (photos / "c.jpg").touch()
    picture(photos / "d.png", width=40, height=40)
    picture(photos / "e.png")
    out = tmp_path / "out"
    missing = str(tmp_path / "missing.png")
    arguments = ["--method", "vae", "--out", str(out), "--max-pixels", "1000"]
    assert main([str(photos), missing, *arguments]) == 1
    assert written(out) == ["a.vae.png", "e.vae.png"]
    lines = capsys.readouterr().err.splitlines()
    names = [str(photos / "b.png"), str(photos / "c.jpg"), str(photos / "d.png"), missing]
    assert len(lines) == 4
    for line, name in zip(lines, names, strict=True):
        assert line.count(name) == 1


def test_a_result_that_cannot_be_written_is_named(tmp_path, asked, capsys):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "out" / "a.vae.png").mkdir(parents=True)
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert main([*paths, "--method", "vae", "--out", str(tmp_path / "out")]) == 1
    assert "a.vae.png" in capsys.readouterr().err
    assert written(tmp_path / "out") == ["a.vae.png", "b.vae.png"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--method", "magic"], "invalid choice: 'magic'"),
        (["--diffusion-steps", "9"], "steps must lie between 1 and 8, but got 9"),
        (["--diffusion-steps", "1.5"], "steps must be a whole number"),
        (["--diffusion-steps", "many"], "expected a number, but got many"),
        (["--diffusion-eta", "1"], "unrecognized arguments: --diffusion-eta"),
        (["--diffusion-step", "1"], "unrecognized arguments: --diffusion-step"),
        (["--method", "vae", "--diffusion-steps", "4"], "needs --method diffusion"),
        (["--seed", "-1"], "expected a whole number from 0"),
        (["--seed", "1e3"], "expected a whole number from 0"),
        (["--max-pixels", "0"], "expected a whole number from 1"),
        (["--device", "abacus"], "abacus cannot be used here"),
        (["--mask", "nowhere.png"], "there is no file nowhere.png"),
    ],
)
def test_wrong_arguments(tmp_path, asked, capsys, arguments, expected):
    picture(tmp_path / "a.png")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *arguments])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err
    assert not asked


def fails(capsys, *arguments: object) -> str:
    """Run arguments that must be refused before any work; return what is said."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("second", ["a.jpg", "A.png", "folder/a.png"])
def test_two_photos_of_one_stem_are_refused_before_any_work(tmp_path, asked, capsys, second):
    (tmp_path / "folder").mkdir()
    picture(tmp_path / "a.png")
    picture(tmp_path / second)
    said = fails(
        capsys, tmp_path / "a.png", tmp_path / second, "--out", tmp_path, "--method", "vae"
    )
    assert "would both become" in said and str(tmp_path / second) in said
    assert not asked


def test_no_input_is_overwritten(tmp_path, asked, capsys):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.vae.png")
    said = fails(capsys, tmp_path, "--out", tmp_path, "--method", "vae")
    assert "would overwrite" in said and not asked
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), "--method", "vae"]) == 0
    assert written(tmp_path / "out") == ["a.vae.png", "a.vae.vae.png"]


def test_an_empty_folder_and_an_impossible_one(tmp_path, asked, capsys):
    (tmp_path / "empty").mkdir()
    assert "no pictures in" in fails(capsys, tmp_path / "empty", "--out", tmp_path / "out")
    picture(tmp_path / "a.png")
    assert "a.png" in fails(capsys, tmp_path / "a.png", "--out", tmp_path / "a.png")


def test_missing_weights_are_one_line(tmp_path, monkeypatch, capsys):
    picture(tmp_path / "a.png")

    def load(name, device="cpu"):
        raise FileNotFoundError("Expected weights at assets/weights/vae, but there are none.")

    monkeypatch.setattr(enhancers, "load", load)
    assert main([str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Expected weights at assets/weights/vae, but there are none."
    ]


def test_interruption(tmp_path, monkeypatch, capsys):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")

    class Interrupted(Negative):
        def _restore(self, degraded, mask, generator, on_step, **options):
            if self.asked:
                raise KeyboardInterrupt
            return super()._restore(degraded, mask, generator, on_step, **options)

    asked: list = []
    monkeypatch.setattr(enhancers, "load", lambda name, device="cpu": Interrupted(name, asked))
    out = tmp_path / "out"
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert main([*paths, "--method", "vae", "--out", str(out)]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "Interrupted; the photos written so far are complete."
    ]
    assert written(out) == ["a.vae.png"]


def test_the_bar_follows_photos_methods_and_steps(tmp_path, asked, monkeypatch):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").touch()  # cannot be read, but is done with all the same
    seen = []

    class Bar(enhancers.__main__.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False, "file": io.StringIO()})

        def refresh(self, *args, **options):
            seen.append(self.n)

    monkeypatch.setattr(enhancers.__main__, "tqdm", Bar)
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert main([*paths, "--out", str(tmp_path / "out")]) == 1
    assert seen == sorted(seen)
    assert {0.5, 1.0, 1.5, 2.5, 3.0, 6.0} <= set(seen) and max(seen) == 6


def test_help_may_hold_any_sign(asked, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "0 to 1, default: 0.5. 100 % of it" in " ".join(capsys.readouterr().out.split())


def test_help_of_the_real_command_lists_the_options():
    done = subprocess.run(
        [sys.executable, "-m", "enhancers", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for name, options in enhancers.OPTIONS.items():
        for option in options:
            assert f"--{name}-{option.name.replace('_', '-')}" in done.stdout
