import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from eval.metrics import METRICS, find, measure, mse, psnr, psnr_y, ssim, ssim_y

FUNCTIONS = [metric.function for metric in METRICS.values()]


def flat(level, size=(16, 24)):
    """A picture of one 8-bit grey level, or of one (R, G, B) triple."""
    channels = torch.tensor(level, dtype=torch.float32).expand(3) / 255
    return channels[:, None, None].expand(3, *size)


def photo_like(seed=0, size=(32, 40)):
    """Smooth random structure in [0, 1], exact in 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return fine.mul(255).round() / 255


def noisy(picture, sigma, seed=1):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(picture.shape, generator=generator) * sigma / 255
    return (picture + noise).clamp(0, 1)


def uint8(picture):
    return picture[0].permute(1, 2, 0).mul(255).round().numpy().astype(np.uint8)


@pytest.mark.parametrize(
    ("error", "decibels"),
    [(1, 48.1308), (51, 20 * math.log10(5)), (255, 0.0)],
)
def test_constant_error_worked_by_hand(error, decibels):
    restored, clean = flat(error), flat(0)
    assert mse(restored, clean) == error**2
    assert psnr(restored, clean) == pytest.approx(decibels, abs=1e-4)


def test_error_in_one_channel_counts_a_third():
    assert mse(flat((30, 0, 0)), flat(0)) == 300
    assert psnr(flat((30, 0, 0)), flat(0)) == pytest.approx(10 * math.log10(65025 / 300))


def test_unclipped_gaussian_noise_of_sigma_25_is_20_17_db():
    # Mid-grey is five sigma from black and white, so next to nothing is clipped. Rounding to
    # 8 bits adds a twelfth of a grey level squared.
    grey = flat(128, size=(400, 400))
    expected = 10 * math.log10(255**2 / (25**2 + 1 / 12))
    assert expected == pytest.approx(20.17, abs=0.005)
    assert psnr(noisy(grey, 25), grey) == pytest.approx(expected, abs=0.03)


def test_identical_pictures():
    picture = photo_like()
    values = measure(picture, picture, METRICS)
    assert values == {
        "psnr": math.inf,
        "ssim": pytest.approx(1),
        "mse": 0,
        "psnr_y": math.inf,
        "ssim_y": pytest.approx(1),
    }


def test_pictures_are_compared_as_8_bit_files():
    clean = flat(100)
    assert mse(clean + 0.4 / 255, clean) == 0
    assert mse(clean + 0.6 / 255, clean) == 1


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_image(seed):
    clean = photo_like(seed)
    restored = noisy(clean, 20)
    assert psnr(restored, clean) == pytest.approx(
        peak_signal_noise_ratio(uint8(clean), uint8(restored), data_range=255)
    )
    per_channel = [
        structural_similarity(
            uint8(clean)[..., c],
            uint8(restored)[..., c],
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for c in range(3)
    ]
    assert ssim(restored, clean) == pytest.approx(np.mean(per_channel))


def test_ssim_of_two_flat_pictures_is_the_luminance_term():
    a, b, c1 = 100, 150, (0.01 * 255) ** 2
    expected = (2 * a * b + c1) / (a**2 + b**2 + c1)
    assert ssim(flat(a), flat(b)) == pytest.approx(expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_symmetric(function):
    a, b = photo_like(0), noisy(photo_like(0), 30)
    assert function(a, b) == pytest.approx(function(b, a))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_more_noise_is_worse_and_values_stay_in_bounds(metric):
    clean = photo_like()
    values = [metric.function(noisy(clean, sigma), clean) for sigma in (5, 15, 30, 60)]
    assert values == sorted(values, reverse=metric.higher_is_better)
    assert all(metric.low <= value <= metric.high for value in values)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_black_against_white_is_the_worst_error(metric):
    if metric.name.startswith(("psnr", "mse")):
        worst = metric.low if metric.higher_is_better else metric.high
        assert metric.function(flat(0), flat(255)) == pytest.approx(worst, abs=1e-4)


def test_luma_worked_by_hand():
    # BT.601: Y = 16 + 65.481 R + 128.553 G + 24.966 B with R, G, B in [0, 1].
    assert psnr_y(flat(255), flat(0)) == pytest.approx(20 * math.log10(255 / 219), abs=1e-4)
    for colour, step in [((255, 0, 0), 65.481), ((0, 255, 0), 128.553), ((0, 0, 255), 24.966)]:
        assert psnr_y(flat(colour), flat(0)) == pytest.approx(20 * math.log10(255 / step))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 16 * 235 + c1) / (16**2 + 235**2 + c1)
    assert ssim_y(flat(255), flat(0)) == pytest.approx(expected, abs=1e-4)


def test_grey_error_reads_higher_on_luma():
    shift = 20 * math.log10(255 / 219)
    assert psnr_y(flat(120), flat(100)) == pytest.approx(
        psnr(flat(120), flat(100)) + shift, abs=1e-4
    )


@pytest.mark.parametrize("size", [(1, 1), (10, 64), (64, 10)])
def test_ssim_is_undefined_below_its_window(size):
    a, b = flat(10, size), flat(20, size)
    assert math.isnan(ssim(a, b))
    assert math.isnan(ssim_y(a, b))
    assert psnr(a, b) == pytest.approx(20 * math.log10(25.5))


def test_ssim_is_defined_at_its_window():
    assert 0 < ssim(flat(10, (11, 11)), flat(20, (11, 11))) < 1


def test_batch_of_one_and_half_precision_are_welcome():
    a, b = flat(51), flat(0)
    assert psnr(a[None], b) == psnr(a, b)
    assert psnr(a.bfloat16(), b.half()) == pytest.approx(psnr(a, b), abs=0.1)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("restored", "message"),
    [
        (torch.zeros(2, 3, 16, 24), r"shape \(3, H, W\)"),
        (torch.zeros(1, 16, 24), r"shape \(3, H, W\)"),
        (torch.zeros(16, 24), r"shape \(3, H, W\)"),
        (torch.zeros(3, 16, 0), r"shape \(3, H, W\)"),
        (torch.zeros(3, 16, 24, dtype=torch.uint8), "uint8"),
        (torch.full((3, 16, 24), 1.01), r"restored in \[0, 1\]"),
        (torch.full((3, 16, 24), -0.01), r"restored in \[0, 1\]"),
        (torch.full((3, 16, 24), math.nan), r"restored in \[0, 1\]"),
        (torch.zeros(3, 24, 16), "restored is 16×24 and clean is 24×16"),
    ],
)
def test_wrong_input_is_refused(function, restored, message):
    with pytest.raises(ValueError, match=message):
        function(restored, torch.zeros(3, 16, 24))


def test_registry():
    assert list(METRICS) == ["psnr", "ssim", "mse", "psnr_y", "ssim_y"]
    assert find("mse").higher_is_better is False
    assert list(measure(flat(1), flat(0))) == ["psnr", "ssim", "mse"]
    with pytest.raises(ValueError, match=r"No metric is called 'lpips'; there are psnr"):
        measure(flat(1), flat(0), ("lpips",))
