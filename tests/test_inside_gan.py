"""What the discriminator's map and the training curves promise."""

import json

import pytest
import torch

from enhancers.gan import Discriminator, DiscriminatorConfig
from enhancers.inside.gan import ADVERSARIAL, load_discriminator, read_curves, realism


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(DiscriminatorConfig(widths=(8, 8, 8))).eval()


def test_map_is_the_discriminators_probability_per_patch(discriminator):
    picture, degraded = torch.rand(2, 1, 3, 48, 64)
    where = realism(discriminator, picture, degraded)
    assert where.shape == (6, 8)
    with torch.inference_mode():
        logits = discriminator(picture, degraded, torch.zeros(1, 1, 48, 64))
    assert torch.allclose(where, logits.sigmoid()[0, 0], atol=0.01)
    assert not torch.equal(where, realism(discriminator, picture, picture))


def test_what_lies_under_the_mask_is_not_looked_at(discriminator):
    picture, degraded = torch.rand(2, 1, 3, 32, 32)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:16, 8:16] = 1
    other = torch.where(mask > 0, torch.rand_like(degraded), degraded)
    maps = [realism(discriminator, picture, seen, mask) for seen in (degraded, other)]
    assert torch.equal(*maps)


def test_the_discriminator_ships():
    assert realism(load_discriminator(), *torch.rand(2, 1, 3, 32, 32)).shape == (4, 4)


def write_log(path, steps: int):
    contest = {name: 0.5 for name in ADVERSARIAL}
    lines = [
        {"kind": "train", "minutes": 1, "loss": -3},
        {"kind": "validation", "minutes": 2, "noise": 20.0},
        {"kind": "train", "minutes": 3} | contest,
        {"kind": "train", "minutes": 4} | contest | {"d_loss": 0.7},
        {"kind": "validation", "minutes": 5, "step": steps},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_curves_are_those_of_the_contest_and_know_their_weights(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_curves({}, path) is None
    write_log(path, 700)
    curves = read_curves({"steps": 700}, path)
    assert curves.minutes == (3, 4)
    assert curves.values["d_loss"] == (0.5, 0.7)
    assert set(curves.values) == set(ADVERSARIAL)
    assert curves.shipped
    for training in ({}, {"steps": 650}):
        assert not read_curves(training, path).shipped
