"""One small random model of each family that `lib.trace` knows, with a batch for it."""

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    PegasusConfig,
    PegasusForConditionalGeneration,
)

from lib.attention import MultiHeadAttention, causal_mask
from lib.decoder import DecoderConfig, DecoderLM
from lib.layers import DecoderLayer, EncoderLayer
from lib.transformer import Transformer, TransformerConfig

VOCAB = 50


def ids(batch=2, seq=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, VOCAB, (batch, seq), generator=generator)


def _gpt2():
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=32,
        bos_token_id=1, eos_token_id=2,
    )), {"input_ids": ids()}


def _llama():
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=48,
    )), {"input_ids": ids()}


def _bert():
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return BertForMaskedLM(BertConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48,
    )), {"input_ids": ids(), "attention_mask": mask}


def _two_stacks(model, config):
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, 4:] = 0
    return model(config(
        vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=3,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_ffn_dim=48, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, max_position_embeddings=32, forced_eos_token_id=2,
    )), {"input_ids": ids(), "attention_mask": mask,
         "decoder_input_ids": ids(seq=5, seed=2)}


def _transformer(**options):
    source = ids()
    source[1, 5:] = 0
    return Transformer(TransformerConfig(
        vocab=VOCAB, d_model=32, n_heads=4, n_layers=2, **options
    )), {"source": source, "target": ids(seq=5, seed=2)}


def _decoder(**options):
    return DecoderLM(DecoderConfig(
        vocab=VOCAB, d_model=32, n_heads=4, n_layers=2, dropout=0.1, **options
    )), {"ids": ids()}


def _layer(kind):
    x = torch.randn(2, 6, 32)
    options = {} if kind is EncoderLayer else {"memory": torch.randn(2, 4, 32)}
    return kind(32, 4, 48, dropout=0.1), {"x": x, "mask": causal_mask(6), **options}


def _attention():
    return (MultiHeadAttention(32, 4, n_kv_heads=2, dropout=0.1),
            {"x": torch.randn(2, 6, 32), "mask": causal_mask(6)})


MAKERS = {
    "gpt2": _gpt2,
    "llama": _llama,
    "bert": _bert,
    "marian": lambda: _two_stacks(MarianMTModel, MarianConfig),
    "pegasus": lambda: _two_stacks(PegasusForConditionalGeneration, PegasusConfig),
    "bart": lambda: _two_stacks(BartForConditionalGeneration, BartConfig),
    "our transformer": _transformer,
    "our transformer, norm first": lambda: _transformer(
        norm_first=True, activation="swiglu"
    ),
    "our decoder": _decoder,
    "our decoder, rotary": lambda: _decoder(
        n_kv_heads=2, positions="rotary", norm="rmsnorm", activation="swiglu"
    ),
    "our attention": _attention,
    "our encoder layer": lambda: _layer(EncoderLayer),
    "our decoder layer": lambda: _layer(DecoderLayer),
}
WHOLE = [name for name in MAKERS if "layer" not in name and "attention" not in name]


def make(name, seed=0):
    """A model in evaluation mode, and keyword arguments for a call."""
    torch.manual_seed(seed)
    model, batch = MAKERS[name]()
    return model.eval(), batch


def logits(output):
    return output if torch.is_tensor(output) else output.logits
