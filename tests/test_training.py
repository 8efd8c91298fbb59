"""The training loop and its recipes on tiny networks and two photos."""

import json
import math
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image

from enhancers import load
from enhancers.degradations import degrade, gaussian_blur
from enhancers.diffusion import RestorationUNet
from enhancers.experts import DARKNESS, FAMILIES, HOLES, Router, windows
from enhancers.gan import DiscriminatorConfig
from enhancers.ladder import LadderConfig
from enhancers.layers import exposure
from enhancers.training.__main__ import main
from enhancers.training.data import SHARES, Mixture, read_photos
from enhancers.training.diffusion import DiffusionRecipe
from enhancers.training.first import ROUTER_CROP, fit_lift, fit_router
from enhancers.training.gan import GANRecipe
from enhancers.training.loop import Loop, Settings, mean_psnr, update_average
from enhancers.training.losses import FLOOR, annealed_floor, error_of_mean, log_mse, variance
from enhancers.training.vae import VAERecipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with two photos and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.astronaut()[:200, :180]).save(folder / "a.png")
    Image.fromarray(skimage.data.chelsea()[:150, :300]).save(folder / "b.jpg")
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder


def small(model: str):
    """Recipe of a network small enough for a test."""
    torch.manual_seed(0)
    ladder = LadderConfig(widths=(16, 16, 16), latents=(4, 4, 12))
    if model == "vae":
        recipe = VAERecipe(ladder)
    elif model == "gan":
        recipe = GANRecipe(ladder, DiscriminatorConfig((8, 8, 8)))
    else:
        recipe = DiffusionRecipe(ladder, RestorationUNet((8, 16, 16)))
    recipe.batch_size, recipe.crop, recipe.late_crop = 4, 32, 48
    recipe.warmup = 1
    return recipe


def settings(model: str, photos: Path, out: Path, steps: int, **more) -> Settings:
    return Settings(
        model,
        photos,
        photos,
        out,
        steps=steps,
        val_photos=1,
        val_size=48,
        lift_steps=3,
        router_steps=2,
        **more,
    )


MODELS = ("vae", "gan", "diffusion")


# --- Data


def test_batches_are_reproducible_and_resume(photos):
    tensors, skipped = read_photos(photos, CPU)
    assert len(tensors) == 2
    assert len(skipped) == 1
    assert "broken.png" in skipped[0]
    first, second = Mixture(tensors, 1), Mixture(tensors, 1)
    first.batch(8, 32)
    second.restore_state(first.state())
    a, b = first.batch(8, 32), second.batch(8, 32)
    assert torch.equal(a.degraded, b.degraded)
    assert torch.equal(a.exposure, b.exposure)
    assert not torch.equal(
        Mixture(tensors, 2).batch(8, 32).clean, Mixture(tensors, 1).batch(8, 32).clean
    )


@pytest.mark.parametrize("kind", SHARES)
def test_every_kind_of_damage_enters_training(photos, kind):
    batch = Mixture(read_photos(photos, CPU)[0], 0, {kind: 1.0}).batch(6, 64)
    assert batch.clean.shape == batch.degraded.shape == (6, 3, 64, 64)
    changed = (batch.clean != batch.degraded).flatten(1).any(1)
    assert changed.all() if kind != "clean" else not changed.any()
    assert bool(batch.mask.any()) == (kind == "scratches")
    for photo in (batch.clean, batch.degraded):
        within = ((photo >= 0) & (photo <= 1)).flatten(1).all(1)
        assert within.all() or (photo is batch.degraded and kind == "noise")


def test_now_and_then_noise_goes_beyond_what_a_file_can_hold():
    black = torch.zeros(3, 64, 64, dtype=torch.uint8)
    noisy = Mixture([black], 0, {"noise": 1.0}).batch(400, 8).degraded
    assert 0.05 < float((noisy < 0).flatten(1).any(1).float().mean()) < 0.15


def test_blurred_photos_have_a_little_grain_or_none():
    grey = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    for kind in ("blur", "motion"):
        degraded = Mixture([grey], 0, {kind: 1.0}).batch(400, 32).degraded
        sigmas = 255 * degraded.std((1, 2, 3))
        assert 0.15 < float((sigmas < 0.2).float().mean()) < 0.45
        assert 0.12 < float(((sigmas > 1) & (sigmas < 3)).float().mean()) < 0.25
        assert sigmas.max() < 11


def test_crops_are_damaged_as_parts_of_whole_photos():
    photo = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8)
    mixture = Mixture([photo], 0, {"blur": 1.0})
    sigma = torch.full((1,), 1.6)
    whole = gaussian_blur(photo[None] / 255, sigma)[0]
    mixture._edited = lambda *pictures: pictures
    mixture._uniform = lambda n, low, high: torch.full((n,), 1.6 if high == 4 else 0.0)
    blurred = mixture.batch(8, 48).degraded  # turns and mirror images of squares of the whole
    squares = [whole[:, y : y + 48, x : x + 48] for y in range(16, 33) for x in range(16, 33)]
    possible = torch.stack(squares)
    possible = torch.cat([possible.rot90(k, (2, 3)) for k in range(4)])
    possible = torch.cat([possible, possible.flip(3)])
    for crop in blurred:
        assert (possible - crop).abs().flatten(1).amax(1).min() < 0.6 / 255


def test_crops_are_squares_of_the_photo_mirrored_and_turned():
    photo = torch.randint(0, 256, (3, 10, 12), dtype=torch.uint8)
    crops = (Mixture([photo], 0)._crops(np.zeros(200, int), 8) * 255).round().to(torch.uint8)
    squares = [photo[:, y : y + 8, x : x + 8] for y in range(3) for x in range(5)]
    turned = [s.rot90(k, (1, 2)) for s in squares for k in range(4)]
    possible = torch.stack([*turned, *(s.flip(2) for s in turned)])
    found = (crops[:, None] == possible).flatten(2).all(2)
    assert found.any(1).all()
    assert len(found.int().argmax(1).unique()) > 80  # of 120


def test_damage_is_drawn_by_its_share(photos):
    mixture = Mixture(read_photos(photos, CPU)[0], 0, {"jpeg": 0.9, "scratches": 0.1})
    lost = mixture.batch(300, 8).family == HOLES
    assert 0.04 < float(lost.float().mean()) < 0.18


def test_photos_of_one_family_stand_together_and_clean_ones_in_four(photos):
    mixture = Mixture(read_photos(photos, CPU)[0], 0)
    families = mixture.batch(64, 8).family
    assert families.tolist() == sorted(families.tolist())
    assert set(families.tolist()) == {0, 1, 2, 3, DARKNESS, HOLES}
    for kind in SHARES:
        mixture.shares = {kind: 1.0}
        expected = [i for i, members in enumerate(FAMILIES.values()) if kind in members]
        found = set(mixture.batch(32, 8).family.tolist())
        assert found == set(expected or range(DARKNESS)), kind


def test_photos_smaller_than_a_crop_are_extended():
    tiny = torch.randint(0, 255, (3, 20, 9), dtype=torch.uint8)
    crops = (Mixture([tiny], 0)._crops(np.zeros(20, int), 32) * 255).round().to(torch.uint8)
    whole = F.pad(tiny[None].float(), (0, 23, 0, 12), mode="replicate")[0].to(torch.uint8)
    turned = [whole.rot90(k, (1, 2)) for k in range(4)]
    possible = torch.stack([*turned, *(photo.flip(2) for photo in turned)])
    assert (crops[:, None] == possible).flatten(2).all(2).any(1).all()


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected photos in"):
        read_photos(tmp_path, CPU)


# --- Losses


def test_losses_by_hand():
    clean = torch.zeros(2, 3, 8, 8)
    restored = torch.stack([torch.full((3, 8, 8), 0.1), torch.zeros(3, 8, 8)])
    assert log_mse(restored, clean)[0] == pytest.approx(math.log(0.01 + FLOOR), abs=1e-4)
    assert log_mse(restored, clean)[1] == pytest.approx(math.log(FLOOR), abs=1e-4)
    assert [annealed_floor(p) for p in (0, 0.5, 1)] == pytest.approx([1e-3, FLOOR, FLOOR])


def test_error_of_the_mean_is_blind_to_the_spread_of_samples():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 200, 200, generator=generator)
    for spread in (0.0, 0.3):
        samples = (
            clean + 0.1 + spread * torch.randn(clean.shape, generator=generator) for _ in "12"
        )
        first, second = samples
        assert float(error_of_mean(first, second, clean)) == pytest.approx(0.01, rel=0.05)
        assert float(variance(first, second)) == pytest.approx(spread**2, rel=0.02, abs=1e-9)


def test_mean_psnr_is_per_photo():
    clean = torch.zeros(2, 3, 4, 4)
    restored = torch.cat([torch.full((1, 3, 4, 4), v / 255) for v in (51, 255)])
    assert mean_psnr(restored, clean) == pytest.approx((20 * math.log10(5) + 0) / 2, abs=1e-4)


# --- Loop


@pytest.mark.parametrize("model", MODELS)
def test_loss_falls_on_one_repeated_batch(photos, tmp_path, model):
    recipe = small(model)
    loop = Loop(recipe, settings(model, photos, tmp_path, 1))
    batch = loop.mixture.batch(4, 32)
    losses = [float(recipe.step(batch, 0.0, loop)["loss"]) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5]) - 0.25, losses


@pytest.mark.parametrize("model", MODELS)
def test_resumed_run_equals_uninterrupted_run(photos, tmp_path, model):
    whole = Loop(small(model), settings(model, photos, tmp_path / "whole", 6))
    whole.run()

    halted = Loop(small(model), settings(model, photos, tmp_path / "halted", 6))
    real_step = halted.recipe.step

    def stop_in_the_fourth(*given):
        if halted.step == 3:
            halted.stop()
        return real_step(*given)

    halted.recipe.step = stop_in_the_fourth
    assert halted.run() is None
    resumed = Loop(small(model), settings(model, photos, tmp_path / "halted", 6))
    assert resumed.step == 4
    resumed.run()
    for (name, a), b in zip(
        whole.average.state_dict().items(), resumed.average.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("first", ["vae", "diffusion"])
def test_a_run_may_begin_as_a_trained_model(photos, tmp_path, model, first):
    Loop(small(first), settings(first, photos, tmp_path / "first", 2)).run()
    trained = load(first, folder=tmp_path / "first" / "export")
    given = settings(model, photos, tmp_path / "run", 2, start=tmp_path / "first" / "export")
    loop = Loop(small(model), given)
    state = (trained.network if first == "vae" else trained.mean).state_dict()
    for key, value in loop.recipe.experts.state_dict().items():
        assert torch.equal(value, state[key]) if key in state else "priors" in key, key
    assert loop.recipe.rate(0, 0.0) == pytest.approx(2e-4 if model == "gan" else 5e-4)
    loop.run()
    if model == "gan":  # what it began as was faithful already
        assert loop.recipe.adversarial_steps == 2
        faithful = loop.recipe.faithful.state_dict()
        assert torch.equal(faithful["ladders.0.embed.0.weight"], state["ladders.0.embed.0.weight"])
    resumed = Loop(small(model), given)
    assert resumed.recipe.learning_rate == 5e-4
    moved = resumed.recipe.experts.ladders[0].embed[0].weight
    assert not torch.equal(moved, state["ladders.0.embed.0.weight"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("part", ["grain", "holes", "ladders", "unet"])
def test_a_run_may_train_one_part(photos, tmp_path, model, part):
    Loop(small("vae"), settings("vae", photos, tmp_path / "vae", 2)).run()
    start = tmp_path / "vae" / "export"
    given = settings(model, photos, tmp_path / "run", 2, start=start, only=part)
    if part in ("ladders", "unet") and model != "diffusion":
        with pytest.raises(ValueError, match=rf"Expected one of grain, .* but got {part}"):
            Loop(small(model), given)
        return
    loop = Loop(small(model), given)
    before = {name: value.clone() for name, value in loop.recipe.network.named_parameters()}
    loop.run()
    now = dict(loop.recipe.network.named_parameters())
    moved = {name for name, value in before.items() if not torch.equal(value, now[name])}
    if part == "unet":
        assert moved and all(name.startswith("unet.") for name in moved)
        return
    if part == "ladders":
        assert all(name.startswith("mean.") for name in moved)
        assert any("encode8" in name for name in moved)
        assert dict(loop.mixture.shares) == SHARES
        return
    index = list(FAMILIES).index(part)
    shared = ("lift", "encode8", "decode8", "posteriors.0", "embed.0")
    for name in moved:
        _, layers = name.split(f"ladders.{index}.")
        assert not layers.startswith(shared), name
    assert any("head" in name for name in moved)
    assert (loop.mixture.batch(64, 32).family == index).all()
    assert set(loop.mixture.shares) == {*FAMILIES[part], "clean"}
    assert sum(loop.mixture.shares.values()) == pytest.approx(1)


def test_batches_and_crops_are_as_large_as_asked(photos, tmp_path):
    loop = Loop(small("vae"), settings("vae", photos, tmp_path, 5, batch=3, crop=40))
    drawn = []
    draw = loop.mixture.batch
    loop.mixture.batch = lambda n, size: drawn.append((n, size)) or draw(n, size)
    loop.run()
    assert drawn == 5 * [(3, 40)]


def test_one_part_needs_the_rest(photos, tmp_path):
    with pytest.raises(ValueError, match="expected a start as well"):
        Loop(small("vae"), settings("vae", photos, tmp_path, 2, only="grain"))


def test_diffusion_may_go_on_as_it_was(photos, tmp_path):
    Loop(small("diffusion"), settings("diffusion", photos, tmp_path / "first", 2)).run()
    start = tmp_path / "first" / "export"
    before = load("diffusion", folder=start)
    recipe = small("diffusion")
    Loop(recipe, settings("diffusion", photos, tmp_path / "run", 2, start=start))
    assert recipe.mean_share == 0  # it has seen pure noise alone before
    for own, network in ((recipe.experts, before.mean), (recipe.network.unet, before.unet)):
        for (name, value), now in zip(
            network.state_dict().items(), own.state_dict().values(), strict=True
        ):
            assert torch.equal(now, value), name


def test_the_cleaner_a_state_the_lower_the_floor_of_its_error(photos, tmp_path, monkeypatch):
    from enhancers.training import diffusion

    floors = []

    def spy(restored, clean, floor=FLOOR):
        floors.append(floor)
        return log_mse(restored, clean, floor)

    monkeypatch.setattr(diffusion, "log_mse", spy)
    recipe = small("diffusion")
    recipe.mean_share, recipe.pure_noise = 0.0, 0.5
    recipe.warm = True  # so that the floor is not annealed
    loop = Loop(recipe, settings("diffusion", photos, tmp_path, 8))
    loop.run()
    usual = [floor for floor in floors if isinstance(floor, float)]
    of_states = torch.cat([floor for floor in floors if not isinstance(floor, float)])
    assert max(usual) > of_states.max() * 0.999
    assert of_states.min() < 0.02 * FLOOR  # a ratio of noise to signal of 0.014
    assert 0.25 < (of_states >= FLOOR * 0.999).float().mean() < 0.75


@pytest.mark.parametrize("model", MODELS)
def test_run_writes_what_load_reads(photos, tmp_path, model):
    loop = Loop(small(model), settings(model, photos, tmp_path, 6))
    scores = loop.run()
    enhancer = load(model, folder=tmp_path / "export")
    assert enhancer.spec.training["steps"] == 6
    assert enhancer.restore(torch.rand(1, 3, 20, 20)).shape == (1, 3, 20, 20)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    trained = {name for line in lines if line["kind"] == "train" for name in line}
    expected = {
        "vae": {"kl_f8_nats_per_pixel", "kl_f4_nats_per_pixel", "kl_f2_nats_per_pixel"},
        "gan": {"d_loss", "g_loss", "d_real", "d_fake", "spread"},
        "diffusion": {"log_mse_first_step", "log_mse_later_steps"},
    }[model]
    assert expected | {"log_mse", "gradient"} - {"log_mse"} <= trained
    last = lines[-1]
    assert last["kind"] == "validation"
    assert last["noise"] == pytest.approx(scores["noise"], abs=1e-4)
    resolved = json.loads((tmp_path / "settings.json").read_text())
    assert resolved["recipe"]["learning_rate"] == 1e-3


def test_time_between_two_steps_does_not_count(photos, tmp_path, monkeypatch):
    said, clock = [], [0.0]
    monkeypatch.setattr("enhancers.training.loop.time", SimpleNamespace(monotonic=lambda: clock[0]))
    loop = Loop(small("vae"), settings("vae", photos, tmp_path, 3), said.append)
    real_step = loop.recipe.step

    def second(*given):
        clock[0] += 1
        return real_step(*given)

    loop.recipe.step = second
    for _ in loop.steps():
        clock[0] += 100
    assert (loop.step, loop.elapsed) == (3, 3.0)
    assert said[-1].startswith("train step 3 100%")


def test_a_run_may_train_for_one_kind_of_damage(photos, tmp_path):
    loop = Loop(small("vae"), settings("vae", photos, tmp_path, 2, damage="jpeg"))
    assert loop.mixture.shares == {"jpeg": 1.0}
    assert set(loop.run()) == {"clean", "jpeg"}
    assert json.loads((tmp_path / "settings.json").read_text())["shares"] == {"jpeg": 1.0}


def test_the_average_is_what_is_validated(photos, tmp_path):
    loop = Loop(small("vae"), settings("vae", photos, tmp_path, 1))
    before = loop.validate()
    for parameter in loop.recipe.network.parameters():
        parameter.data += 1
    assert loop.validate() == before
    update_average(loop.average, loop.recipe.network, 0.5)
    assert loop.validate() != before


def test_average_moves_by_its_decay():
    a, b = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    start, end = a.weight.item(), b.weight.item()
    update_average(a, b, 0.9)
    assert a.weight.item() == pytest.approx(0.9 * start + 0.1 * end)


def test_rate_warms_up_and_falls():
    recipe = small("vae")
    recipe.warmup = 100
    rates = [recipe.rate(step, step / 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates[99:] == sorted(rates[99:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5)


def test_a_gradient_that_is_not_finite_changes_nothing(photos, tmp_path):
    loop = Loop(small("vae"), settings("vae", photos, tmp_path, 1))
    network = loop.recipe.network
    weight = network.ladders[0].head.conv.weight
    before = weight.clone()
    norm = loop.update(weight.sum() * torch.inf, network, loop.recipe.optimizer)
    assert not torch.isfinite(norm)
    assert torch.equal(weight, before)


def test_the_gan_is_validated_as_it_is_exported(photos, tmp_path):
    recipe = small("gan")
    recipe.faithful_share = 0.0
    loop = Loop(recipe, settings("gan", photos, tmp_path, 2))
    loop.run()
    exported = load("gan", folder=tmp_path / "export").adversarial
    given = loop.val["noise"][1:]
    recipe.tempered = lambda network: network
    with torch.inference_mode():
        expected = recipe.restore(exported, *given)
    del recipe.tempered
    # The weights were rounded to fp16.
    assert (loop.restored("noise") - expected).abs().max() < 4e-3


def test_discriminator_learns_to_tell_real_from_fake(photos, tmp_path):
    recipe = small("gan")
    loop = Loop(recipe, settings("gan", photos, tmp_path, 1))
    real, mask = torch.full((4, 3, 32, 32), 0.5), torch.zeros(4, 1, 32, 32)
    fake = real + 0.2 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    recipe.discriminator_optimizer.param_groups[0]["lr"] = 5e-3
    for _ in range(120):
        log = recipe._discriminator_step(real, fake, real, mask, loop)
    assert log["d_real"] > 0.6 > 0.4 > log["d_fake"]


def test_tone_curve_learns_to_lift_dark_photos(photos):
    lift = small("vae").network.lift
    photos, _ = read_photos(photos, CPU)
    mixture = Mixture(photos, 0)
    torch.manual_seed(0)
    fit_lift(lift.requires_grad_(True), mixture, 300)
    assert not any(p.requires_grad for p in lift.parameters())
    generator = torch.Generator().manual_seed(0)
    for photo in photos:
        clean = photo[None].float() / 255
        mask = torch.zeros_like(clean[:, :1])
        assert torch.equal(lift(clean, exposure(clean, mask)), clean)
        dark, _ = degrade(clean, "dark", 2.2, generator=generator)
        before, after = ((x - clean).abs().mean() for x in (dark, lift(dark, exposure(dark, mask))))
        assert after < before / 2


def test_the_router_learns_to_tell_families_apart(photos):
    torch.manual_seed(0)
    router = Router()
    shares = {"noise": 0.25, "blur": 0.25, "lowres": 0.25, "jpeg": 0.25}
    mixture = Mixture(read_photos(photos, CPU)[0], 0, shares)
    right = fit_router(router, mixture, 100)
    assert not any(p.requires_grad for p in router.parameters())
    assert right > 0.5  # by chance a quarter
    batch = mixture.batch(40, ROUTER_CROP)
    chosen = router(windows(batch.degraded)).argmax(1)
    assert float((chosen == batch.family).float().mean()) > 0.5


# --- Command line


def test_command_line_trains_and_says_how_far_it_is(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("enhancers.training.__main__.make_recipe", small)
    for fit in ("fit_lift", "fit_router"):  # at full length they take minutes
        monkeypatch.setattr(f"enhancers.training.loop.{fit}", lambda *_: 0.5)
    arguments = ["vae", "--data", str(photos), "--val", str(photos), "--out", str(tmp_path)]
    assert main([*arguments, "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "broken.png" in shown
    assert "100%" in shown
    assert "min left" in shown
    assert main([*arguments, "--steps", "2"]) == 0
    assert "resumed at step 2" in capsys.readouterr().out


def test_gan_is_exported_with_part_of_its_way_undone(monkeypatch):
    recipe = small("gan")
    recipe.faithful = deepcopy(recipe.network)
    adversarial = deepcopy(recipe.network)
    for weights in adversarial.parameters():
        weights.data += 1
    monkeypatch.setattr("enhancers.training.gan.TEMPERS", {"softness": (0.6, 0.2)})
    tempered = recipe.tempered(adversarial)
    for name, way in ("softness", 0.6), ("grain", 1.0):
        family = list(FAMILIES).index(name)
        before, after = (x.ladders[family] for x in (recipe.faithful, tempered))
        moved = after.decode2[0].conv1.weight - before.decode2[0].conv1.weight
        assert torch.allclose(moved, torch.full_like(moved, way), atol=1e-5)
        mean, logvar = (after.posteriors[2].bias - before.posteriors[2].bias).chunk(2)
        assert torch.allclose(mean, torch.full_like(mean, way), atol=1e-5)
        noise = 0.2 if name == "softness" else 1.0
        assert torch.allclose(logvar, torch.full_like(logvar, way + 2 * math.log(noise)), atol=1e-5)
    shared = tempered.ladders[0].encode8[0].weight - recipe.faithful.ladders[0].encode8[0].weight
    assert torch.allclose(shared, torch.ones_like(shared), atol=1e-5)


def test_command_line_refuses_in_one_sentence(tmp_path, capsys):
    arguments = ["vae", "--data", str(tmp_path), "--val", str(tmp_path), "--out", str(tmp_path)]
    assert main([*arguments, "--steps", "2"]) == 1
    assert capsys.readouterr().err.startswith("Expected photos in")
    with pytest.raises(SystemExit):
        main(arguments)


def test_processes_average_their_gradients(photos, tmp_path):
    """Two processes see different batches and end with the same weights."""
    script = Path(__file__).parent / "two_processes.py"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", "0"]
    run = subprocess.run(
        [*command, str(script), str(photos), str(tmp_path)],
        capture_output=True, text=True, timeout=240, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1))
    assert not torch.equal(first["clean"], second["clean"])
    for key, value in first["network"].items():
        assert torch.allclose(value, second["network"][key], atol=1e-6), key
