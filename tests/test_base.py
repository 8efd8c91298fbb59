"""The contract of every enhancer, and tiling."""

import pytest
import torch
import torch.nn.functional as F

from enhancers.base import Enhancer, Option, Spec, pad_to_multiple, tiled
from enhancers.layers import filled


class Recorder(Enhancer):
    """Returns what it is given, and remembers it."""

    device = torch.device("cpu")
    spec = Spec("recorder", "Recorder", 0, "", options=(
        Option("strength", 0, 1, 0.5, "How much."), Option("steps", 1, 8, 2, "", integer=True),
    ))  # fmt: skip

    def _restore(self, degraded, mask, generator, on_step, **options):
        self.seen, self.mask, self.options = degraded, mask, options
        self.drawn = torch.rand(1, generator=generator)
        on_step(1, 1, degraded)
        return degraded * 3 - 1


@pytest.fixture
def set_tiles(monkeypatch):
    """Give tiles another size and overlap."""

    def set_to(tile: int, overlap: int) -> None:
        monkeypatch.setattr("enhancers.base.TILE", tile)
        monkeypatch.setattr("enhancers.base.OVERLAP", overlap)

    return set_to


def test_restore_fills_defaults_clamps_and_hides_what_is_masked():
    recorder = Recorder()
    photo, mask = torch.rand(1, 3, 5, 4), torch.zeros(1, 1, 5, 4)
    mask[..., 2, 2] = 1
    restored = recorder.restore(photo, mask, strength=1)
    assert recorder.options == {"strength": 1.0, "steps": 2}
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert torch.equal(recorder.seen, filled(photo, mask))
    photo[..., 2, 2] = 0
    assert torch.equal(recorder.restore(photo, mask), restored)


def test_seed_decides_the_random_numbers():
    recorder = Recorder()
    drawn = []
    for seed in (3, 3, 4):
        recorder.restore(torch.rand(1, 3, 2, 2), seed=seed)
        drawn.append(float(recorder.drawn))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_photo_never_meets_the_noise_that_damaged_it():
    recorder = Recorder()
    for seed in range(4):
        recorder.restore(torch.rand(1, 3, 2, 2), seed=seed)
        damage = torch.rand(1, generator=torch.Generator().manual_seed(seed))
        assert not torch.equal(recorder.drawn, damage)
    with pytest.raises(TypeError):
        recorder.restore(torch.rand(1, 3, 2, 2), seed=0.5)


def test_on_step_may_cancel():
    def stop(i, n, preview):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Recorder().restore(torch.rand(1, 3, 2, 2), on_step=stop)


@pytest.mark.parametrize(
    ("photo", "mask", "options", "message"),
    [
        (torch.rand(3, 4, 4), None, {}, r"\(N, 3, H, W\), but got \(3, 4, 4\)"),
        (torch.rand(1, 1, 4, 4), None, {}, "but got"),
        (torch.rand(1, 3, 4, 4) * 255, None, {}, r"in \[0, 1\]"),
        (torch.full((1, 3, 4, 4), torch.nan), None, {}, r"in \[0, 1\]"),
        (torch.ones(1, 3, 4, 4).byte(), None, {}, "floating-point"),
        (torch.rand(1, 3, 4, 4), torch.zeros(1, 1, 4, 5), {}, "mask of shape"),
        (torch.rand(1, 3, 4, 4), None, {"speed": 1}, "no option speed"),
        (torch.rand(1, 3, 4, 4), None, {"strength": 2}, "between 0 and 1, but got 2"),
        (torch.rand(1, 3, 4, 4), None, {"steps": 1.5}, "whole number"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(photo, mask, options, message):
    with pytest.raises(ValueError, match=message):
        Recorder().restore(photo, mask, **options)


def test_pad_reflects_as_far_as_it_can():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert pad_to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 0, 0, 0]
    assert pad_to_multiple(torch.ones(1, 1, 1, 1), 8).shape == (1, 1, 8, 8)
    assert pad_to_multiple(torch.ones(1, 1, 16, 8), 8).shape == (1, 1, 16, 8)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (200, 64), (131, 300)])
def test_tiles_of_a_pointwise_network_are_seamless(size, set_tiles):
    set_tiles(64, 16)
    x = torch.rand(2, 3, *size)
    result = tiled(lambda y: y.square(), x, multiple=8)
    assert torch.allclose(result, x.square(), atol=1e-6)


def test_tiles_agree_with_the_whole_within_the_overlap(set_tiles):
    """A network that sees 7 pixels around itself cannot tell tiles from the whole photo."""
    kernel = torch.rand(3, 1, 15, 15)

    def network(y):
        return F.conv2d(F.pad(y, (7,) * 4, mode="reflect"), kernel / 225, groups=3)

    x = torch.rand(1, 3, 160, 200)
    whole = tiled(network, x, multiple=8)
    set_tiles(96, 32)
    assert torch.allclose(tiled(network, x, multiple=8), whole, atol=1e-6)
    set_tiles(96, 8)
    assert not torch.allclose(tiled(network, x, multiple=8), whole, atol=1e-3)


def test_networks_see_equal_tiles_and_every_tile_is_told(set_tiles):
    set_tiles(64, 16)
    sizes, told = [], []

    def network(y):
        sizes.append(tuple(y.shape[-2:]))
        return y

    photo = torch.rand(1, 3, 150, 90)
    result = tiled(network, photo, multiple=8, on_step=lambda *step: told.append(step))
    assert set(sizes) == {(64, 64)}
    n = len(sizes)
    assert n == 3 * 2
    assert [(i, of) for i, of, _ in told] == [(i, n) for i in range(1, n + 1)]
    assert [preview is None for *_, preview in told] == [True] * (n - 1) + [False]
    assert torch.equal(told[-1][2], result)
