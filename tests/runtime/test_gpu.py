"""The roofline against the same sums done by hand in floating point."""

import pytest

from runtime.models import LLAMA_3_8B, QWEN3_32B
from runtime.systems.gpu import H100, GpuRoofline

BANDWIDTH = 10_240_000_000_000
FLOPS = 989.4e12 * 0.8
BYTES = BANDWIDTH * 0.85


def roofline(model=LLAMA_3_8B, cards=1, weight=BANDWIDTH):
    return GpuRoofline(H100, model, cards=cards, weight_bandwidth=weight, kv_bandwidth=BANDWIDTH,
                       card_bandwidth=BANDWIDTH)


def test_one_decoding_token_takes_the_time_to_read_the_weights():
    step = roofline().dense(1, 1)
    read = (LLAMA_3_8B.weight_bytes - 2 * 128256 * 4096) / BYTES      # the embedding is a look-up
    assert step.matrix.ps == pytest.approx(read * 1e12, rel=2e-3)
    assert step.matrix.bytes >= LLAMA_3_8B.weight_bytes - 2 * 128256 * 4096 - 2 * 65 * 4096


def test_a_large_chunk_takes_the_time_of_its_arithmetic():
    step = roofline().dense(2048, 0)
    layers = 32 * (4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336)
    assert step.matrix.macs == 2048 * layers
    assert step.matrix.ps == pytest.approx(2 * 2048 * layers / FLOPS * 1e12, rel=1e-6)


def test_what_bounds_a_product_is_told():
    assert roofline().dense(1, 1).matrix.arithmetic_ps == 0
    large = roofline().dense(2048, 2048).matrix
    assert large.arithmetic_ps == large.ps
    # 791 TFLOPS over 8.7 TB/s: from 91 tokens up; over a fifth of that, only from 455 up
    assert [roofline(weight=w).dense(300, 0).matrix.arithmetic_ps > 0
            for w in (BANDWIDTH, BANDWIDTH // 5)] == [True, False]
    assert roofline().prefill_attention(512, 0).arithmetic_ps == roofline().prefill_attention(
        512, 0).ps


def test_dense_time_never_falls_with_more_tokens():
    times = [roofline(QWEN3_32B).dense(n, n).matrix.ps for n in range(1, 700, 7)]
    assert times == sorted(times)


def test_prefill_attention_counts_causal_pairs():
    work = roofline().prefill_attention(3, 10)
    assert work.macs == 2 * 32 * 4096 * (11 + 12 + 13)
    chunked = sum(roofline().prefill_attention(512, k * 512).macs for k in range(4))
    assert chunked == roofline().prefill_attention(2048, 0).macs


def test_decode_attention_is_bound_by_the_kv_bandwidth():
    assert roofline().decode_ps_per_token == pytest.approx(131072 / BYTES * 1e12, rel=1e-4)


def test_two_cards_halve_the_products_and_reduce_twice_a_layer():
    one, two = roofline().dense(512, 1), roofline(cards=2).dense(512, 1)
    assert two.matrix.ps == pytest.approx(one.matrix.ps / 2, rel=1e-6)
    assert one.reduce.ps == 0
    assert two.reduce.ps == 64 * (6_060_000 + 9 * 512 * 4096 * 2)     # 6060 ns + 0.009 ns/B


def test_a_fifth_of_the_bandwidth_makes_decode_five_times_slower():
    slow = roofline(weight=BANDWIDTH // 5).dense(1, 1).matrix.ps
    assert slow == pytest.approx(5 * roofline().dense(1, 1).matrix.ps, rel=1e-6)
