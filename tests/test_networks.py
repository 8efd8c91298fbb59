"""Laws of the three networks, with small random ones: no trained weights are needed."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from enhancers import NAMES, OPTIONS, load
from enhancers.diffusion import DDIMScheduler, RestorationUNet, make_scheduler
from enhancers.gan import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from enhancers.layers import EXPOSURE, Lift, exposure, thumbnail
from enhancers.vae import VAE, Latents, VAEConfig
from enhancers.weights import save_network, save_unet, write_training

SMALL_VAE = VAEConfig(widths=(16, 16, 16), latents=(4, 4, 12))
SMALL_GENERATOR = GeneratorConfig(widths=(16, 16, 16))


def small_unet() -> RestorationUNet:
    return RestorationUNet(block_out_channels=(8, 16, 16), layers_per_block=1)


def inputs(n: int = 2, size: int = 32):
    degraded = torch.rand(n, 3, size, size)
    mask = torch.zeros(n, 1, size, size)
    return degraded, mask, exposure(thumbnail(degraded, mask))


@pytest.fixture
def folders(tmp_path):
    """Weights of small random networks, one folder per enhancer."""
    torch.manual_seed(0)
    save_network(VAE(SMALL_VAE), tmp_path / "vae")
    for part in (".", "faithful"):
        save_network(Generator(SMALL_GENERATOR), tmp_path / "gan" / part)
    save_network(Discriminator(DiscriminatorConfig()), tmp_path / "gan" / "discriminator")
    save_unet(small_unet(), make_scheduler(), tmp_path / "diffusion")
    write_training(tmp_path / "vae", {"steps": 3})
    return tmp_path


# --- VAE


def test_kl_is_zero_at_the_prior_and_right_elsewhere():
    zero, one = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert torch.equal(Latents(zero, one, zero, one, zero).kl(), zero)
    # KL(N(1, e) || N(0, 1)) = (e + 1 - 1 - 1) / 2
    kl = Latents(zero, one, one, zero, zero).kl()
    assert torch.allclose(kl, (one.exp() - 1) / 2)
    normal = torch.distributions.Normal
    posterior, prior = normal(0.3, 0.5), normal(-0.2, 2.0)
    logvar, prior_logvar = (torch.tensor(v).square().log() for v in (0.5, 2.0))
    kl = Latents(
        *(torch.tensor(v) for v in (0.0, 0.3)), logvar, torch.tensor(-0.2), prior_logvar
    ).kl()
    assert float(kl) == pytest.approx(float(torch.distributions.kl_divergence(posterior, prior)))


def test_vae_begins_as_the_identity_through_its_latents():
    vae = VAE(VAEConfig())
    with torch.inference_mode():
        degraded, *rest = inputs()
        restored, levels = vae(degraded, *rest)
    assert float((restored - degraded).abs().mean()) < 0.15
    assert [tuple(level.sample.shape) for level in levels] == vae.latent_shapes(2, 32, 32)


def test_vae_has_no_path_but_its_latents():
    vae = VAE(SMALL_VAE)
    with torch.inference_mode():
        _, levels = vae(*inputs())
        given = [level.sample for level in levels]
        first, _ = vae.decode(vae.encode(*inputs()), given=given)
        second, _ = vae.decode(vae.encode(*inputs()), given=given)
    assert torch.equal(first, second)


def test_vae_reparameterises():
    """Samples are mean + standard deviation x noise, and gradients reach both."""
    vae = VAE(SMALL_VAE)
    noise = [torch.full(shape, 2.0) for shape in vae.latent_shapes(2, 32, 32)]
    _, levels = vae(*inputs(), noise)
    for level in levels:
        assert torch.allclose(level.sample, level.mean + 2 * (0.5 * level.logvar).exp())
    levels[0].sample.sum().backward()
    assert vae.posteriors[0].weight.grad.chunk(2)[1].abs().sum() > 0


def test_vae_samples_from_its_priors_alone():
    vae = VAE(SMALL_VAE)
    noise = [torch.randn(shape) for shape in vae.latent_shapes(1, 64, 64)]
    with torch.inference_mode():
        drawn, levels = vae.decode(noise=noise)
    assert drawn.shape == (1, 3, 64, 64)
    assert all(float(level.kl().abs().max()) == 0 for level in levels)


# --- GAN


def test_generator_uses_its_noise():
    generator = Generator(SMALL_GENERATOR)
    given = inputs()
    with torch.inference_mode():
        first = generator(*given, torch.randn(2, 1, 32, 32))
        second = generator(*given, torch.randn(2, 1, 32, 32))
    assert float((first - second).abs().mean()) > 1e-6


def test_discriminator_judges_patches_given_the_degraded_photo():
    discriminator = Discriminator(DiscriminatorConfig())
    degraded, mask, _ = inputs(2, 64)
    with torch.inference_mode():
        logits = discriminator(torch.rand_like(degraded), degraded, mask)
        assert logits.shape == (2, 1, 8, 8)
        photo = torch.rand_like(degraded)
        other = discriminator(photo, 1 - degraded, mask)
        assert not torch.equal(discriminator(photo, degraded, mask), other)


def test_realism_mixes_the_weights_of_the_two_generators(folders):
    gan = load("gan", folder=folders / "gan")
    mixed = gan.mixed(0.25).state_dict()
    for key, value in gan.faithful.state_dict().items():
        assert torch.allclose(mixed[key], 0.75 * value + 0.25 * gan.adversarial.state_dict()[key])
    assert gan.mixed(0) is gan.faithful
    assert gan.mixed(1) is gan.adversarial


# --- Diffusion


def test_schedule_starts_at_pure_noise_and_ends_at_the_photo():
    scheduler = make_scheduler()
    alpha_bar = scheduler.alphas_cumprod
    assert float(alpha_bar[-1]) < 1e-9
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()[:-1]
    assert float(sigma[0]) == pytest.approx(0.01, rel=0.01)
    assert float(sigma[-1]) == pytest.approx(3, rel=0.01)
    ratios = sigma[1:] / sigma[:-1]
    assert float(ratios.max()) == pytest.approx(float(ratios.min()), rel=0.01)
    for steps in (1, 2, 4, 8, 16):
        scheduler.set_timesteps(steps)
        assert scheduler.timesteps[0] == 999
        assert len(scheduler.timesteps) == steps


def test_forward_process_has_the_schedulers_moments():
    scheduler = make_scheduler()
    clean = torch.full((1, 3, 200, 200), 0.4)
    for step in (0, 500, 900):
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(step))
        noisy = scheduler.add_noise(clean, noise, torch.tensor([step]))
        alpha_bar = float(scheduler.alphas_cumprod[step])
        assert float(noisy.mean()) == pytest.approx(0.4 * alpha_bar**0.5, abs=0.01)
        assert float(noisy.var()) == pytest.approx(1 - alpha_bar, rel=0.03)


def test_sampler_draws_from_a_gaussian_with_its_analytic_denoiser():
    """For data N(m, s^2) the posterior mean is known; DDIM must give back mean and spread."""
    mean, spread = 0.3, 0.2
    scheduler = make_scheduler()
    scheduler.set_timesteps(200)
    state = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    for timestep in scheduler.timesteps:
        alpha_bar = scheduler.alphas_cumprod[timestep]
        gain = alpha_bar.sqrt() * spread**2 / (alpha_bar * spread**2 + 1 - alpha_bar)
        denoised = mean + gain * (state - alpha_bar.sqrt() * mean)
        state = scheduler.step(denoised, timestep, state).prev_sample
    assert float(state.mean()) == pytest.approx(mean, abs=0.01)
    assert float(state.std()) == pytest.approx(spread, rel=0.1)


def test_first_step_ignores_the_noise_and_later_steps_do_not():
    unet = small_unet().eval()
    degraded, mask, whole = inputs()
    alpha_bar = make_scheduler().alphas_cumprod
    with torch.inference_mode():
        for step, ignores in ((999, True), (300, False)):
            results = [
                unet.predict(
                    torch.randn(2, 3, 32, 32),
                    torch.tensor([step, step]),
                    alpha_bar[[step, step]],
                    degraded,
                    mask,
                    whole,
                )
                for _ in range(2)
            ]
            assert torch.allclose(*results, atol=1e-5) == ignores


def test_one_step_is_the_networks_prediction(folders):
    diffusion = load("diffusion", folder=folders / "diffusion")
    degraded, mask, whole = inputs(1)
    previews = []
    restored = diffusion.restore(
        degraded, steps=1, on_step=lambda i, n, preview: previews.append((i, n, preview))
    )
    with torch.inference_mode():
        expected = diffusion.unet.predict(
            torch.zeros_like(degraded), torch.tensor([999]), torch.zeros(1), degraded, mask, whole
        )
    assert torch.allclose(restored, expected.clamp(0, 1), atol=1e-5)
    assert [(i, n) for i, n, _ in previews] == [(1, 1)]


def test_more_steps_depend_on_the_seed(folders):
    diffusion = load("diffusion", folder=folders / "diffusion")
    degraded = torch.rand(1, 3, 24, 24)
    steps = []
    results = [
        diffusion.restore(
            degraded, seed=seed, steps=4, on_step=lambda i, n, preview: steps.append((i, n))
        )
        for seed in (1, 1, 2)
    ]
    assert steps[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_unet_and_scheduler_load_by_from_pretrained(folders, caplog):
    unet = RestorationUNet.from_pretrained(folders / "diffusion" / "unet")
    assert not any(isinstance(m, torch.nn.GroupNorm) for m in unet.modules())
    assert "ignored" not in caplog.text
    scheduler = DDIMScheduler.from_pretrained(folders / "diffusion" / "scheduler")
    assert torch.equal(scheduler.alphas_cumprod, make_scheduler().alphas_cumprod)
    assert scheduler.config.prediction_type == "sample"


# --- All three


@pytest.mark.parametrize("name", NAMES)
def test_enhancers_keep_the_contract(folders, name):
    enhancer = load(name, folder=folders / name)
    assert enhancer.spec.options == OPTIONS[name]
    assert len(enhancer.spec.sha256) == 64
    for size in ((1, 1), (37, 53), (8, 100)):
        photo = torch.rand(2, 3, *size)
        first, again = enhancer.restore(photo, seed=5), enhancer.restore(photo, seed=5)
        assert first.shape == photo.shape
        assert torch.equal(first, again)
        assert first.min() >= 0
        assert first.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_tiled_and_whole_agree(folders, name, monkeypatch):
    """Noise and exposure are the whole photo's, so tiles cannot be told from the whole."""
    enhancer = load(name, folder=folders / name)
    photo = F.interpolate(torch.rand(1, 3, 24, 20), (176, 150), mode="bicubic").clamp(0, 1)
    whole = enhancer.restore(photo, seed=1)
    monkeypatch.setattr("enhancers.base.TILE", 128)
    parts = enhancer.restore(photo, seed=1)
    assert not torch.equal(whole, parts)
    assert float((whole - parts).abs().max()) < 1 / 255


@pytest.mark.parametrize("name", NAMES)
def test_large_photos_report_every_tile_and_stop_between_tiles(folders, name, monkeypatch):
    monkeypatch.setattr("enhancers.base.TILE", 64)
    monkeypatch.setattr("enhancers.base.OVERLAP", 16)
    enhancer = load(name, folder=folders / name)
    photo = torch.rand(1, 3, 100, 60)
    options = {"steps": 2} if name == "diffusion" else {}
    seen = []
    enhancer.restore(photo, on_step=lambda i, n, p: seen.append((i, n, p is None)), **options)
    n = 4 if name == "diffusion" else 2
    assert seen == [(i, n, i % 2 == 1) for i in range(1, n + 1)]

    def stop(i, n, preview):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        enhancer.restore(photo, on_step=stop, **options)


def test_weights_are_half_precision_and_their_rounding_is_small(folders):
    path = folders / "vae" / "model.safetensors"
    with safe_open(path, "pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    assert load("vae", folder=folders / "vae").spec.training == {"steps": 3}


def test_missing_or_unfitting_weights_are_named(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m enhancers\.training vae"):
        load("vae", folder=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="choose among vae, gan, diffusion"):
        load("flow")
    config = folders / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"widths": [16, 16, 32]}))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load("vae", folder=folders / "vae")


# --- Exposure


def test_thumbnail_leaves_out_what_is_masked():
    photo, mask = torch.full((1, 3, 128, 128), 0.8), torch.zeros(1, 1, 128, 128)
    photo[..., :50], mask[..., :50] = 0, 1
    small = thumbnail(photo, mask)
    assert torch.allclose(small[..., 25:], torch.tensor(0.8))
    assert torch.allclose(small[..., :24], torch.tensor(0.5))
    assert exposure(small).shape == (1, EXPOSURE)


def test_lift_leaves_alone_what_it_is_not_sure_of():
    lift, photo = Lift(), torch.full((1, 3, 4, 4), 0.25)
    with torch.no_grad():
        for parameter in lift.layers[4].parameters():
            parameter.zero_()
        for gain, expected in ((0.1, 0.25), (0.9, 0.25 + 0.9 * (0.5 - 0.25))):
            lift.layers[4].bias.fill_(gain)
            assert lift(photo, torch.rand(1, EXPOSURE)).mean() == pytest.approx(expected)


def test_lift_begins_near_the_identity_and_keeps_black_and_white():
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    lift = Lift()
    with torch.inference_mode():
        lifted = lift(ends, torch.rand(1, EXPOSURE))
    assert torch.allclose(lifted, ends, atol=0.01)
