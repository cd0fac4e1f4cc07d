"""Bits per byte: against the logits of `transformers`, and laws it must keep."""

import math

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lib.bits import Bits, bits_per_byte, document_nats, start_token

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


def letters(**merges):
    """A byte-level tokenizer of single bytes and a few more pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate(["<|endoftext|>", *alphabet, *merges])}
    tokenizer = Tokenizer(models.BPE(vocab, list(merges.values())))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


@pytest.mark.parametrize("model", [llama(), llama(tied=False), gpt2()])
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
