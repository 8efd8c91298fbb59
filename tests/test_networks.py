"""Laws of the three networks, with small random ones: no trained weights are needed."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from enhancers import NAMES, OPTIONS, load
from enhancers.base import autocast
from enhancers.degradations import darken
from enhancers.diffusion import DDIMScheduler, RestorationUNet, make_scheduler, make_solver
from enhancers.experts import (
    COARSENESS,
    COARSENESS_BONUS,
    DARKNESS,
    FAMILIES,
    HOLES,
    Experts,
    windows,
)
from enhancers.gan import Discriminator, DiscriminatorConfig, Generator
from enhancers.ladder import Ladder, LadderConfig
from enhancers.layers import (
    EXPOSURE,
    MAX_GRAIN,
    MIN_GRAIN,
    MIN_LIFT,
    Lift,
    exposure,
    filled,
    grain,
    peak,
    thumbnail,
    undarkened,
)
from enhancers.vae import VAE, Latents
from enhancers.weights import save_network, save_unet, write_training

SMALL = LadderConfig(widths=(16, 16, 16), latents=(4, 4, 12))


def small_unet() -> RestorationUNet:
    return RestorationUNet(block_out_channels=(8, 16, 16), layers_per_block=1)


def inputs(n: int = 2, size: int = 32):
    degraded = torch.rand(n, 3, size, size)
    mask = torch.zeros(n, 1, size, size)
    return degraded, mask, exposure(degraded, mask)


@pytest.fixture
def folders(tmp_path):
    """Weights of small random networks, one folder per enhancer."""
    torch.manual_seed(0)
    save_network(Experts(VAE, SMALL), tmp_path / "vae")
    for part in (".", "faithful"):
        save_network(Experts(Generator, SMALL), tmp_path / "gan" / part)
    save_network(Discriminator(DiscriminatorConfig()), tmp_path / "gan" / "discriminator")
    save_network(Experts(Ladder, SMALL), tmp_path / "diffusion" / "mean")
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
    vae = VAE(LadderConfig())
    with torch.inference_mode():
        degraded, *rest = inputs()
        restored, levels = vae(degraded, *rest)
    assert float((restored - degraded).abs().mean()) < 0.15
    assert [tuple(level.sample.shape) for level in levels] == vae.latent_shapes(2, 32, 32)


def test_vae_has_no_path_but_its_latents():
    vae = VAE(SMALL)
    with torch.inference_mode():
        _, levels = vae(*inputs())
        given = [level.sample for level in levels]
        first, _ = vae.decode(vae.encode(*inputs()), given=given)
        second, _ = vae.decode(vae.encode(*inputs()), given=given)
    assert torch.equal(first, second)


def test_vae_reparameterises():
    """Samples are mean + standard deviation x noise, and gradients reach both."""
    vae = VAE(SMALL)
    noise = [torch.full(shape, 2.0) for shape in vae.latent_shapes(2, 32, 32)]
    _, levels = vae(*inputs(), noise)
    for level in levels:
        assert torch.allclose(level.sample, level.mean + 2 * (0.5 * level.logvar).exp())
    levels[0].sample.sum().backward()
    assert vae.posteriors[0].weight.grad.chunk(2)[1].abs().sum() > 0


def test_vae_samples_from_its_priors_alone():
    vae = VAE(SMALL)
    noise = [torch.randn(shape) for shape in vae.latent_shapes(1, 64, 64)]
    with torch.inference_mode():
        drawn, levels = vae.decode(noise=noise)
    assert drawn.shape == (1, 3, 64, 64)
    assert all(float(level.kl().abs().max()) == 0 for level in levels)


# --- GAN


def test_generator_uses_its_noise():
    generator = Generator(SMALL)
    given = inputs()
    with torch.inference_mode():
        first, second = (generator(*given, torch.randn(2, 1, 32, 32)) for _ in "12")
    assert float((first - second).abs().mean()) > 1e-4


def test_generator_without_noise_decodes_its_means_as_the_vae_does():
    vae, generator = VAE(SMALL), Generator(SMALL)
    own = generator.state_dict().keys()
    generator.load_state_dict({k: v for k, v in vae.state_dict().items() if k in own})
    given = inputs()
    with torch.inference_mode():
        quiet = generator(*given, torch.zeros(2, 1, 32, 32))
        assert torch.allclose(quiet, vae(*given)[0], atol=1e-6)
        assert torch.allclose(quiet, vae.means(*given), atol=1e-6)


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
    assert float(sigma[-1]) == pytest.approx(1, rel=0.01)
    ratios = sigma[1:] / sigma[:-1]
    assert float(ratios.max()) == pytest.approx(float(ratios.min()), rel=0.01)
    for steps in (1, 2, 4, 8, 16):
        scheduler.set_timesteps(steps)
        assert scheduler.timesteps[0] == 999
        assert len(scheduler.timesteps) == steps
        solver = make_solver(scheduler.config, steps)
        assert torch.equal(solver.timesteps, scheduler.timesteps)


def test_forward_process_has_the_schedulers_moments():
    scheduler = make_scheduler()
    clean = torch.full((1, 3, 200, 200), 0.4)
    for step in (0, 500, 900):
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(step))
        noisy = scheduler.add_noise(clean, noise, torch.tensor([step]))
        alpha_bar = float(scheduler.alphas_cumprod[step])
        assert float(noisy.mean()) == pytest.approx(0.4 * alpha_bar**0.5, abs=0.01)
        assert float(noisy.var()) == pytest.approx(1 - alpha_bar, rel=0.03)


def test_first_step_ignores_the_noise_and_later_steps_do_not():
    unet = small_unet().eval()
    degraded, mask, _ = inputs()
    alpha_bar = make_scheduler().alphas_cumprod
    with torch.inference_mode():
        for step, ignores in ((999, True), (300, False)):
            results = [
                unet.predict(
                    torch.randn(2, 3, 32, 32),
                    torch.tensor([step, step]),
                    alpha_bar[[step, step]],
                    torch.full_like(degraded, 0.5),
                    degraded,
                    mask,
                )
                for _ in range(2)
            ]
            assert torch.allclose(*results, atol=1e-5) == ignores


def test_what_noise_says_has_the_same_size_at_every_level():
    """The UNet sees what a state adds to the estimate; neither lost nor drowned at any step."""
    seen = []
    unet = small_unet().eval()
    unet.conv_in.register_forward_pre_hook(lambda module, given: seen.append(given[0][:, 12:24]))
    scheduler = make_scheduler()
    estimate, mask = torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 1, 64, 64)
    for step in (10, 300, 600, 998):
        state = scheduler.add_noise(
            torch.zeros(1, 3, 64, 64), torch.randn(1, 3, 64, 64), torch.tensor([step])
        )
        alpha_bar = scheduler.alphas_cumprod[[step]]
        unet.predict(state, torch.tensor([step]), alpha_bar, estimate, estimate, mask)
    sizes = [float(x.std()) for x in seen]
    assert sizes == sorted(sizes)  # an almost clean state says almost nothing of itself
    assert sizes[0] > 0.05
    assert sizes[-1] < 1.5


def test_one_step_refines_the_posterior_mean(folders):
    diffusion = load("diffusion", folder=folders / "diffusion")
    degraded, mask, whole = inputs(1)
    previews = []
    restored = diffusion.restore(
        degraded, steps=1, on_step=lambda i, n, preview: previews.append((i, n, preview))
    )
    with torch.inference_mode(), autocast(diffusion.device):
        mean = diffusion.mean.of(degraded, mask, whole).means(degraded, mask, whole)
        mean = mean.float().clamp(0, 1)
        expected = diffusion.unet.predict(
            torch.zeros_like(degraded), torch.tensor([999]), torch.zeros(1), mean, degraded, mask
        )
    assert torch.allclose(restored, expected.float().clamp(0, 1), atol=1e-5)
    assert [(i, n) for i, n, _ in previews] == [(1, 2), (2, 2)]
    assert torch.allclose(previews[0][2], mean, atol=1e-6)


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
    assert steps[:5] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_unet_and_scheduler_load_by_from_pretrained(folders, caplog):
    unet = RestorationUNet.from_pretrained(folders / "diffusion" / "unet")
    assert not any(isinstance(m, torch.nn.GroupNorm) for m in unet.modules())
    assert "ignored" not in caplog.text
    scheduler = DDIMScheduler.from_pretrained(folders / "diffusion" / "scheduler")
    assert torch.equal(scheduler.alphas_cumprod, make_scheduler().alphas_cumprod)
    assert scheduler.config.prediction_type == "sample"


# --- Experts


@pytest.fixture
def experts():
    torch.manual_seed(0)
    return Experts(Ladder, SMALL).requires_grad_(False)


def test_experts_share_the_coarse_level_and_nothing_else(experts):
    first, *others = experts.ladders
    alike = {"lift", "encode8", "decode8"}
    for other in others:
        for name, module in other.named_children():
            same = module is getattr(first, name)
            assert same == (name in alike), name
        for name in ("posteriors", "embed"):
            ours, theirs = getattr(other, name), getattr(first, name)
            assert [a is b for a, b in zip(ours, theirs, strict=True)] == [True, False, False]


def test_each_photo_passes_through_its_expert_alone(experts):
    given = inputs(4)
    families = torch.tensor([0, 2, 2, HOLES])
    together = experts(families, Ladder.means, *given)
    for i, family in enumerate(families):
        alone = experts.ladders[family].means(*(x[i : i + 1] for x in given))
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)
    pairs = experts(families, lambda ladder, *x: (ladder.means(*x), x[1]), *given)
    assert torch.equal(pairs[0], together)
    assert torch.equal(pairs[1], given[1])


def test_holes_are_told_by_the_mask_and_the_rest_by_the_router(experts):
    degraded, mask, whole = inputs(3)
    mask[1, :, 4, 5] = 1
    for favourite in range(DARKNESS):
        experts.router.verdict[-1].bias.data = 100 * torch.eye(DARKNESS)[favourite]
        assert experts.families(degraded, mask, whole).tolist() == [favourite, HOLES, favourite]
        first = (x[:1] for x in (degraded, mask, whole))
        assert experts.of(*first) is experts.ladders[favourite]
    experts.router.verdict[-1].weight.data.zero_()
    for lead, expected in ((0.1, 1), (-0.1, COARSENESS)):  # of softness, beyond the bonus
        logits = [0, 5 + COARSENESS_BONUS + lead, 5, 0]
        experts.router.verdict[-1].bias.data = torch.tensor(logits)
        assert experts.families(degraded[:1], mask[:1], whole[:1]).tolist() == [expected]
    assert len(experts.ladders) == len(FAMILIES)


def test_too_little_light_has_an_expert_of_its_own(experts, monkeypatch):
    experts.router.verdict[-1].bias.data = 100 * torch.eye(DARKNESS)[1]
    degraded, mask, whole = inputs(3)
    mask[1, :, 4, 5] = 1
    monkeypatch.setattr(
        experts.lift, "sure", lambda exposure: torch.tensor([True, True, False]).view(-1, 1, 1, 1)
    )
    assert experts.families(degraded, mask, whole).tolist() == [DARKNESS, HOLES, 1]


@pytest.mark.parametrize(
    ("size", "count", "shape"),
    [((1, 1), 1, (4, 4)), ((100, 300), 3, (96, 96)), ((900, 640), 9, (96, 96))],
)
def test_windows_spread_over_the_photo(size, count, shape):
    H, W = size
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    cut = windows(torch.stack([rows, columns]).expand(2, -1, -1, -1).float())
    assert cut.shape == (2, count, 2, *shape)
    corners = cut[0, :, :, 0, 0]
    assert (corners % 8 == 0).all()
    assert len(corners.unique(dim=0)) == count
    if count > 1:
        assert corners.amin(0).tolist() == [0, 0] or H < 2 * 96
        assert W - int(cut[0, :, 1].max()) <= 8


def test_a_router_judges_all_windows_of_a_photo_together(experts):
    two = torch.rand(1, 2, 3, 64, 64)
    apart = experts.router(two.transpose(0, 1))
    assert not torch.allclose(apart[0], apart[1])
    both = experts.router(two.flip(1))
    assert torch.allclose(experts.router(two), both, atol=1e-6)
    assert not torch.allclose(both, apart[:1])


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
    n = 6 if name == "diffusion" else 2
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


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 33)])
def test_unknown_pixels_continue_the_known_ones(size):
    H, W = size
    slope = torch.linspace(0.2, 0.8, W).expand(3, 3, H, W)
    mask = torch.zeros(3, 1, H, W)
    mask[0, :, H // 3 : H // 2, W // 3 : W // 2] = 1
    mask[1] = 1
    photo = torch.where(mask > 0, 5.0, slope)  # what lies under the mask must not matter
    result = filled(photo, mask)
    assert torch.equal(result[:1] * (1 - mask[:1]), slope[:1] * (1 - mask[:1]))
    assert torch.allclose(result[0], slope[0], atol=0.05)
    assert torch.all(result[1] == 0.5)
    assert torch.equal(result[2], slope[2])


def test_a_photo_without_holes_is_not_copied():
    photo = torch.rand(1, 3, 8, 8)
    assert filled(photo, torch.zeros(1, 1, 8, 8)) is photo


def test_thumbnail_leaves_out_what_is_masked():
    photo, mask = torch.full((1, 3, 128, 128), 0.8), torch.zeros(1, 1, 128, 128)
    photo[..., :50], mask[..., :50] = 0, 1
    small = thumbnail(photo, mask)
    assert torch.allclose(small[..., 25:], torch.tensor(0.8))
    assert torch.allclose(small[..., :24], torch.tensor(0.5))
    assert exposure(photo, mask).shape == (1, EXPOSURE)
    assert torch.equal(exposure(photo, mask)[:, -4:-1], torch.full((1, 3), 0.8))


def test_peak_is_the_brightest_but_for_a_few_stray_pixels():
    photo, mask = torch.full((1, 3, 100, 100), 0.3), torch.zeros(1, 1, 100, 100)
    photo[0, 0, 0, :5] = 1  # 5 of 10,000
    photo[0, 1, 0, :20] = 1
    assert peak(photo, mask).flatten().tolist() == pytest.approx([0.3, 1, 0.3])
    mask[..., 0, :20] = 1
    assert peak(photo, mask).flatten().tolist() == pytest.approx([0.3, 0.3, 0.3])
    large = F.interpolate(photo, (1500, 1500))
    assert peak(large, torch.zeros_like(large[:, :1])).flatten().tolist() == pytest.approx(
        [0.3, 1, 0.3]
    )


def test_grain_is_the_noise_of_photos_of_any_size():
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.3, 0.7, 1500).expand(1, 3, 1200, 1500)
    for sigma in (0.0, 0.02, 0.1):
        for photo in (ramp, ramp[..., :301, :299]):
            noisy = photo + sigma * torch.randn(photo.shape, generator=generator)
            assert float(grain(noisy)) == pytest.approx(sigma, rel=0.03, abs=1e-3)
    assert float(grain(torch.rand(1, 3, 1, 1))) == 0


def set_curve(lift: Lift, gamma: float, gain: float) -> None:
    """Make a lift predict this curve, whatever it sees."""
    with torch.no_grad():
        for parameter in lift.layers[4].parameters():
            parameter.zero_()
        lift.layers[4].bias.copy_(torch.tensor([gamma, gain]).log())


def test_lift_undoes_underexposure():
    photo = torch.rand(2, 3, 8, 8) * 0.9 + 0.1
    lift = Lift()
    set_curve(lift, 2.2, 0.6)
    dark = darken(photo, torch.tensor(2.2), torch.tensor(0.6))
    described = torch.full((2, EXPOSURE), (MIN_GRAIN + MAX_GRAIN) / 2)
    assert torch.allclose(lift(dark, described), photo, atol=1e-4)
    black = torch.zeros(1, 3, 2, 2)
    assert float(undarkened(black, torch.tensor(2.2), torch.tensor(0.6)).max()) < 0.1


def test_lift_leaves_alone_what_it_is_not_sure_of():
    lift, photo = Lift(), torch.rand(1, 3, 4, 4)
    described = torch.rand(1, EXPOSURE)
    for gamma, noise, stays in (
        (MIN_LIFT - 0.01, MIN_GRAIN + 1e-4, True),
        (MIN_LIFT + 0.01, MIN_GRAIN - 1e-4, True),
        (MIN_LIFT + 0.01, MIN_GRAIN + 1e-4, False),
        (MIN_LIFT + 0.01, MAX_GRAIN - 1e-4, False),
        (MIN_LIFT + 0.01, MAX_GRAIN + 1e-4, True),
    ):
        set_curve(lift, gamma, 0.5)
        described[:, -1] = noise
        assert torch.equal(lift(photo, described), photo) == stays


def test_untrained_lift_is_the_identity():
    photo = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        assert torch.equal(Lift()(photo, torch.rand(1, EXPOSURE)), photo)
