"""Reading a `tokenizer.json`, ours or other people's, for whole texts.

Published files keep what their last training set: cut a text after 512 tokens, fill it
up to as many, leave out merges by chance. Nobody sees this in the ids. Here a text is
encoded from its first character to its last, the same each time.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lib.files import write_json

#: Refuses settings with an error of its own.
Expect = Callable[[Mapping[str, Any]], None]
OTHER = "name a tokenizer.json of the tokenizers library"
#: What `transformers` wants beside a tokenizer.json.
BESIDE = ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


class TokenizerFileError(ValueError):
    """A file that holds no tokenizer; the message says why, in one sentence."""


def load_tokenizer(file: Path | str, expect: Expect | None = None) -> Tokenizer:
    """Read a tokenizer file; a wrapping of it, `tokenizer_json`, is taken off.

    expect: may refuse the file by its settings, before a model is built of them.
    """
    file = Path(file)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TokenizerFileError(f"{file} is not there; {OTHER}") from None
    except UnicodeDecodeError:
        raise _no_tokenizer(file, "it is no text") from None
    except OSError as error:
        raise TokenizerFileError(
            f"{file} cannot be read ({error.strerror or error}); {OTHER}"
        ) from None
    return parse_tokenizer(text, str(file), expect)


def _no_tokenizer(name: Path | str, why: str) -> TokenizerFileError:
    return TokenizerFileError(f"{name} holds no tokenizer: {why}; {OTHER}")


def parse_tokenizer(text: str, name: str = "the text",
                    expect: Expect | None = None) -> Tokenizer:
    """The tokenizer that a JSON text describes; name: what errors call the text.

    >>> parse_tokenizer('{"the": 0}', "vocab.json")
    Traceback (most recent call last):
    ...
    lib.data.tokenizer_files.TokenizerFileError: vocab.json holds no tokenizer: it has
    no "model"; name a tokenizer.json of the tokenizers library
    """
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_tokenizer(name, f"it is damaged, or no JSON ({error})") from None
    if isinstance(parts, dict) and isinstance(parts.get("tokenizer_json"), str):
        return parse_tokenizer(parts["tokenizer_json"], name, expect)
    if not isinstance(parts, dict) or not isinstance(parts.get("model"), dict):
        raise _no_tokenizer(name, 'it has no "model"')
    if expect:
        expect(parts)
    try:
        return for_whole_texts(Tokenizer.from_str(text))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - plain, or a panic of its Rust
        raise _no_tokenizer(name, str(error)[:80]) from None


def for_whole_texts(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which no longer cuts, fills up or draws by chance."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None):  # of BPE
        tokenizer.model.dropout = None
    return tokenizer


def write_beside(source: Path | None, folder: Path, **more: bool) -> None:
    """Write what `transformers` wants beside a tokenizer.json, as another folder has.

    The class becomes the plain one: those of a model family build a BPE from the
    vocabulary, whatever `tokenizer.json` says.

    more: for ``tokenizer_config.json``.
    """
    for name in BESIDE:
        if source and (source / name).is_file() and source != folder:
            shutil.copyfile(source / name, folder / name)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name in ("is_local", "local_files_only", "auto_map"):
        config.pop(name, None)
    write_json(file, config | {"tokenizer_class": "PreTrainedTokenizerFast"} | more)
