"""Models against published parameter counts and KV sizes."""

import pytest

from model.spec.errors import SpecError, UserError
from runtime.models import LLAMA_3_8B, MODELS, QWEN3_32B, TransformerModel, model_by_name


def test_parameters_equal_the_published_counts():
    assert LLAMA_3_8B.parameters == 8_030_261_248       # the hub's safetensors metadata
    assert pytest.approx(32.8e9, rel=2e-3) == QWEN3_32B.parameters      # "32.8B" on its card


def test_kv_bytes_honour_grouped_query_attention():
    assert LLAMA_3_8B.kv_bytes_per_token == 131_072     # facts.md 7
    assert QWEN3_32B.kv_bytes_per_token == 262_144
    assert (LLAMA_3_8B.group, QWEN3_32B.group) == (4, 8)
    assert LLAMA_3_8B.kv_block_bytes == 2 * 2**20


def test_an_unknown_model_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'llama-3-8b'"):
        model_by_name("llama3-8b")
    assert all(model_by_name(name).name == name for name in MODELS)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(SpecError, match=r"model x.heads: expected a multiple of kv_heads = 3"):
        TransformerModel(name="x", source="test", layers=1, hidden=64, heads=4, kv_heads=3,
                         head_size=16, ffn=64, vocabulary=10)
