"""Training a tiny model while somebody watches, on real photos."""

import tempfile

import pytest
import skimage.data
import torch

from enhancers.images import from_uint8
from enhancers.training import live
from enhancers.training.data import FAMILY
from enhancers.training.loop import Loop

PHOTOS = [from_uint8(skimage.data.chelsea()), from_uint8(skimage.data.astronaut())]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary folders are made; seeds, too, are each test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path


@pytest.fixture
def loops(monkeypatch):
    """All loops that are made."""
    made = []

    class Spy(Loop):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(live, "Loop", Spy)
    return made


def test_a_tiny_model_soon_beats_the_input_on_a_photo_it_never_saw(monkeypatch):
    monkeypatch.setattr(live, "INTERVAL", 0)
    first, *_, last = moments = list(live.train("vae", "noise", PHOTOS, steps=60))
    assert [moment.steps for moment in moments] == list(range(61))
    assert (first.fraction, first.losses, last.fraction) == (0, {}, 1)
    assert first.clean.shape == last.restored.shape == (1, 3, 248, 248)
    damaged = -10 * torch.log10((last.degraded - last.clean).square().mean())
    assert last.psnr_db > float(damaged) + 2
    assert last.psnr_db > first.psnr_db
    early, late = (sum(m.losses["loss"] for m in part) for part in (moments[1:11], moments[-10:]))
    assert late < early


@pytest.mark.parametrize("model", live.MODELS)
def test_every_model_is_trained_and_leaves_nothing(model, temporary, monkeypatch, capsys):
    monkeypatch.setattr(live, "INTERVAL", 0)
    moments = []
    for moment in live.train(model, "noise", PHOTOS, steps=5):
        moments.append(moment)
        assert len(list(temporary.iterdir())) == 1
        assert 0 <= moment.restored.min() <= moment.restored.max() <= 1
    assert list(temporary.iterdir()) == []
    assert capsys.readouterr().out == ""
    logged = {name for moment in moments for name in moment.losses}
    expected = {"vae": "kl_f2_nats_per_pixel", "gan": "d_loss", "diffusion": "log_mse_estimate"}
    assert {"gradient", expected[model]} <= logged


def test_a_run_may_be_left_at_any_moment(temporary):
    run = live.train("vae", "noise", PHOTOS, minutes=5)
    assert next(run).steps == 0
    assert next(run).seconds >= live.INTERVAL
    run.close()
    assert list(temporary.iterdir()) == []


def test_a_failure_leaves_nothing(temporary, loops):
    run = live.train("vae", "noise", PHOTOS, minutes=5)
    next(run)
    loops[0].recipe.step = None
    with pytest.raises(TypeError):
        next(run)
    assert list(temporary.iterdir()) == []


def test_the_test_photo_is_not_trained_on(loops):
    grey = torch.full((1, 3, 90, 70), 0.5)
    moment = next(live.train("vae", "noise", [grey, *PHOTOS], steps=1))
    assert moment.clean.shape == (1, 3, 64, 64)
    assert torch.equal(moment.clean, torch.full_like(moment.clean, 128 / 255))
    mixture = loops[0].mixture
    assert len(mixture.sides) == 2
    photos = mixture.pixels.tensor_split(mixture.starts[1:].tolist())
    assert all(photo.float().std() > 10 for photo in photos)


@pytest.mark.parametrize("damage", ["noise", "blur", "jpeg", "scratches"])
def test_the_test_photo_goes_to_the_layers_that_are_trained(loops, damage):
    moment = next(live.train("vae", damage, PHOTOS, steps=1))
    batch = loops[0].mixture.batch(8, 48)
    assert set(batch.family.tolist()) == {FAMILY[damage]}
    assert loops[0].val[damage][1].tolist() == [FAMILY[damage]]
    assert torch.isfinite(moment.restored).all()
    lost = moment.degraded[moment.mask.expand_as(moment.degraded) == 1]
    assert bool(len(lost)) == (damage == "scratches")
    assert (lost == 0.5).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("cnn", "noise", PHOTOS), "There is no model 'cnn'; there are vae, gan, diffusion"),
        (("vae", "rain", PHOTOS), "There is no damage 'rain'; there are noise"),
        (("vae", "noise", PHOTOS[:1]), "photo to test on and others to train on, got 1"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(temporary, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(live.train(*given, steps=1))
    for length in ({}, {"minutes": 0}, {"minutes": -1}, {"steps": -1}):
        with pytest.raises(ValueError, match="Expected a length above 0"):
            next(live.train("vae", "noise", PHOTOS, **length))
    assert list(temporary.iterdir()) == []
