import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhancers._torchvision import ensure_importable
from eval import niqe as niqe_model
from eval.metrics import (
    METRICS,
    colour_shift,
    deviation,
    find,
    gmsd,
    haarpsi,
    hf_energy,
    measure,
    ms_ssim,
    mse,
    niqe,
    psnr,
    psnr_of_mean,
    psnr_y,
    psnr_y_sr,
    ssim,
    ssim_y,
)

OF_PICTURES = {name: metric for name, metric in METRICS.items() if metric.function}
FUNCTIONS = [metric.function for metric in OF_PICTURES.values()]


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


def test_colour_shift_is_that_of_the_worst_channel_and_of_the_mean_alone():
    assert colour_shift(flat((101, 97, 102)), flat(100)) == 3
    checks = flat(100).clone()
    checks[:, ::2] += 10 / 255
    assert colour_shift(checks, flat(105)) == pytest.approx(0, abs=1e-9)


def test_unclipped_gaussian_noise_of_sigma_25_is_20_17_db():
    # Mid-grey is five sigma from black and white, so next to nothing is clipped. Rounding to
    # 8 bits adds a twelfth of a grey level squared.
    grey = flat(128, size=(400, 400))
    expected = 10 * math.log10(255**2 / (25**2 + 1 / 12))
    assert expected == pytest.approx(20.17, abs=0.005)
    assert psnr(noisy(grey, 25), grey) == pytest.approx(expected, abs=0.03)


def test_identical_pictures():
    picture = photo_like(size=(192, 200))
    values = measure(picture, picture, OF_PICTURES)
    assert values.pop("niqe") > 0  # it does not look at the other picture
    assert values == {
        "psnr": math.inf,
        "ssim": pytest.approx(1),
        "mse": 0,
        "psnr_y": math.inf,
        "ssim_y": pytest.approx(1),
        "ms_ssim": pytest.approx(1),
        "haarpsi": pytest.approx(1),
        "gmsd": pytest.approx(0, abs=1e-6),
        "hf_energy": 1,
        "colour_shift": 0,
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


@pytest.mark.parametrize("function", set(FUNCTIONS) - {niqe, hf_energy})
def test_symmetric(function):
    a = photo_like(0, (192, 200))
    b = noisy(a, 30)
    assert function(a, b) == pytest.approx(function(b, a))


@pytest.mark.parametrize("metric", OF_PICTURES.values(), ids=OF_PICTURES)
def test_more_noise_is_worse_and_values_stay_in_bounds(metric):
    clean = photo_like(size=(192, 200))
    values = [metric.function(noisy(clean, sigma), clean) for sigma in (5, 15, 30, 60)]
    if metric.name == "hf_energy":
        assert values == sorted(values)  # grain is detail, if not the right one
    elif metric.name == "niqe":
        assert values[0] < values[2] < values[3]
    else:
        assert values == sorted(values, reverse=metric.higher_is_better)
    assert all(metric.low <= value <= metric.high for value in values)


@pytest.mark.parametrize("metric", OF_PICTURES.values(), ids=OF_PICTURES)
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
    assert list(METRICS)[:5] == ["psnr", "ssim", "mse", "psnr_y", "ssim_y"]
    assert find("mse").higher_is_better is False
    assert list(measure(flat(1), flat(0))) == ["psnr", "ssim", "mse"]
    with pytest.raises(ValueError, match=r"No metric is called 'lpips'; there are psnr"):
        measure(flat(1), flat(0), ("lpips",))
    with pytest.raises(ValueError, match="seconds does not follow from two pictures"):
        measure(flat(1), flat(0), ("seconds",))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_table_is_complete(metric):
    assert metric.low < metric.high
    assert metric.meaning.endswith(".")
    assert metric.digits >= 0


# --- Beyond PSNR and SSIM ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "name"), [(ms_ssim, "multi_scale_ssim"), (haarpsi, "haarpsi"), (gmsd, "gmsd")]
)
def test_equals_piq(function, name):
    ensure_importable()
    import piq

    clean = photo_like(3, (192, 200))
    restored = noisy(clean, 25)
    rounded = restored.double().mul(255).round() / 255
    expected = getattr(piq, name)(rounded, clean.double().mul(255).round() / 255, data_range=1.0)
    assert function(restored, clean) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("function", "side"),
    [(ms_ssim, 161), (haarpsi, 16), (gmsd, 6), (hf_energy, 3), (niqe, 192)],
)
def test_small_pictures_have_no_value_rather_than_a_wrong_one(function, side):
    a, b = photo_like(1, (side, side)), photo_like(2, (side, side))
    assert math.isfinite(function(a, b))
    assert math.isnan(function(a[..., : side - 1, :], b[..., : side - 1, :])) or side == 192
    assert math.isnan(function(a[..., :95, :95], b[..., :95, :95])) or side < 95
    assert math.isnan(function(a[..., :1, :1], b[..., :1, :1]))


def test_detail_is_the_ratio_of_laplacian_energies():
    # One white pixel on black has a Laplacian of -4 there and 1 on its four neighbours.
    dot = torch.zeros(3, 9, 9)
    dot[:, 4, 4] = 1
    half = dot * 128 / 255
    assert hf_energy(half, dot) == pytest.approx((128 / 255) ** 2)
    assert hf_energy(dot, half) == pytest.approx((255 / 128) ** 2)
    assert hf_energy(flat(50, (9, 9)), dot) == 0
    assert math.isnan(hf_energy(dot, flat(50, (9, 9))))
    ramp = torch.arange(9.0).expand(3, 9, 9) / 255
    assert math.isnan(hf_energy(dot, ramp))  # a slope has no detail


def test_border_is_left_out_for_tables_of_upscaling():
    clean = flat(100, (16, 24))
    restored = clean.clone()
    restored[:, :4] = 0
    restored[:, 5, 5] = 0
    inner = (16 - 8) * (24 - 8)
    step = (65.481 + 128.553 + 24.966) * 100 / 255
    assert psnr_y_sr(restored, clean, 4) == pytest.approx(10 * math.log10(255**2 * inner / step**2))
    assert psnr_y_sr(restored, clean, 3) < psnr_y_sr(restored, clean, 4)
    assert psnr_y_sr(restored, clean, 3.5) == psnr_y_sr(restored, clean, 4)
    assert math.isnan(psnr_y_sr(restored, clean, 8))


def test_several_tries_worked_by_hand():
    clean = flat(100)
    tries = [flat(90), flat(110), flat(112)]
    assert psnr_of_mean(tries, clean) == pytest.approx(20 * math.log10(255 / 4))
    assert deviation(tries) == pytest.approx(np.std([90, 110, 112], ddof=1))
    assert deviation([clean, clean]) == 0


# --- NIQE --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 4.0])
def test_parameters_of_known_distributions_are_found(shape):
    """A generalised Gaussian of unit scale: |x|^shape is gamma distributed."""
    random = np.random.default_rng(0)
    size = random.gamma(1 / shape, size=(2, 200, 300)) ** (1 / shape)
    sign = random.choice([-1, 1], size.shape)
    found, left, right = niqe_model.fit_asymmetric(sign * size)
    assert found == pytest.approx([shape, shape], rel=0.03)
    assert left == pytest.approx([1, 1], rel=0.03)
    assert right == pytest.approx([1, 1], rel=0.03)
    _, left, right = niqe_model.fit_asymmetric(np.where(sign > 0, 3 * size, -size))
    assert right / left == pytest.approx([3, 3], rel=0.03)


def test_shipped_model_finds_damage_unnatural():
    from eval.datasets import open_dataset

    (photo,) = (entry.load() for entry in open_dataset("samples") if entry.name == "chelsea")
    blurred = torch.nn.functional.avg_pool2d(photo, 5, stride=1, padding=2)
    scores = [niqe(picture, photo) for picture in (photo, noisy(photo, 15), blurred)]
    assert 2 < scores[0] < 4
    assert min(scores[1:]) > scores[0] + 2


def test_model_is_fitted_on_the_sharp_blocks_of_photos():
    picture = np.random.default_rng(0).uniform(0, 255, (960, 960))
    picture[:, :480] = 100 + picture[:, :480] / 4
    features, _ = niqe_model.describe(picture)
    sharp = features.reshape(10, 10, 36)[:, 5:].reshape(50, 36)
    model = niqe_model.fit([picture])
    assert model.mean == pytest.approx(sharp.mean(0))
    assert model.covariance == pytest.approx(np.cov(sharp.T))
    with pytest.raises(ValueError, match="Only 0 sharp blocks were found; give more photos"):
        niqe_model.fit([np.full((96, 192), 50.0)])


def test_distance_is_zero_to_itself():
    """Eq. 10 with one and the same Gaussian on both sides, and by hand with shifted means."""
    textured = np.random.default_rng(0).uniform(0, 255, (960, 960))
    features, contrast = niqe_model.describe(textured)
    assert features.shape == (100, 36)
    assert contrast.shape == (100,)
    covariance = np.cov(features, rowvar=False)
    own = niqe_model.Model(features.mean(0), covariance)
    assert niqe_model.score(textured, own) == pytest.approx(0, abs=1e-6)
    step = np.sqrt(np.diag(covariance))
    away = niqe_model.Model(own.mean + step, covariance)
    expected = math.sqrt(step @ np.linalg.pinv(covariance) @ step)
    assert niqe_model.score(textured, away) == pytest.approx(expected)


def test_fit_is_written_by_its_command(tmp_path, monkeypatch):
    from PIL import Image

    random = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        pixels = random.integers(0, 256, (480, 480, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{i}.png")
    out = tmp_path / "niqe.npz"
    assert niqe_model.main([str(photos), "--out", str(out)]) == 0
    monkeypatch.setattr(niqe_model, "MODEL", out)
    loaded = niqe_model.shipped.__wrapped__()
    assert loaded.covariance.shape == (36, 36)
    with pytest.raises(SystemExit):
        niqe_model.main([str(tmp_path / "nothing.png"), "--out", str(out)])
