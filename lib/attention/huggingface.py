"""The task of `lib.attention.translation` with the parts of Hugging Face.

A tokenizer and rows (`wrap_tokenizer`, `make_dataset`), a model in the sizes of ours
(`build_model`), which `lib.training.trainer` trains, targets (`translate`, `score`) and
files (`save`, `load`). Nothing here asks the Hub.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from datasets import Dataset
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lib.attention.heads import head_size
from lib.attention.transformer import TransformerConfig
from lib.attention.translation import Pair, exact_match, ids_of
from lib.data.pretrained import quiet
from lib.data.tokenizer_files import for_whole_texts
from lib.files import write_json
from lib.options import one_of

FAMILIES = {
    "marian": (transformers.MarianConfig, transformers.MarianMTModel),
    "pegasus": (transformers.PegasusConfig,
                transformers.PegasusForConditionalGeneration),
    "bart": (transformers.BartConfig, transformers.BartForConditionalGeneration),
}
#: Our activations that they have, under their names.
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new"}


def wrap_tokenizer(
    tokenizer: Tokenizer, max_length: int = 64
) -> PreTrainedTokenizerFast:
    """Give a trained tokenizer what transformers wants to know of it: the roles of the
    special tokens, and that padding goes to the right."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, padding_side="right",
        pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,  # <eos> in a text is text
    )


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Turn texts into ids that end with <eos>; ValueError for a text longer than the
    tokenizer's `model_max_length`, or with a character that it does not know."""
    limit = tokenizer.model_max_length
    rows = ids_of(tokenizer.backend_tokenizer, texts)  # four times as fast
    for text, row in zip(texts, rows, strict=True):
        if len(row) > limit:
            raise ValueError(
                f"{text[:40]!r} has {len(row)} tokens and the model takes {limit}; "
                "shorten it or build the model with a larger max_length."
            )
    return rows


def make_dataset(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """Make rows of pairs, in memory: texts, kind, `input_ids`, `labels`, `length`.

    Ids are those of `encode`; the labels are the target's, and the model puts <bos> in
    front of them by itself. A Trainer groups by `length`, of both sides together.
    """
    columns = {name: [getattr(pair, name) for pair in pairs]
               for name in ("source", "target", "kind")}
    sources, targets = (encode(tokenizer, columns[side])
                        for side in ("source", "target"))
    return Dataset.from_dict(columns | {
        "input_ids": sources, "labels": targets,
        "length": [len(source) + len(target)
                   for source, target in zip(sources, targets, strict=True)],
    })


def build_model(
    config: TransformerConfig, family: str | None = None, seed: int = 0
) -> PreTrainedModel:
    """Build an encoder–decoder of transformers in the sizes of our Transformer.

    One matrix is source embedding, target embedding and output. `marian` is the
    paper's model: fixed sines, add then normalise; `pegasus` is the same with
    `norm_first`; without a family it is the one that computes what ours does. `bart`
    learns its positions, and normalises once more after embedding. Raises ValueError if
    the family is not known, or has not what is asked for.

    Source: Junczys-Dowmunt et al. 2018 (Marian); Zhang et al. 2020 (Pegasus); Lewis
    et al. 2020 (BART).
    """
    family = family or ("pegasus" if config.norm_first else "marian")
    config_of, model_of = FAMILIES[one_of("family", family, FAMILIES)]
    head_size(config.d_model, config.n_heads)  # refuses what does not divide
    if config.norm_first != (family == "pegasus"):
        raise ValueError(
            f"{family} normalises {'first' if family == 'pegasus' else 'after adding'} "
            f"and norm_first={config.norm_first} came; use "
            f"norm_first={not config.norm_first}, or leave the family out."
        )
    if config.activation not in ACTIVATIONS:
        raise ValueError(f"{family} has no activation {config.activation!r}; use one "
                         f"of {', '.join(ACTIVATIONS)}.")
    sides = {f"{side}_{name}": value for side in ("encoder", "decoder")
             for name, value in (("layers", config.n_layers),
                                 ("attention_heads", config.n_heads),
                                 ("ffn_dim", config.d_ff or 4 * config.d_model))}
    tokens = {"pad_token_id": config.pad, "bos_token_id": config.bos,
              "eos_token_id": config.eos, "decoder_start_token_id": config.bos}
    theirs = config_of(
        vocab_size=config.vocab, d_model=config.d_model,
        max_position_embeddings=config.max_length,
        activation_function=ACTIVATIONS[config.activation],
        # ours drops in all three places
        dropout=config.dropout, attention_dropout=config.dropout,
        activation_dropout=config.dropout,
        scale_embedding=True, forced_eos_token_id=None,
        init_std=config.d_model**-0.5,  # Xavier's for a square matrix
        **sides, **tokens,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        model = model_of(theirs)
    model.generation_config = transformers.GenerationConfig(
        max_length=config.max_length, num_beams=1, do_sample=False, **tokens
    )
    return model


@torch.no_grad()
def generate(
    model: PreTrainedModel, source: Int[Tensor, "batch source"],
    mask: Int[Tensor, "batch source"], **options: Any,
) -> Int[Tensor, "batch target"]:
    """Write targets token by token with `model.generate`, in evaluation mode; it takes
    the options: `num_beams=4`, `use_cache=False`, …"""
    training = model.training
    model.eval()
    writer = cast(Any, model)  # a PreTrainedModel does not say that it generates
    ids = writer.generate(input_ids=source, attention_mask=mask, **options)
    model.train(training)
    return ids


def translate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str],
    batch: int = 250, **options: Any,
) -> list[str]:
    """Translate texts, greedily without options; raises as `encode`."""
    rows, written = encode(tokenizer, texts), []
    for start in range(0, len(rows), batch):
        part = tokenizer.pad({"input_ids": rows[start : start + batch]},
                             return_tensors="pt").to(model.device)
        ids = generate(model, part.input_ids, part.attention_mask, **options)
        written += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return written


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair],
    **options: Any,
) -> float:
    """Share of pairs whose translation is right to the letter, 0 to 1."""
    written = translate(model, tokenizer, [pair.source for pair in pairs], **options)
    return exact_match(written, [pair.target for pair in pairs])


def save(
    folder: Path | str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast,
    arguments: transformers.TrainingArguments | None = None,
    history: Sequence[Mapping[str, float | int]] | None = None,
) -> Path:
    """Save a model whole: `model/` (safetensors, tokenizer) for `from_pretrained`.

    Beside it stand `config.json` once more, `training_args.json` and `history.json`. A
    model that was there before goes only when the new one is complete.
    """
    folder = Path(folder)
    draft, place, old = (folder / f for f in (".model.part", "model", ".model.old"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(parents=True)
    with quiet():
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    shutil.copyfile(place / "config.json", folder / "config.json")
    if arguments is not None:
        write_json(folder / "training_args.json", arguments.to_dict())
    if history is not None:
        write_json(folder / "history.json", list(history))
    return place


def load(folder: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Read what `save` wrote, in evaluation mode; FileNotFoundError without any."""
    place = Path(folder) / "model"
    if not (place / "config.json").is_file():
        raise FileNotFoundError(
            f"there is no model in {folder}; train and save one first, or name the "
            "folder that holds model/."
        )
    with quiet():
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
            place, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            place, local_files_only=True)
    for_whole_texts(tokenizer.backend_tokenizer)
    return model.eval(), tokenizer
