import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.statistics import Rank, holm, mean, paired_tests, ranks, win_rates


def scores(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


def noise(seed: int, n: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=n)


# The mean and its interval


def test_interval_agrees_with_theory_for_many_photos():
    values = 30 + noise(0, 400)
    half = 1.96 * values.std() / math.sqrt(400)
    result = mean(values)
    assert result.value == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half, abs=0.02)
    assert result.high == pytest.approx(values.mean() + half, abs=0.02)
    assert result.n == 400


def test_interval_covers_the_truth_95_times_in_100():
    """For photos as many as CBSD68's: 120 tables of which the true mean is known to be 3."""
    tables = [mean(3 + noise(seed, 68)) for seed in range(120)]
    covered = np.mean([table.low <= 3 <= table.high for table in tables])
    assert 0.89 <= covered <= 1  # within three standard errors of 0.95


def test_order_of_the_photos_does_not_matter():
    values = noise(1, 30)
    assert mean(values) == mean(values[::-1]) == mean(values)


def test_what_has_no_interval():
    assert math.isnan(mean([7.0]).low)
    assert math.isnan(mean([7.0, math.inf]).high)
    assert mean([7.0, math.inf]).value == math.inf
    assert mean([]).n == 0
    assert mean([5.0, 5.0]).low == mean([5.0, 5.0]).high == 5
    assert mean([5.0, math.nan, 7.0]).n == 2


# Who wins how often


def test_win_rates_of_a_known_table():
    table = scores(a=[3.0, 3.0, 1.0, 5.0], b=[1.0, 2.0, 2.0, 5.0])  # won, won, lost, drawn
    assert win_rates(table, True).loc["a", "b"] == 0.625
    assert win_rates(table, True).loc["b", "a"] == 0.375
    assert win_rates(table, False).loc["a", "b"] == 0.375
    assert math.isnan(win_rates(table, True).loc["a", "a"])


def test_only_photos_of_both_count():
    table = scores(a=[1.0, 2.0, math.nan], b=[0.0, math.nan, 9.0], c=[math.nan, math.nan, 1.0])
    rates = win_rates(table, True)
    assert rates.loc["a", "b"] == 1
    assert math.isnan(rates.loc["a", "c"])


def test_two_perfect_photos_are_a_draw():
    table = scores(a=[math.inf, math.inf], b=[math.inf, 30.0])
    assert win_rates(table, True).loc["a", "b"] == 0.75


# What the test says


def test_paired_test_is_wilcoxons_where_there_is_one_pair():
    table = scores(a=noise(0, 20), b=noise(1, 20) + 0.4)
    expected = stats.wilcoxon(table["a"], table["b"]).pvalue
    assert paired_tests(table).loc["a", "b"] == pytest.approx(expected)
    assert paired_tests(table).loc["b", "a"] == pytest.approx(expected)
    assert paired_tests(table).loc["a", "a"] == 1


def test_holm_of_a_known_case():
    """Four p-values by hand: 4 × 0.01, 3 × 0.015, then 0.045 stays the largest, 1 × 0.6."""
    assert holm([0.6, 0.01, 0.02, 0.015]) == pytest.approx([0.6, 0.04, 0.045, 0.045])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairing_finds_a_small_steady_gain_among_very_different_photos():
    photos = noise(0, 30, scale=5)
    table = scores(a=photos, b=photos + 0.1 + noise(1, 30, scale=0.05))
    assert ranks(table, True) == {"a": Rank(2, 2), "b": Rank(1, 1)}
    assert ranks(table, False) == {"a": Rank(1, 1), "b": Rank(2, 2)}
    assert mean(table["a"]).high > mean(table["b"]).low  # which the intervals do not show


def test_equal_methods_are_rarely_told_apart():
    """Four methods without any difference: in one table of twenty, a rank may be wrong."""
    wrong = 0
    for seed in range(40):
        table = pd.DataFrame(np.random.default_rng(seed).normal(size=(20, 4)), columns=[*"abcd"])
        wrong += any(rank != Rank(1, 4) for rank in ranks(table, True).values())
    assert wrong <= 6  # 2 expected; without the correction it would be about 8


def test_identical_methods_tie():
    same = noise(0, 20)
    table = scores(a=same, b=same, worse=same - 1 - noise(1, 20) ** 2)
    assert ranks(table, True) == {"a": Rank(1, 2), "b": Rank(1, 2), "worse": Rank(3, 3)}


def test_few_photos_leave_everything_open():
    table = scores(a=[1.0, 2.0, 3.0], b=[11.0, 12.0, 13.5])
    assert ranks(table, True) == {"a": Rank(1, 2), "b": Rank(1, 2)}


def test_ranks_of_a_clear_order_whatever_the_order_of_columns_and_photos():
    photos = noise(0, 30, scale=5)
    table = pd.DataFrame(
        {name: photos + i + noise(i + 9, 30, 0.1) for i, name in enumerate("abcd")}
    )
    expected = {"a": Rank(4, 4), "b": Rank(3, 3), "c": Rank(2, 2), "d": Rank(1, 1)}
    assert ranks(table, True) == expected
    shuffled = table.sample(frac=1, random_state=0)[[*"cbda"]]
    assert ranks(shuffled, True) == expected
    assert all(not a.tied for a, _ in pairwise(expected.values()))


def test_the_majority_of_photos_may_be_against_the_winner():
    """The test weighs how large the gains are, so its sign comes from the ranks, not from wins."""
    gains = np.array([-0.01] * 26 + [5.0] * 24) + noise(0, 50, 1e-4)
    table = scores(a=gains, b=np.zeros(50))
    assert win_rates(table, True).loc["a", "b"] < 0.5
    assert ranks(table, True) == {"a": Rank(1, 1), "b": Rank(2, 2)}


def test_a_rank_says_whether_it_is_tied():
    assert str(Rank(2, 2)) == "2"
    assert str(Rank(1, 3)) == "1–3, tied"
    assert Rank(1, 3).tied
    assert not Rank(2, 2).tied
