"""One small random model of each family that `lib.trace` knows, with a batch."""

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    MistralConfig,
    MistralForCausalLM,
    PegasusConfig,
    PegasusForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from lib.attention.decoder import DecoderConfig, DecoderLM
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.layers import DecoderLayer, EncoderLayer
from lib.attention.masks import causal_mask
from lib.attention.transformer import Transformer, TransformerConfig

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


def _bert(model, config, **options):
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    found = ids()
    found[1, 5:] = 1  # the padding of RoBERTa, whose places count from there
    return model(config(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=32, **options,
    )), {"input_ids": found, "attention_mask": mask}


SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]


def decoder_config(config, **options):
    """Sizes of a small decoder with heads of a width of their own, and its options."""
    return config(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, intermediate_size=48, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, max_position_embeddings=32, **options,
    )


def left_padded():
    """Texts of different length, padded on the left, as a batch for generating is."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, :3] = 0
    return {"input_ids": ids(), "attention_mask": mask}


def _modern(model, config, **options):
    return model(decoder_config(config, **options)), left_padded()


def _gpt_neox(**options):
    return GPTNeoXForCausalLM(GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=48, rotary_pct=0.5, max_position_embeddings=32,
        attention_dropout=0.1, hidden_dropout=0.1, bos_token_id=1, eos_token_id=2,
        **options,
    )), left_padded()


def _gemma3_with_images():
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    text = decoder_config(Gemma3TextConfig, sliding_window=4, layer_types=SLIDING)
    config = Gemma3Config(text_config=text.to_dict(), vision_config=vision,
                          mm_tokens_per_image=1, image_token_index=VOCAB - 1)
    batch = left_padded()
    batch["input_ids"].clamp_(max=VOCAB - 2)  # text alone
    return Gemma3ForConditionalGeneration(config), batch


def _t5(**options):
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, 4:] = 0
    return T5ForConditionalGeneration(T5Config(
        vocab_size=VOCAB, d_model=32, d_kv=6, d_ff=48, num_layers=2,
        num_heads=4, relative_attention_num_buckets=8,
        relative_attention_max_distance=6, pad_token_id=0, eos_token_id=2,
        decoder_start_token_id=0, **options,
    )), {"input_ids": ids(), "attention_mask": mask,
         "decoder_input_ids": ids(seq=5, seed=2)}


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
    "mistral": lambda: _modern(MistralForCausalLM, MistralConfig, sliding_window=4,
                               attention_dropout=0.1),
    "qwen2": lambda: _modern(
        Qwen2ForCausalLM, Qwen2Config, use_sliding_window=True, sliding_window=4,
        layer_types=SLIDING, attention_dropout=0.1,
    ),
    "qwen3": lambda: _modern(
        Qwen3ForCausalLM, Qwen3Config, use_sliding_window=True, sliding_window=4,
        layer_types=SLIDING, attention_bias=True, attention_dropout=0.1,
    ),
    "gemma2": lambda: _modern(
        Gemma2ForCausalLM, Gemma2Config, sliding_window=4, layer_types=SLIDING,
        query_pre_attn_scalar=24, attn_logit_softcapping=1.5, attention_dropout=0.1,
    ),
    "gemma3": lambda: _modern(
        Gemma3ForCausalLM, Gemma3TextConfig, sliding_window=4, layer_types=SLIDING,
        query_pre_attn_scalar=24, attention_dropout=0.1,
    ),
    "gpt_neox": _gpt_neox,
    "bert": lambda: _bert(BertForMaskedLM, BertConfig),
    "roberta": lambda: _bert(RobertaForMaskedLM, RobertaConfig, pad_token_id=1),
    "t5": _t5,
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
#: Families that are one of these with another size or order: fewer tests are enough.
VARIANTS = {
    "gemma": lambda: _modern(GemmaForCausalLM, GemmaConfig, attention_dropout=0.1),
    "gemma3, with images": _gemma3_with_images,
    "gpt_neox, in a row": lambda: _gpt_neox(use_parallel_residual=False),
    "xlm-roberta": lambda: _bert(XLMRobertaForMaskedLM, XLMRobertaConfig,
                                 pad_token_id=1),
    "t5, gated": lambda: _t5(feed_forward_proj="gated-gelu",
                             tie_word_embeddings=False),
}
WHOLE = [name for name in MAKERS if "layer" not in name and "attention" not in name]


def make(name, seed=0):
    """A model in evaluation mode, and keyword arguments for a call.

    Weights are larger than at the start of a training: soft caps, norms and biases
    that start at nothing must show in what the model computes.
    """
    torch.manual_seed(seed)
    model, batch = (MAKERS | VARIANTS)[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval(), batch


def logits(output):
    return output if torch.is_tensor(output) else output.logits
