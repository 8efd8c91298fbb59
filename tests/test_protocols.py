import math

import numpy as np
import pandas as pd
import pytest
import torch

from enhancers import degradations
from enhancers.base import Enhancer, Spec
from eval import protocols
from eval.published import COLUMNS, beside, format_published, read_published
from eval.results import summarise


def test_published_noise_is_neither_clipped_nor_rounded():
    clean = torch.zeros(1, 3, 200, 300)
    degraded, mask = protocols.damage(clean, "a.png", "noise-float", 25)
    assert degraded.dtype == torch.float32
    assert degraded.mean() == pytest.approx(0, abs=1e-3)
    assert degraded.std() == pytest.approx(25 / 255, rel=0.01)
    assert degraded.min() < -0.3
    assert (mask == 0).all()
    assert (degraded * 255 != (degraded * 255).round()).float().mean() > 0.99
    other, _ = protocols.damage(clean, "b.png", "noise-float", 50)
    assert torch.allclose(other, 2 * degraded)


def test_published_noise_is_that_of_the_published_tests():
    # numpy.random.seed(0); numpy.random.normal(0, 1, ...) begins with these, in every version.
    first = [1.764052345967664, 0.4001572083672233, 0.9787379841057392, 2.240893199201458]
    degraded, _ = protocols.damage(torch.full((1, 3, 4, 4), 0.5), "a.png", "noise-float", 25.5)
    pixels = (degraded[0].permute(1, 2, 0).flatten() - 0.5) * 10
    assert pixels[:4].tolist() == pytest.approx(first, abs=1e-5)


def test_other_degradations_are_the_products():
    clean = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    degraded, _ = protocols.damage(clean, "a.png", "blur", 1.6)
    generator = protocols.damage_generator("a.png", "blur")
    assert torch.equal(degraded, degradations.degrade(clean, "blur", 1.6, generator=generator)[0])


def test_grey_protocol_measures_luma():
    clean = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    grey = protocols.truth(clean, "jpeg-grey")
    assert grey.shape == clean.shape
    expected = 16 + 65.481 * clean[:, 0] + 128.553 * clean[:, 1] + 24.966 * clean[:, 2]
    assert (grey * 255 - expected[:, None]).abs().max() < 1.01  # both are rounded on the way
    assert torch.equal(grey * 255, (grey * 255).round())
    degraded, _ = protocols.damage(grey, "a.png", "jpeg-grey", 10)
    assert torch.equal(degraded[:, 0], degraded[:, 2])
    assert torch.equal(degraded, degradations.degrade(
        grey, "jpeg", 10, generator=torch.Generator())[0])  # fmt: skip
    assert protocols.truth(clean, "jpeg") is clean


def test_names_are_read():
    assert protocols.parse("noise-float") == ("noise-float", 25)
    assert protocols.parse(" noise-float:15 ") == ("noise-float", 15)
    assert protocols.parse("jpeg:10") == ("jpeg", 10)
    assert protocols.kind("noise-float") == "noise"
    assert protocols.parse("jpeg-grey:10") == ("jpeg-grey", 10)
    assert protocols.kind("jpeg-grey") == protocols.kind("jpeg") == "jpeg"
    with pytest.raises(ValueError, match="between 0 and 55, but got 99"):
        protocols.parse("noise-float:99")
    with pytest.raises(ValueError, match=r"Unknown degradation 'fog'.* noise-float"):
        protocols.parse("fog:1")


class Keeper(Enhancer):
    spec = Spec("keeper", "Keeper", 0, "")
    device = torch.device("cpu")

    def _restore(self, degraded, mask, generator, on_step, **options):
        self.seen = degraded.clone()
        return degraded


def test_enhancers_see_values_beyond_those_of_files_only_when_told():
    degraded, _ = protocols.damage(torch.zeros(1, 3, 8, 8), "a.png", "noise-float", 25)
    keeper = Keeper()
    restored = keeper.restore(degraded, clipped=False)
    assert torch.equal(keeper.seen, degraded)
    assert restored.min() == 0
    with pytest.raises(ValueError, match=r"in \[0, 1\], but got \[-0"):
        keeper.restore(degraded)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="Expected pixels"):
            keeper.restore(degraded + bad, clipped=False)


# --- Published figures -------------------------------------------------------------------------


def test_published_figures_are_complete():
    table = read_published()
    assert tuple(table.columns) == COLUMNS
    assert (table[["protocol", "source", "differs"]] != "").all().all()
    assert not table.duplicated(["test", "degradation", "severity", "metric", "method"]).any()
    for row in table.itertuples():
        assert protocols.parse(f"{row.degradation}:{row.severity}")
    psnr = table[table["metric"].str.startswith("psnr")]["value"]
    assert psnr.between(20, 45).all()
    assert table[table["metric"] == "ssim"]["value"].between(0, 1).all()
    # More damage, lower figures.
    for (_, degradation, *_), rows in table.groupby(["test", "degradation", "metric", "method"]):
        values = rows.sort_values("severity")["value"]
        assert (np.diff(values if "jpeg" in degradation else -values) > 0).all()


def test_published_figures_stand_beside_the_same_test_alone(tmp_path):
    row = dict(dataset="live1", image="a", degradation="jpeg-grey", severity=10.0, method="input",
               options="", seed=0, metric="psnr", value=27.8)  # fmt: skip
    table = pd.DataFrame([row, {**row, "image": "b"}])
    for ours in (table, summarise(table)):
        found = beside(ours)
        assert sorted(found["method"]) == ["DnCNN-3", "FBCNN", "JPEG", "QGAC", "SwinIR"]
        assert found.set_index("method").loc["JPEG", "value"] == 27.77
    assert "live1, jpeg-grey:10  JPEG  psnr 27.77  (the input itself; " in format_published(found)
    assert len(beside(table.assign(degradation="jpeg"))) == 3
    assert len(beside(table.assign(severity=11.0))) == 0
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not a file of published figures"):
        read_published(other)
