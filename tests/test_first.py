"""What the page opens with."""

import numpy as np
import pytest
from fakes import fake_enhancers
from PIL import Image

import enhancers
from enhancers import images
from enhancers.diffusion import WEIGHTS
from enhancers.weights import FOLDER, read_spec
from eval.metrics import measure
from ui import first, markup
from ui.restore import opening_view
from ui.runner import Runner
from ui.viewer import EMPTY, SHOWN


@pytest.fixture
def fakes():
    return {fake.spec.name: fake for fake in fake_enhancers()}


@pytest.fixture
def made(fakes, tmp_path, monkeypatch):
    """Results of the fakes, written as those of the shipped weights are."""
    monkeypatch.setattr(first, "FOLDER", tmp_path / "first")
    first.write(fakes, first.FOLDER)
    return tmp_path / "first"


def test_what_was_written_opens_the_page_finished(fakes, made):
    view = opening_view(Runner(list(fakes.values())))
    given = first.task()
    assert [panel.state for panel in view.panels.values()] == [SHOWN] * 6
    for name, fake in fakes.items():
        restored = images.quantise(fake.restore(given.degraded))
        shown = np.asarray(Image.open(view.panels[name].file))
        assert np.array_equal(shown, images.to_uint8(restored))
        assert markup.number("psnr", measure(restored, given.clean)["psnr"]) in view.table
        assert Image.open(view.panels[name].file).text["weights_sha256"] == f"sha-of-{name}"
    assert "no gain over the input" in view.panels["gan"].note
    assert "Total variation" in view.panels["classical"].note
    assert "GAN realism 1, Diffusion steps 4" in view.table


def test_results_of_other_weights_or_another_photo_are_not_shown(fakes, made, monkeypatch):
    specs = {name: fake.spec for name, fake in fakes.items()}
    assert first.load(specs, made) is not None
    assert first.load(specs | {"vae": specs["gan"]}, made) is None
    assert first.load(specs, made / "elsewhere") is None
    monkeypatch.setattr(first, "SIDE", first.SIDE - 1)
    view = opening_view(Runner(list(fakes.values())))
    assert [view.panels[name].state for name in fakes] == [EMPTY] * 3
    assert view.panels["vae"].note == "not run yet"


def test_shipped_pictures_are_small_and_of_the_shipped_weights():
    extra = {"diffusion": WEIGHTS}
    specs = {n: read_spec(FOLDER / n, n, *extra.get(n, ())) for n in enhancers.NAMES}
    assert first.load(specs, first.FOLDER) is not None, "the weights have changed: python -m ui"
    assert sum(file.stat().st_size for file in first.FOLDER.iterdir()) < 500_000
