"""Laws of the VAE's code; small random networks, but for the shipped directions."""

import pytest
import torch
from skimage import data

from enhancers import images, load
from enhancers.experts import Experts
from enhancers.inside import deviation, fitted, given
from enhancers.inside.vae import (
    EDITS,
    LEVELS,
    STRENGTHS,
    Direction,
    between,
    decode,
    edited,
    encode,
    find_directions,
    from_prior,
    load_directions,
    main,
    nats,
    partial,
    samples,
    save_directions,
    steady_range,
)
from enhancers.ladder import LadderConfig
from enhancers.vae import VAE
from enhancers.weights import save_network


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "vae"
    torch.manual_seed(0)
    save_network(Experts(VAE, LadderConfig(widths=(16, 16, 16), latents=(4, 4, 12))), folder)
    return load("vae", folder=folder)


def photo(name: str = "astronaut", side: int = 64) -> torch.Tensor:
    return fitted(images.from_uint8(getattr(data, name)()), side)


# --- What goes in


@pytest.mark.parametrize("size", [(500, 301), (64, 40), (3, 90), (1, 1)])
def test_fitted_photos_fit_the_networks(size):
    small = fitted(torch.rand(1, 3, *size), 128)
    assert all(side % 8 == 0 and side >= 8 for side in small.shape[2:])
    assert max(small.shape[2:]) <= 128
    given(small)


def test_a_photo_that_is_small_enough_keeps_its_pixels():
    picture = torch.rand(1, 3, 45, 64)
    assert torch.equal(fitted(picture, 128), picture[..., :40, :])


def test_a_photo_that_does_not_fit_is_refused():
    for size in ((60, 64), (520, 64)):
        with pytest.raises(ValueError, match="sides divisible by 8 and up to 512 pixels"):
            given(torch.rand(1, 3, *size))


def test_deviation_is_that_of_a_sample_in_levels():
    pictures = [torch.full((1, 3, 2, 2), v / 255) for v in (100.0, 103.0)]
    assert deviation(pictures).numpy() == pytest.approx(3 / 2**0.5)
    with pytest.raises(ValueError, match="at least two"):
        deviation(pictures[:1])


# --- Codes


def test_decoding_a_code_is_what_the_enhancer_does(vae):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 10:20, 10:30] = 1
    code = encode(vae, photo(), mask)
    assert torch.equal(code.restored, vae.restore(photo(), mask))
    assert torch.equal(decode(code, code.means), code.restored)


def test_kl_maps_sum_to_the_kl(vae):
    code = encode(vae, photo())
    for level, factor, where in zip(code.levels, LEVELS, nats(code), strict=True):
        assert where.shape == (64 // factor, 64 // factor)
        assert float(where.sum()) == pytest.approx(float(level.kl().sum()), rel=1e-4)
        assert float(where.min()) > -1e-3


def test_interpolation_begins_and_ends_at_the_codes_own_decodings(vae):
    first, second = encode(vae, photo()[..., :40, :]), encode(vae, photo("cat")[..., :40, :])
    assert torch.equal(between(first, second, 0), first.restored)
    assert torch.equal(between(first, second, 1), second.restored)
    middle = between(first, second, 0.5)
    assert not torch.equal(middle, first.restored)
    assert not torch.equal(middle, second.restored)


def test_posterior_samples_come_from_the_seed_and_surround_the_mean(vae):
    code = encode(vae, photo())
    drawn = list(samples(code, 32, seed=1))
    assert torch.equal(drawn[0], next(samples(code, 1, seed=1)))
    assert not torch.equal(drawn[0], drawn[1])
    # The decoder of a fresh network is almost linear, so its mean is that of the samples.
    error = (torch.cat(drawn).mean(0, keepdim=True) - code.restored).square().mean()
    single = (drawn[0] - code.restored).square().mean()
    assert float(error) < float(single) / 8


def test_prior_samples_need_no_photo(vae):
    drawn = from_prior(vae, 3, 32, seed=2)
    assert drawn.shape == (3, 3, 32, 32)
    assert torch.equal(drawn, from_prior(vae, 3, 32, seed=2))
    assert not torch.equal(drawn, from_prior(vae, 3, 32, seed=3))


def test_each_level_adds_to_the_picture(vae):
    code = encode(vae, photo())
    errors = [float((partial(code, n) - photo()).square().mean()) for n in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]
    assert torch.equal(partial(code, 3), code.restored)


# --- Edits and directions


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_moves_its_own_measure(name):
    edit, picture = EDITS[name], photo() * 0.6 + 0.2
    values = [edit.measure(edit.apply(picture, factor).clamp(0, 1)) for factor in (0.8, 1, 1.2)]
    assert values[0] < values[1] < values[2]
    assert torch.allclose(edit.apply(picture, 1.0), picture, atol=1e-6)


def test_measures_of_a_flat_picture():
    grey = torch.full((1, 3, 20, 20), 0.5)
    values = {name: edit.measure(grey) for name, edit in EDITS.items()}
    assert values["brightness"] == pytest.approx(127.5)
    assert all(values[name] < 0.1 for name in ("contrast", "sharpness", "colourfulness"))


def test_directions_are_found_in_closed_form(tmp_path):
    """Of a network that codes pyramid bands, the least squares fit must find the very edit."""
    network = Experts(VAE, LadderConfig(widths=(16, 16, 16), latents=(4, 4, 12)))
    for ladder in network.ladders:
        for layer in (*ladder.posteriors, ladder.head.conv):
            torch.nn.init.zeros_(layer.weight)
    save_network(network, tmp_path)
    vae = load("vae", folder=tmp_path)
    photos = [photo(name, 96)[..., :48, :48] for name in ("astronaut", "chelsea", "coffee", "cat")]
    photos += [picture.flip(3) * 0.8 + 0.1 for picture in photos]
    calls = []
    directions = find_directions(vae, photos, lambda i, n: calls.append((i, n)))
    assert calls == [(i, 8) for i in range(1, 9)]
    code = encode(vae, photo("rocket", 96)[..., :48, :48] * 0.7 + 0.15)
    for name, edit in EDITS.items():
        assert [m.shape for m in directions[name].matrices] == [(4, 9), (4, 9), (12, 25)]
        before = edit.measure(edited(code, directions, {}))
        up, down = (edit.measure(edited(code, directions, {name: s})) for s in (1, -1))
        assert down < before < up
        assert directions[name].effect[STRENGTHS.index(1)] > directions[name].effect[8]


def test_directions_need_photos(vae):
    with pytest.raises(ValueError, match="at least four photos, but got 1"):
        find_directions(vae, [photo()])


def test_without_strength_nothing_is_edited(vae):
    code = encode(vae, photo())
    direction = Direction(tuple(torch.randn(c, 2 * c + 1) for c in (4, 4, 12)), -1, 1, ())
    directions = {"contrast": direction}
    assert torch.equal(edited(code, directions, {"contrast": 0}), code.restored)
    assert not torch.equal(edited(code, directions, {"contrast": 1}), code.restored)


def test_a_slider_ends_where_a_single_photo_turns_back():
    rising = [10 + s for s in STRENGTHS]
    turning = [10 - abs(s - 2) for s in STRENGTHS]
    grey = [0.5 + abs(s) for s in STRENGTHS]
    assert steady_range([rising, rising]) == (-4, 4)
    assert steady_range([rising, turning, grey]) == (-4, 2)
    assert steady_range([rising[::-1]]) == (0, 0)


def test_directions_know_their_weights(tmp_path):
    direction = Direction(tuple(torch.randn(c, 2 * c + 1) for c in (4, 4, 12)), -2, 1.5, (1.0, 2.0))
    path = tmp_path / "directions.safetensors"
    save_directions({"contrast": direction}, path, "sha-1")
    again = load_directions("sha-1", path)["contrast"]
    assert all(torch.equal(a, b) for a, b in zip(again.matrices, direction.matrices, strict=True))
    assert (again.low, again.high, again.effect) == (-2, 1.5, (1.0, 2.0))
    with pytest.raises(ValueError, match=r"other weights.*python -m enhancers\.inside\.vae"):
        load_directions("sha-2", path)
    with pytest.raises(ValueError, match="no directions"):
        load_directions("sha-1", tmp_path / "none")


def test_command_names_what_it_cannot_do(tmp_path, capsys):
    (tmp_path / "broken.png").write_text("no picture")
    assert main(["--data", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "broken.png is not a picture" in errors
    assert "at least four photos" in errors


def test_shipped_sliders_are_monotone_on_unseen_photos():
    vae = load("vae")
    directions = load_directions(vae.spec.sha256)
    for code in (encode(vae, photo(name, 128)) for name in ("astronaut", "coffee", "chelsea")):
        for name, edit in EDITS.items():
            low, high = directions[name].low, directions[name].high
            assert low < 0 < high
            effect = [
                edit.measure(edited(code, directions, {name: low + (high - low) * i / 6}))
                for i in range(7)
            ]
            assert effect == sorted(effect), name
            assert effect[-1] > 1.1 * effect[0], name
