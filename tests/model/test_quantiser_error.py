"""The accuracy table of docs/quantiser.md, and what it is computed from."""

import numpy as np
import pytest

from model.golden import quantiser_error as e
from model.spec.mx import MXFP4, MXINT8
from tools.quantiser_table import PAGE, computed, main, written


def test_the_table_in_the_page_is_what_the_tool_computes():
    assert written(PAGE.read_text()) == computed(), "run python -m tools.quantiser_table --write"


def test_attention_is_a_weighted_mean_worked_by_hand():
    q = np.array([[2.0 * np.log(3), 0, 0, 0]])              # scores log 3 and 0: weights 3/4, 1/4
    k, v = np.eye(4)[:2], np.array([[4.0, 0, 8, 0], [0, 4.0, 0, 0]])
    np.testing.assert_allclose(e.attention(q, k, v), [[3, 1, 6, 0]])


def test_noise_of_mxint8_worked_by_hand():
    """Between 1 and 2, bfloat16 steps by d = 2^-7, MXINT8 by 2 d: half are ties, off by d."""
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 1.98, (2000, e.HEAD_SIZE)) * rng.choice([-1, 1], (2000, e.HEAD_SIZE))
    error = e.round_trip(values, MXINT8) - values
    assert error.std() == pytest.approx(2.0 ** -7 * np.sqrt(1 / 12 + 1 / 2), rel=0.02)


@pytest.mark.parametrize("kind", e.KINDS)
def test_fewer_bits_lose_more(kind):
    wide, eight, four = (e.loss(kind, fmt) for fmt in (None, MXINT8, MXFP4))
    assert wide.snr > eight.snr + 10 > four.snr + 20
    assert wide.attention < eight.attention < four.attention


def test_data_are_as_the_page_says():
    rng = np.random.default_rng(0)
    normal, heavy, outliers = (kind(rng) for kind in e.KINDS.values())
    assert normal.shape == (e.TOKENS, e.HEAD_SIZE) and normal.std() == pytest.approx(1, rel=0.02)
    assert np.abs(normal).max() < 6 < 10 < np.abs(heavy).max()
    assert (outliers.std(axis=0) > 5).sum() == e.OUTLIER_CHANNELS


def test_arguments_that_are_not_understood_are_refused_in_one_line(capsys):
    assert main(["--wrote"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "tools.quantiser_table: expected nothing or --write, not '--wrote'"]
