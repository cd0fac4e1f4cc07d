"""The pretrained parts of the book: GPT-2's tokenizer and a small language model."""

import base64
import io
import json
import math
import struct
import sys
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from lib.data.download import Refused
from lib.data.tokenizer_files import for_whole_texts


def gpt2_tokenizer(vocab: Path, merges: Path):
    """GPT-2's own tokenizer: byte-level BPE, 50,257 pieces, no space put in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    bpe = models.BPE.from_file(str(vocab), str(merges))
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def load(folder: Path, attention: str = "eager"):
    """A causal language model of a folder, in float32, in evaluation mode, on the CPU,
    and its tokenizer, both of `transformers`, loaded quietly."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention,
            local_files_only=True)
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
            folder, dtype=torch.float32, **where)
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
    """Count the numbers in a safetensors file from its header, and check its length."""
    with open(file, "rb") as raw:
        (length,) = struct.unpack("<Q", raw.read(8))
        if length > 100_000_000:
            raise ValueError(f"{file.name} is not a safetensors file")
        header = json.loads(raw.read(length))
    header.pop("__metadata__", None)
    end = max(tensor["data_offsets"][1] for tensor in header.values())
    if file.stat().st_size != 8 + length + end:
        raise ValueError(f"{file.name} is not as long as its header says")
    return sum(math.prod(tensor["shape"]) for tensor in header.values())


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


#: The words of OpenAI's encodings, as `tokenizers` writes a pattern, and their signs.
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_FIRST = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
TIKTOKEN = {
    "cl100k_base": ((
        rf"{_ENDINGS}|{_FIRST}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ), {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259,
        "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276}),
    "o200k_base": ((
        rf"{_FIRST}[{_UPPER}]*[{_LOWER}]+{_ENDINGS}?"
        rf"|{_FIRST}[{_UPPER}]+[{_LOWER}]*{_ENDINGS}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ), {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
}


def from_tiktoken(folder: Path, result: str) -> None:
    """Make a `tokenizer.json` of the ranks in a file of tiktoken.

    tiktoken joins the pair whose bytes have the lowest rank; the merges of `tokenizers`
    are then, rank by rank, all pairs of pieces that spell a piece.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models
    from tokenizers import pre_tokenizers as pre
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    (file,) = folder.glob("*.tiktoken")
    pattern, signs = TIKTOKEN[file.stem]
    lines = (line.split() for line in file.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(piece): int(rank) for piece, rank in lines}
    letters = bytes_to_unicode()
    shown = {piece: "".join(letters[byte] for byte in piece) for piece in ranks}
    merges = [
        (shown[piece[:cut]], shown[piece[cut:]])
        for piece in ranks
        for _, cut in sorted(
            (ranks[piece[:cut]], cut) for cut in range(1, len(piece))
            if piece[:cut] in ranks and piece[cut:] in ranks)
    ]
    vocab = {shown[piece]: rank for piece, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre.Sequence([
        pre.Split(Regex(pattern), "isolated"),
        pre.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    names = {index: name for name, index in signs.items()}
    tokenizer.add_special_tokens([
        AddedToken(names.get(index, f"<|unused_{index}|>"), special=True)
        for index in range(len(ranks), max(names) + 1)])
    file.unlink()
    tokenizer.save(str(folder / result))
