"""The pretrained parts of the book: GPT-2's tokenizer and a small language model."""

import io
import json
import struct
import sys
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from lib.data.download import Refused
from lib.data.tokenizer_files import for_whole_texts


def gpt2_tokenizer(vocab: Path, merges: Path):
    """GPT-2's own tokenizer: byte-level BPE, 50,257 pieces, no space put in front.

    Returns
    -------
    tokenizers.Tokenizer
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    bpe = models.BPE.from_file(str(vocab), str(merges))
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def load(folder: Path, attention: str = "eager"):
    """Load a causal language model and its tokenizer from a folder, quietly.

    Returns
    -------
    model : transformers model in float32, in evaluation mode, on the CPU.
    tokenizer : its `transformers` tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation=attention,
            local_files_only=True,
        )
    for_whole_texts(tokenizer.backend_tokenizer)
    return model.eval(), tokenizer


def from_gguf(folder: Path, result: str | None = None) -> None:
    """Turn `model.gguf` into float32 safetensors and a tokenizer beside it.

    The 4-bit blocks of the file are restored to float32 once (about half a minute);
    loading the result takes seconds.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": "model.gguf", "local_files_only": True}
    watched = sys.stderr.isatty()
    with quiet(), redirect_stderr(sys.stderr if watched else io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        restored = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, **where
        )
        # transformers saves no model that remembers being quantized: take its numbers.
        config = restored.config
        delattr(config, "quantization_config")
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(restored.state_dict())
        model.generation_config = restored.generation_config
        (folder / "model.gguf").unlink()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def check(folder: Path, parameters: int, vocabulary: int) -> None:
    """Raise `Refused` if a model folder has another size or vocabulary than told."""
    try:
        found = count_parameters(folder / "model.safetensors")
        with open(folder / "tokenizer.json", encoding="utf-8") as file:
            tokenizer = json.load(file)
        added = {token["id"] for token in tokenizer["added_tokens"]}
        pieces = len(added | set(tokenizer["model"]["vocab"].values()))
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise Refused(f"its files cannot be read ({error})") from None
    if (found, pieces) != (parameters, vocabulary):
        raise Refused(
            f"it has {found:,} parameters and {pieces:,} pieces, "
            f"not {parameters:,} and {vocabulary:,}"
        )


def count_parameters(file: Path) -> int:
    """Count the numbers in a safetensors file from its header, and check its length.

    Raises
    ------
    ValueError
        If the header is not JSON or the file is shorter or longer than it says.
    """
    with open(file, "rb") as raw:
        (length,) = struct.unpack("<Q", raw.read(8))
        if length > 100_000_000:
            raise ValueError(f"{file.name} is not a safetensors file")
        header = json.loads(raw.read(length))
    header.pop("__metadata__", None)
    end = max(tensor["data_offsets"][1] for tensor in header.values())
    if file.stat().st_size != 8 + length + end:
        raise ValueError(f"{file.name} is not as long as its header says")
    total = 0
    for tensor in header.values():
        size = 1
        for side in tensor["shape"]:
            size *= side
        total += size
    return total


@contextmanager
def quiet():
    """Keep the loading bars and advice of `transformers` out of the page."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
