import numpy as np
import pytest
import torch

from enhancers import classical, degradations
from enhancers.classical import estimate_sigma, load, suited
from eval.datasets import open_dataset
from eval.metrics import psnr


@pytest.fixture(scope="module")
def photo():
    """A real photo of modest size, (1, 3, 128, 160)."""
    (clean,) = (entry.load() for entry in open_dataset("samples") if entry.name == "coffee")
    return clean[..., 100:228, 150:310]


def damaged(photo, name, severity):
    return degradations.degrade(photo, name, severity, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "degradation", "severity", "gain"),
    [
        ("nlm", "noise", 25, 6),
        ("nlm", "shot", 25, 3),
        ("tv", "noise", 25, 5),
        ("unsharp", "blur", 1.6, 0.5),
        ("unsharp", "lowres", 3, 0.3),
        ("lucy", "blur", 1.6, 1),
        ("autogamma", "dark", 2.2, 1),
        ("clahe", "dark", 2.2, 1),
        ("biharmonic", "scratches", 10, 10),
        ("telea", "scratches", 10, 10),
        ("navierstokes", "scratches", 10, 10),
    ],
)
def test_methods_help_against_the_damage_they_suit(photo, name, degradation, severity, gain):
    assert name in suited(degradation)
    degraded, mask = damaged(photo, degradation, severity)
    assert psnr(load(name).restore(degraded, mask), photo) > psnr(degraded, photo) + gain


def test_every_degradation_has_a_baseline_and_every_baseline_a_degradation():
    found = [name for degradation in degradations.NAMES for name in suited(degradation)]
    assert all(suited(degradation) for degradation in degradations.NAMES)
    assert set(found) == set(classical.NAMES) == set(classical.TITLES) == set(classical.OPTIONS)
    assert suited("fog") == []


@pytest.mark.parametrize("name", classical.NAMES)
def test_contract_of_enhancers_is_kept(name):
    method = load(name)
    assert (method.spec.name, method.spec.parameters, method.spec.sha256) == (name, 0, "")
    pictures = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 20, 30)
    mask[0, :, 5:8, 5:20] = 1
    steps = []
    both = method.restore(pictures, mask, seed=1, on_step=lambda *step: steps.append(step[:2]))
    assert steps == [(1, 1)]
    assert both.shape == pictures.shape
    assert both.dtype == torch.float32
    assert both.min() >= 0
    assert both.max() <= 1
    alone = method.restore(pictures[1:], mask[1:], seed=2)
    assert torch.equal(both[1:], alone)
    with pytest.raises(ValueError, match=f"{name} has no option strength"):
        method.restore(pictures, strength=1)


@pytest.mark.parametrize("name", classical.NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (9, 2)])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_tiny_and_flat_photos(name, size, level):
    picture = torch.full((1, 3, *size), level)
    mask = torch.ones(1, 1, *size)
    for holes in (None, mask):
        restored = load(name).restore(picture, holes)
        assert restored.shape == picture.shape
        assert torch.isfinite(restored).all()


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_noise_is_estimated(photo, sigma):
    noisy = photo + torch.randn(photo.shape, generator=torch.Generator().manual_seed(0)) * (
        sigma / 255
    )
    estimate = estimate_sigma(noisy[0].permute(1, 2, 0).double().numpy()) * 255
    assert estimate == pytest.approx(sigma, rel=0.1)
    assert estimate_sigma(np.full((8, 8, 3), 0.5)) == 0
    assert estimate_sigma(np.full((1, 8, 3), 0.5)) == 0


def test_told_is_another_result_than_estimated(photo):
    degraded, _ = damaged(photo, "noise", 25)
    for name in ("nlm", "tv"):
        method = load(name)
        assert torch.equal(method.restore(degraded), method.restore(degraded, sigma=0))
        assert not torch.equal(method.restore(degraded), method.restore(degraded, sigma=50))


@pytest.mark.parametrize("name", suited("scratches"))
def test_known_pixels_and_photos_without_holes_stay(photo, name):
    degraded, mask = damaged(photo, "scratches", 10)
    restored = load(name).restore(degraded, mask)
    known = (mask == 0).expand_as(restored)
    assert torch.allclose(restored[known], degraded[known], atol=1e-6)
    assert torch.equal(load(name).restore(photo), photo)


def test_brightening_reaches_its_target_and_leaves_bright_photos():
    dark = torch.full((1, 3, 8, 8), 0.1)
    assert load("autogamma").restore(dark).mean() == pytest.approx(0.43, abs=1e-4)
    assert load("autogamma").restore(dark, target=0.3).mean() == pytest.approx(0.3, abs=1e-4)
    bright = torch.full((1, 3, 8, 8), 0.6)
    assert torch.equal(load("autogamma").restore(bright), bright)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="Unknown classical method 'bm3d'; choose among nlm"):
        load("bm3d")
