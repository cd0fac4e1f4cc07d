"""The four forms of a tokenizer in one folder, and the proof that their readers agree.

    unigram/tokenizer.json …   transformers, browsers
    unigram.gguf               llama.cpp
    merges/tokenizer.json …    transformers, browsers
    merges.gguf                llama.cpp
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from lib.data.tokenizer_files import write_beside
from lib.tokens.bytelevel import dropped_bytes, normalizer_of, piece_bytes
from lib.tokens.export import (
    ExportError,
    bare_unigram,
    for_every_reader,
    frame_of,
    llama_pattern,
    write_merges_gguf,
    write_unigram_gguf,
)
from lib.tokens.odd_strings import readable
from lib.tokens.runtimes import browser_ids, llama_ids

__all__ = ["KEEPS", "Proof", "ids_of", "prove", "write_folder", "write_forms"]

#: What each form keeps, exactly.
KEEPS = {
    "unigram": "every id of every text, in transformers and in @huggingface/tokenizers",
    "unigram.gguf": (
        "pieces, ids and scores: in llama.cpp the best cut of a whole text, without "
        "the words and the rules of tokenizer.json; U+0000 several times in a row is "
        "one token; it decodes to letters that stand for bytes"),
    "merges": (
        "a plain BPE of the same size and ids. A text in which no new and no given-up "
        "piece stands has the ids that the original gives it; others may differ from "
        "the Unigram's"),
    "merges.gguf": (
        "in llama.cpp every id of merges/tokenizer.json, for texts that are normalized "
        "and whose bytes all have pieces"),
}


@dataclass(frozen=True)
class Proof:
    """A reader gave the ids it promises for all of so many texts.

    ``texts``: those to which the promise applies. ``others``: to which it does not.
    """

    form: str
    reader: str
    texts: int
    others: int = 0


def write_folder(tokenizer: Tokenizer, folder: Path, source: Path | None = None
                 ) -> None:
    """Write a folder that `AutoTokenizer` and `@huggingface/tokenizers` read.

    source: the folder of the original, whose special tokens and chat template are
    taken over. Nothing is tidied up in decoding, as browsers would do.

    Raises
    ------
    ExportError
        If browsers would read the tokenizer differently.
    """
    common = for_every_reader(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    common.save(str(folder / "tokenizer.json"))
    write_beside(source, folder, clean_up_tokenization_spaces=False)


def write_forms(unigram: Tokenizer, bpe: Tokenizer, folder: Path,
                source: Path | None = None, rows: int = 0) -> str:
    """Write all four forms; return why ``merges.gguf`` is not among them, or nothing.

    unigram, bpe: one vocabulary as a Unigram with rules and as a merge list. rows: of
    the model's embeddings, where they are more than the pieces.

    Raises
    ------
    ExportError
        If one of the two cannot be written for browsers.
    """
    write_folder(unigram, folder / "unigram", source)
    write_folder(bpe, folder / "merges", source)
    frame = frame_of(unigram, folder / "unigram")
    write_unigram_gguf(unigram, folder / "unigram.gguf", frame, rows)
    try:
        pattern = llama_pattern(bpe)
    except ExportError as error:
        return str(error)
    write_merges_gguf(bpe, folder / "merges.gguf", frame, pattern, rows)
    return ""


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, without special tokens around it."""
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in encoded]


def prove(folder: Path, unigram: Tokenizer, bpe: Tokenizer, texts: Sequence[str]
          ) -> Iterator[Proof]:
    """Compare what all readers of the forms make of the texts with `tokenizers` here.

    The texts may hold half characters, of which Python reads what `readable` gives.

    Raises
    ------
    ExportError
        At the first text for which a reader does not keep its promise.
    RuntimeRefusal
        If a reader cannot be had.
    """
    whole = [readable(text) for text in texts]
    every = [True] * len(texts)
    exact, merged = ids_of(unigram, whole), ids_of(bpe, whole)
    spelled = _spelled(bpe)
    simple = [spelled(text) for text in whole]
    single = ["\0\0" not in text for text in whole]
    for form, reader, gold, applies, read in (
        ("unigram", "transformers", exact, every, _transformers),
        ("unigram", "browser", exact, every, _browser),
        ("unigram.gguf", "llama.cpp", ids_of(bare_unigram(unigram), whole), single,
         llama_ids),
        ("merges", "transformers", merged, every, _transformers),
        ("merges", "browser", merged, simple, _browser),
        ("merges.gguf", "llama.cpp", merged, simple, llama_ids),
    ):
        if (folder / form).exists():
            ours = read(folder / form, texts)
            yield _compared(Proof(form, reader, sum(applies), applies.count(False)),
                            texts, gold, ours, applies)


def _compared(proof: Proof, texts: Sequence[str], gold: Sequence[list[int]],
              ours: Sequence[list[int]], applies: Sequence[bool]) -> Proof:
    wrong = [n for n, promised in enumerate(applies) if promised and gold[n] != ours[n]]
    if wrong:
        raise ExportError(
            f"{proof.reader} reads {proof.form} differently: {len(wrong)} of "
            f"{proof.texts} texts get other ids than here, such as "
            f"{texts[wrong[0]][:60]!a}; nothing is exported: report it"
        )
    return proof


def _spelled(bpe: Tokenizer) -> Callable[[str], bool]:
    """Whether a text is normalized and all its bytes have pieces."""
    same, never = normalizer_of(bpe), set(dropped_bytes(piece_bytes(bpe)))
    return lambda text: same(text) == text and never.isdisjoint(text.encode())


def _transformers(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    whole = [readable(text) for text in texts]
    return tokenizer(whole, add_special_tokens=False)["input_ids"]


def _browser(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    return browser_ids(folder / "tokenizer.json", texts)
