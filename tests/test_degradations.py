"""Laws and oracles of the damage: seeds, moments, libjpeg, monotone severity."""

import io
import itertools
import math

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from enhancers import degradations as deg


def photo(size: int = 160) -> torch.Tensor:
    """Centre of the astronaut, (1, 3, size, size)."""
    pixels = torch.from_numpy(skimage.data.astronaut()[60 : 60 + size, 150 : 150 + size].copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize("name", deg.NAMES)
def test_same_seed_same_damage_other_seed_other(name):
    severity = deg.DEGRADATIONS[name].default
    first, mask = deg.degrade(photo(), name, severity, generator=seeded(1))
    again, mask_again = deg.degrade(photo(), name, severity, generator=seeded(1))
    other, _ = deg.degrade(photo(), name, severity, generator=seeded(2))
    assert torch.equal(first, again)
    assert torch.equal(mask, mask_again)
    deterministic = name in ("lowres", "jpeg")
    assert torch.equal(first, other) == deterministic


@pytest.mark.parametrize("name", deg.NAMES)
def test_result_is_an_eight_bit_photo_of_the_same_size(name):
    for size in ((1, 1), (3, 40), (37, 53)):
        clean = torch.rand(2, 3, *size, generator=seeded())
        low, high = deg.DEGRADATIONS[name].low, deg.DEGRADATIONS[name].high
        for severity in (low, high, torch.tensor([low, high])):
            degraded, mask = deg.degrade(clean, name, severity, generator=seeded())
            assert degraded.shape == clean.shape
            assert mask.shape == (2, 1, *size)
            assert torch.equal(mask, mask.round())
            levels = degraded * 255
            assert torch.allclose(levels, levels.round(), atol=1e-4)
            assert degraded.min() >= 0
            assert degraded.max() <= 1


@pytest.mark.parametrize("name", deg.NAMES)
def test_stronger_is_worse(name):
    d = deg.DEGRADATIONS[name]
    severities = np.linspace(d.low, d.high, 4)
    scores = [
        psnr(deg.degrade(photo(), name, float(s), generator=seeded())[0], photo())
        for s in (severities if d.worse_when_higher else severities[::-1])
    ]
    assert all(better > worse for better, worse in itertools.pairwise(scores)), scores


def test_each_photo_of_a_batch_takes_its_own_severity():
    clean = photo().repeat(3, 1, 1, 1)
    degraded, _ = deg.degrade(clean, "jpeg", torch.tensor([90.0, 50.0, 10.0]), generator=seeded())
    alone, _ = deg.degrade(photo(), "jpeg", 50, generator=seeded())
    assert torch.equal(degraded[1:2], alone)
    assert psnr(degraded[0], clean[0]) > psnr(degraded[2], clean[2]) + 5


def test_noise_has_the_standard_deviation_it_says():
    grey = torch.full((1, 3, 256, 256), 0.5)
    degraded, _ = deg.degrade(grey, "noise", 25, generator=seeded())
    # Rounding to 8 bit adds a variance of 1/12.
    assert float(degraded.std() * 255) == pytest.approx(math.hypot(25, 12**-0.5), rel=0.01)
    assert float(degraded.mean()) == pytest.approx(0.5, abs=0.001)


def test_shot_noise_grows_with_the_root_of_the_signal():
    for value in (0.125, 0.5):
        grey = torch.full((1, 3, 256, 256), value)
        noisy = deg.add_shot_noise(grey, torch.tensor([20.0]), seeded())
        assert float(noisy.std() * 255) == pytest.approx(20 * (value / 0.5) ** 0.5, rel=0.02)
        assert float(noisy.mean()) == pytest.approx(value, abs=0.002)


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90])
def test_jpeg_is_libjpegs(quality):
    """Same quality against the original, and nearly the same pixels."""
    clean = photo(155)  # not a multiple of 16
    file = io.BytesIO()
    array = (clean[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(array).save(file, "JPEG", quality=quality)
    theirs = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 255
    ours, _ = deg.degrade(clean, "jpeg", quality, generator=seeded())
    assert psnr(ours, clean) == pytest.approx(psnr(theirs, clean), abs=0.05)
    assert float((ours - theirs).abs().mean() * 255) < 0.7


def test_low_resolution_is_pillows_bicubic():
    clean = photo(96)
    array = (clean[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    small = Image.fromarray(array).resize((24, 24), Image.Resampling.BICUBIC)
    large = np.array(small.resize((96, 96), Image.Resampling.BICUBIC))
    theirs = torch.from_numpy(large).permute(2, 0, 1)[None].float() / 255
    ours, _ = deg.degrade(clean, "lowres", 4, generator=seeded())
    assert float((ours - theirs).abs().max() * 255) < 3


def test_blur_keeps_flat_areas_and_spreads_a_point_by_sigma():
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1
    blurred = deg.gaussian_blur(point, torch.tensor([2.0]))
    offsets = torch.arange(65) - 32.0
    assert float(blurred[0, 0].sum()) == pytest.approx(1, abs=1e-4)
    spread = (blurred[0, 0].sum(0) * offsets.square()).sum().sqrt()
    assert float(spread) == pytest.approx(2, rel=0.02)
    flat = deg.gaussian_blur(torch.full((1, 3, 9, 70), 0.3), torch.tensor([4.0]))
    assert torch.allclose(flat, torch.full_like(flat, 0.3), atol=1e-5)


def test_motion_blur_runs_along_its_angle():
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    blurred = deg.motion_blur(point, torch.tensor([9.0]), torch.tensor([0.0]))[0, 0]
    assert float(blurred[20].sum()) == pytest.approx(1, abs=1e-4)
    assert int((blurred[20] > 0.05).sum()) == 9


def test_dark_follows_its_formula():
    clean = torch.full((1, 3, 128, 128), 0.7)
    degraded, _ = deg.degrade(clean, "dark", 2.2, generator=seeded())
    assert float(degraded.mean()) == pytest.approx(0.7**2.2 * 0.6, abs=0.002)
    assert float(degraded.std() * 255) == pytest.approx(5, rel=0.03)


@pytest.mark.parametrize("percent", [1, 10, 30])
def test_scratches_cover_what_they_say(percent):
    degraded, mask = deg.degrade(photo(256), "scratches", percent, generator=seeded())
    assert 100 * float(mask.mean()) == pytest.approx(percent, abs=3)
    assert torch.equal(degraded[:, :, mask[0, 0] == 0], photo(256)[:, :, mask[0, 0] == 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("noise:25", ("noise", 25.0)), ("jpeg", ("jpeg", 20.0)), (" blur:1.6 ", ("blur", 1.6))],
)
def test_parse_reads(text, expected):
    assert deg.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fog:3", "Unknown degradation 'fog'"),
        ("noise:much", "must be a number"),
        ("jpeg:200", "between 10 and 90, but got 200"),
        ("noise:nan", "between 0 and 55"),
    ],
)
def test_parse_refuses_in_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        deg.parse(text)
