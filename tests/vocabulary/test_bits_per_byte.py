"""Bits per byte: against the logits of `transformers`, and laws it must keep."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from lib.vocabulary.bits_per_byte import Bits, bits_per_byte, document_nats, start_token

START = 0


def llama(vocab=40, tied=True):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=tied)).double().eval()


def gpt2(vocab=40):
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocab, n_embd=16, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=0, eos_token_id=0)).double().eval()


def changed_logits():
    """Models that cap or scale the logits behind their output table."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
             "max_position_embeddings": 64, "pad_token_id": 0}
    kinds = [
        Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8,
                                       final_logit_softcapping=0.5)),
        CohereForCausalLM(CohereConfig(**sizes, logit_scale=0.0625, bos_token_id=1,
                                       eos_token_id=2)),
        GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=8.0)),
    ]
    for model in kinds:
        model.get_output_embeddings().weight.data.mul_(40)
    return [model.double().eval() for model in kinds]


def letters(**merges):
    """A byte-level tokenizer of single bytes and a few more pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate(["<|endoftext|>", *alphabet, *merges])}
    tokenizer = Tokenizer(models.BPE(vocab, list(merges.values())))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


@pytest.mark.parametrize(
    "model", [llama(), llama(tied=False), gpt2(), *changed_logits()],
    ids=lambda model: type(model).__name__)
def test_the_nats_of_a_document_are_those_of_its_logits(model):
    documents = [[5, 6, 7, 8, 9], [3], [11, 12, 13]]
    nats = document_nats(model, documents, START)
    for ids, value in zip(documents, nats, strict=True):
        row = torch.tensor([[START, *ids]])
        logits = model(input_ids=row).logits[0, :-1].detach()
        nll = F.cross_entropy(logits, row[0, 1:], reduction="sum")
        # ours takes the logits in float32: seven digits
        assert float(value) == pytest.approx(float(nll), rel=1e-6)


def test_documents_do_not_feel_the_padding_of_their_batch():
    model, documents = gpt2(), [[5, 6, 7], list(range(1, 31)), [9], [2, 2]]
    together = document_nats(model, documents, START)
    for ids, value in zip(documents, together, strict=True):
        assert float(document_nats(model, [ids], START)) == pytest.approx(float(value))
    apart = document_nats(model, documents, START, tokens=1)
    assert torch.allclose(apart, together)


def test_a_long_document_is_the_sum_of_its_parts():
    model, ids = llama(), list(range(1, 31))
    whole = document_nats(model, [ids], START, context=12)
    parts = document_nats(model, [ids[:12], ids[12:24], ids[24:]], START)
    assert float(whole) == pytest.approx(float(parts.sum()))


def test_bytes_are_those_of_the_text_whatever_cuts_it():
    fine, coarse = letters(), letters(th=("t", "h"), the=("th", "e"))
    model = llama(vocab=fine.get_vocab_size() + 2)
    texts = ["the 한", "then"]
    one, other = (bits_per_byte(model, t, texts) for t in (fine, coarse))
    assert (one.bytes, other.bytes) == (11, 11)
    assert (one.tokens, other.tokens) == (11, 7)
    assert one.per_token * 11 == pytest.approx(one.per_byte * 11)
    assert other.per_token * 7 == pytest.approx(other.per_byte * 11)


@pytest.mark.parametrize("changed", [
    (normalizers.NFC(), "\u1112\u1161\u11ab"), (normalizers.Lowercase(), "Hello"),
    (normalizers.Strip(), "  a"),
])
def test_a_text_that_the_tokenizer_changes_is_refused_and_not_scored_too_low(changed):
    tokenizer, (tokenizer.normalizer, text) = letters(), changed
    model = llama(vocab=tokenizer.get_vocab_size())
    with pytest.raises(ValueError, match=r"does not keep document 2: .* came back as"):
        bits_per_byte(model, tokenizer, ["plain", text])


def test_a_text_with_bytes_that_no_token_spells_is_refused():
    whole = json.loads(letters().to_str())
    whole["model"]["vocab"].pop("!")  # dropped without a word by a BPE without unk
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    model = llama(vocab=300)
    assert bits_per_byte(model, tokenizer, ["yes."]).bytes == 4
    with pytest.raises(ValueError, match="document 1: '!!!' came back as ''"):
        bits_per_byte(model, tokenizer, ["yes!!!"])


def test_a_context_beyond_the_models_positions_is_refused():
    with pytest.raises(ValueError, match=r"context is 65 and .* 64 positions; use"):
        document_nats(gpt2(), [[1] * 65], START)
    assert document_nats(gpt2(), [[1] * 65], START, context=64) > 0


def test_a_model_that_knows_nothing_pays_the_logarithm_of_its_vocabulary():
    tokenizer = letters()
    model = llama(vocab=tokenizer.get_vocab_size())
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    told = bits_per_byte(model, tokenizer, ["abc", "de"])
    assert told.per_byte == pytest.approx(math.log2(tokenizer.get_vocab_size()))


def test_the_model_stays_as_it_was_in_training_or_not():
    model = gpt2().train()
    first = document_nats(model, [[1, 2, 3]], START)  # with dropout off
    assert model.training
    assert torch.equal(first, document_nats(model.eval(), [[1, 2, 3]], START))
    assert not model.training


def test_sums_of_bits_are_bits_of_all_documents():
    one, other = Bits(10.0, 4, 8, 1), Bits(6.0, 2, 3, 2)
    assert one + other == Bits(16.0, 6, 11, 3)


def test_wrong_use_is_told_what_to_do():
    bare = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(ValueError, match=r"has none of <\|endoftext\|>.*add"):
        start_token(bare)
    with pytest.raises(ValueError, match="hold no bytes; pass at least one"):
        bits_per_byte(llama(), letters(), ["", ""])
