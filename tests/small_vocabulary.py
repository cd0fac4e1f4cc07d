"""A model folder of kilobytes, for the tests of the vocabulary pipeline."""

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM

from lib.data.pretrained import quiet
from lib.workbench.ivr.pipeline import Options, chosen, run_each

TEXTS = [
    "The vocabulary of a model is chosen once.",
    "A reader reads a text token by token, and a model does the same.",
    "영화가 재미있고 배우가 좋았다. 다시 보고 싶은 영화.",
    "번호 12, 가격 3,400원; the price is 3400 won.",
]


@cache
def bpe() -> str:
    """A byte-level BPE of 300 pieces, as JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer.to_str()


def model_folder(folder: Path, weights: bool = False) -> Path:
    """Write tokenizer.json and config.json of a small Llama into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(bpe(), encoding="utf-8")
    config = {"model_type": "llama", "vocab_size": 300, "hidden_size": 16,
              "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 1,
              "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if weights:
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
            model.save_pretrained(folder)
    return folder


def options(tmp_path: Path, **given) -> Options:
    """Options of a pipeline of its own: a small model, no corpus but what is put in."""
    plain = {"artifacts_dir": str(tmp_path / "artifacts"), "corpus": "none",
             "model": str(model_folder(tmp_path / "model")), "passes": 2,
             "made_items": 5}
    return Options(**{**plain, **given})


def put(chosen: Options, name: str, content: str | bytes) -> Path:
    """Put a raw corpus where `init` looks for it."""
    folder = Path(chosen.raw_corpora_dir or chosen.root / "corpora/raw")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(data)
    return file


def run_all(options: Options, first: str = "init", last: str = "train") -> dict:
    """Run the stages from the first to the last; return their manifests by stage."""
    return dict(run_each(chosen(f"{first}..{last}"), options))
