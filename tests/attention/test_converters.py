"""from_gpt2, from_llama, recompute_attention: the model's own numbers, or a refusal.

Every key of a configuration of transformers stands here once with a value that is not
its default; a key that a newer version brings fails the test that counts them.
"""

import dataclasses

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    MarianConfig,
    MarianModel,
    MarianMTModel,
    MistralConfig,
    MistralForCausalLM,
    PegasusConfig,
    PegasusForConditionalGeneration,
)
from transformers.activations import ACT2CLS

from benchmarks.pretrained import from_gpt2, from_llama
from lib.attention.conversion import from_transformers
from lib.trace.recompute import recompute_attention
from lib.trace.recorder import trace

GPT2 = {"vocab_size": 50, "n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64,
        "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48,
         "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3,
         "max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
STRETCHED = {"rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
LONG = {**STRETCHED, "rope_type": "longrope", "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4}

#: Keys that both families have and that no computation reads.
SHARED = {
    "transformers_version": "9.9", "architectures": ["Other"],
    "output_hidden_states": True, "return_dict": True, "dtype": "float32",
    "chunk_size_feed_forward": 2, "is_encoder_decoder": True, "id2label": {0: "a"},
    "label2id": {"a": 0}, "problem_type": "regression", "use_cache": False,
    "pad_token_id": 3, "bos_token_id": 4, "eos_token_id": 5, "vocab_size": 53,
}
GPT2_KEYS = SHARED | {
    "n_positions": 48, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24,
    "activation_function": "relu", "resid_pdrop": 0.3, "embd_pdrop": 0.3,
    "attn_pdrop": 0.3, "layer_norm_epsilon": 0.5, "initializer_range": 0.5,
    "summary_type": "first", "summary_use_proj": False, "summary_activation": "tanh",
    "summary_proj_to_labels": False, "summary_first_dropout": 0.3,
    "scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True,
    "reorder_and_upcast_attn": True, "add_cross_attention": True,
    "tie_word_embeddings": False,
}
LLAMA_KEYS = SHARED | {
    "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 1, "hidden_act": "gelu",
    "max_position_embeddings": 48, "initializer_range": 0.5, "rms_norm_eps": 0.5,
    "pretraining_tp": 2, "tie_word_embeddings": True, "rope_parameters": LLAMA3,
    "attention_bias": True, "attention_dropout": 0.3, "mlp_bias": True, "head_dim": 6,
}
FAMILIES = {
    "gpt2": (GPT2Config, GPT2LMHeadModel, GPT2, GPT2_KEYS, from_gpt2),
    "llama": (LlamaConfig, LlamaForCausalLM, LLAMA, LLAMA_KEYS, from_llama),
}
#: Settings beyond the keys of the class, and further values.
MORE = [
    ("gpt2", {"is_causal": False}), ("llama", {"is_causal": False}),
    ("gpt2", {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    ("llama", {"sliding_window": 4, "layer_types": ["sliding_attention"] * 3}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                   "partial_rotary_factor": 0.5}}),
    *[("llama", {"rope_parameters": STRETCHED | {"rope_type": kind}})
      for kind in ("linear", "dynamic", "yarn", "proportional")],
    ("llama", {"rope_parameters": LONG}),
    *[(family, {key: name}) for name in ACT2CLS
      for family, key in (("gpt2", "activation_function"), ("llama", "hidden_act"))],
]
EVERY = [(family, {key: value}) for family in FAMILIES
         for key, value in FAMILIES[family][3].items()] + MORE


def label(case):
    return " ".join(f"{key}={value}" for key, value in case[1].items())[:60]


def strong(config, kind):
    """A model whose weights are large enough that every setting shows."""
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def build(family, options):
    config, kind, small, _, convert = FAMILIES[family]
    return strong(config(**(small | options)), kind), convert


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sweep_holds_every_key_of_the_configuration(family):
    config, _, _, keys, _ = FAMILIES[family]
    assert set(keys) == {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("case", EVERY, ids=map(label, EVERY))
@torch.no_grad()
def test_every_setting_gives_the_same_logits_or_is_refused_by_name(case):
    family, options = case
    model, convert = build(family, options)
    ids = torch.randint(0, 50, (2, 40), generator=torch.Generator().manual_seed(1))
    expected = model(ids).logits
    try:
        ours = convert(model)
    except TypeError as error:
        name, value = next(iter(options.items()))
        if name == "rope_parameters":
            name = ("rope_type" if value["rope_type"] != "default"
                    else "partial_rotary_factor")
            value = value.get(name)
        assert name in str(error)
        assert repr(value) in str(error)
        return
    assert (ours(ids) - expected).abs().max() <= 1e-4 * expected.abs().max()


#: What must not be refused: published models have it.
TAKEN = [
    *[("gpt2", {"activation_function": name}) for name in ("relu", "gelu", "gelu_new")],
    ("gpt2", {"tie_word_embeddings": False}), ("llama", {"tie_word_embeddings": True}),
    ("llama", {"attention_bias": True}), ("llama", {"mlp_bias": True}),
    ("llama", {"head_dim": 6}), ("llama", {"rope_parameters": LLAMA3}),
    *[("llama", {"rope_parameters": STRETCHED | {"rope_type": kind}})
      for kind in ("linear", "yarn")],
]


@pytest.mark.parametrize("case", TAKEN, ids=map(label, TAKEN))
@torch.no_grad()
def test_in_float64_no_difference_is_left_but_that_of_their_float32_norms(case):
    model, convert = build(*case)
    model.double()
    for part in list(model.modules()):
        for name, child in part.named_children():
            if "RMSNorm" in type(child).__name__:
                exact = nn.RMSNorm(len(child.weight), eps=child.variance_epsilon,
                                   dtype=torch.float64)
                exact.load_state_dict(child.state_dict())
                setattr(part, name, exact)
    ids = torch.randint(0, 50, (1, 40), generator=torch.Generator().manual_seed(1))
    expected = model(ids).logits
    # sums of about 50 products, three layers deep, of numbers of size 10
    assert (convert(model)(ids) - expected).abs().max() <= 1e-11 * expected.abs().max()


def test_a_class_without_a_language_head_is_refused_in_one_sentence():
    for convert, kind, config in (
        (from_gpt2, GPT2Model, GPT2Config(**GPT2)),
        (from_gpt2, GPT2ForSequenceClassification, GPT2Config(**GPT2)),
        (from_llama, LlamaModel, LlamaConfig(**LLAMA)),
        (from_llama, MistralForCausalLM, MistralConfig(**LLAMA)),
    ):
        with pytest.raises(TypeError, match=rf"a {kind.__name__} of family .* pass a"):
            convert(kind(config))


def test_a_tensor_that_the_family_does_not_have_is_named():
    for family, place in (("gpt2", lambda model: model.transformer.h[1].mlp),
                          ("llama", lambda model: model.model.layers[1].mlp)):
        model, convert = build(family, {})
        place(model).adapter = nn.Linear(2, 2)
        with pytest.raises(TypeError, match=r"holds a tensor '.*1\.mlp\.adapter"):
            convert(model)


def test_dropouts_that_differ_are_refused_and_one_dropout_is_kept():
    model, _ = build("gpt2", {"resid_pdrop": 0.0})
    with pytest.raises(TypeError, match=r"embd_pdrop.*'resid_pdrop': 0\.0"):
        from_gpt2(model)
    same = {"resid_pdrop": 0.2, "embd_pdrop": 0.2, "attn_pdrop": 0.2}
    ours = from_gpt2(build("gpt2", same)[0].train())
    assert ours.training
    assert ours.config.dropout == 0.2


STEPS = [options for family, options in EVERY if family == "llama" and (
    options.keys() <= {"rope_parameters", "attention_bias", "head_dim", "rms_norm_eps"}
)]


@pytest.mark.parametrize("options", STEPS, ids=lambda options: label(("", options)))
@torch.no_grad()
def test_recompute_attention_honours_every_setting_of_llama(options):
    model, _ = build("llama", options)
    short, long = (torch.randint(0, 50, (1, n), generator=torch.Generator()
                                 .manual_seed(n)) for n in (12, 90))
    for ids in (short, long, short):  # dynamic frequencies go by the longest text
        with trace(model) as traced:
            model(ids)
        for layer in range(3):
            ours = recompute_attention(model, layer, traced[layer, "resid_pre"])
            for name, mine in ours.items():
                theirs = traced[layer, "attn_out" if name == "head_sum" else name]
                seen = mine.isfinite()
                gap = (mine - theirs)[seen].abs().max()
                assert gap <= 1e-5 * theirs[seen].abs().max(), name


def test_recompute_attention_refuses_what_it_does_not_follow():
    for model in (build("gpt2", {})[0], build("llama", {"is_causal": False})[0],
                  MistralForCausalLM(MistralConfig(**LLAMA)), nn.Linear(2, 2)):
        with pytest.raises(TypeError, match=r"follows a causal Llama .*; trace\("):
            recompute_attention(model, 0, torch.zeros(1, 3, 32))


# ---- our Transformer from a Marian or a Pegasus --------------------------------------

MARIAN = {
    "vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "max_position_embeddings": 32, "scale_embedding": True,
    "activation_function": "relu", "dropout": 0.0, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}
MARIAN_KEYS = SHARED | {
    "vocab_size": 53, "decoder_vocab_size": 47, "max_position_embeddings": 24,
    "encoder_layers": 3, "encoder_ffn_dim": 40, "encoder_attention_heads": 2,
    "decoder_layers": 3, "decoder_ffn_dim": 40, "decoder_attention_heads": 2,
    "encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5, "is_encoder_decoder": True,
    "activation_function": "tanh", "d_model": 16, "dropout": 0.3,
    "attention_dropout": 0.3, "activation_dropout": 0.3, "init_std": 0.5,
    "decoder_start_token_id": 6, "scale_embedding": False, "forced_eos_token_id": 5,
    "share_encoder_decoder_embeddings": False, "is_decoder": True,
    "tie_word_embeddings": False,
}
TWINS = {"marian": (MarianConfig, MarianMTModel),
         "pegasus": (PegasusConfig, PegasusForConditionalGeneration)}


@pytest.mark.parametrize("family", TWINS)
def test_the_sweep_holds_every_key_of_the_twin(family):
    fields = {field.name for field in dataclasses.fields(TWINS[family][0])}
    assert fields <= set(MARIAN_KEYS)


@pytest.mark.parametrize("key", MARIAN_KEYS)
@pytest.mark.parametrize("family", TWINS)
@torch.no_grad()
def test_every_setting_of_a_twin_gives_the_same_logits_or_is_refused_by_name(
    family, key
):
    config, kind = TWINS[family]
    fields = {field.name for field in dataclasses.fields(config)}
    if key not in fields:
        assert family == "pegasus"
        return
    torch.manual_seed(0)
    model = kind(config(**(MARIAN | {key: MARIAN_KEYS[key]}))).eval()
    for name, parameter in model.named_parameters():
        if "embed_positions" not in name:  # the sines are not learned
            parameter.add_(0.1 * torch.randn_like(parameter))
    source = torch.randint(7, 47, (2, 9), generator=torch.Generator().manual_seed(1))
    source[1, 6:] = model.config.pad_token_id
    target = torch.randint(7, 47, (2, 5), generator=torch.Generator().manual_seed(2))
    expected = model(
        input_ids=source, attention_mask=(source != model.config.pad_token_id).long(),
        decoder_input_ids=target,
    ).logits
    try:
        ours = from_transformers(model)
    except ValueError as error:
        side = key.replace("encoder", "decoder")  # two sizes that differ
        assert key in str(error) or side in str(error)
        return
    gap = (ours(source, target) - expected).abs().max()
    assert gap <= 1e-4 * expected.abs().max()


def test_a_twin_without_a_head_is_refused():
    with pytest.raises(ValueError, match=r"a MarianModel of the family marian .* use a "
                       r"MarianMTModel or PegasusForConditionalGeneration"):
        from_transformers(MarianModel(MarianConfig(**MARIAN)))
