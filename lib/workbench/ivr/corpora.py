"""The first stage of the vocabulary pipeline: `init`.

It gathers the tokenizer, the configuration of its model and the corpora, cleaned.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm  # text on stderr: no widget stays behind on the page

from lib.commands import ROOT, path_of, say, stage_command
from lib.files import sha256_of, write_json, write_text
from lib.options import one_of
from lib.workbench.ivr import original
from lib.workbench.ivr.artifacts import TREE, Room, StageError, shown, stage_errors
from lib.workbench.ivr.raw_documents import ENDINGS, NEWLINE, clean, documents, pieces

INDEX = "corpora/cleaned.json"  # where the cleaned files lie, and what they are of
FILLED = "corpora/filled.json"  # what was put into the raw folder, and not by a reader
CLEAN = "UTF-8, NFC, one document a line, no empty line"
PART = 1 << 23  # bytes of a cleaned file that are counted as one


def cleaned(root: Path) -> Iterator[str]:
    """The documents of the cleaned corpora, in the order of the file names.

    A cleaned file holds one document a line; a newline inside a document is written
    as U+2028, the line separator, and comes back as a newline here.
    """
    return chain.from_iterable(map(texts_of, parts(root)))


class Part(NamedTuple):
    """The lines of a cleaned file that begin at these of its bytes."""

    file: Path
    begin: int
    end: int


def parts(root: Path) -> list[Part]:
    """The cleaned corpora, cut in parts that can be read one without another."""
    return [Part(file, begin, begin + PART) for file in cleaned_files(root)
            for begin in range(0, file.stat().st_size, PART)]


def texts_of(part: Part) -> Iterator[str]:
    """The documents of a part."""
    try:
        lines = open(part.file, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise StageError(
            f"{part.file} is not on the machine that is to count it; put artifacts_dir "
            "into a folder that every machine reads under the same name") from None
    with lines:
        lines.seek(max(part.begin - 1, 0))
        at = part.begin and lines.tell() + len(lines.readline())
        while at < part.end and (line := lines.readline()):
            at += len(line)
            yield line.decode().removesuffix("\n").replace(NEWLINE, "\n")


def cleaned_files(root: Path) -> list[Path]:
    """The cleaned files; StageError if `init` has not been run."""
    index = _index(root)
    if not index["files"]:
        raise StageError(
            f"no corpus has been cleaned; run {stage_command('init')} first")
    return [root / index["folder"] / name for name in index["files"]]


def _index(root: Path) -> dict[str, Any]:
    try:
        return json.loads((root / INDEX).read_text("utf-8"))
    except (OSError, ValueError):
        return {"folder": TREE.CLEANED, "files": {}}


# --- init ------------------------------------------------------------------------


def fill(options: Any, root: Path) -> None:
    """Put a corpus of the book into the raw folder where no reader put one.

    A corpus that was put there before, and is as it was, makes room for another one,
    for the same of other data, and for texts of the reader's own, raw or cleaned.
    """
    from lib import data

    known = {"korean": "korean", "shakespeare": "tinyshakespeare", "none": None}
    with stage_errors(ValueError):
        one_of("corpus", options.corpus, known)
    if options.raw_corpora_dir:
        return
    folder = root / TREE.RAW
    asked = {"corpus": options.corpus, "documents": options.corpus_documents}
    there = raw_files(options, root)
    filled, ours = _filled(root)
    own = [*(file for file in there if file != ours), *own_clean_files(options, root)]
    if own and ours:
        say(f"{shown(own[0], root)} is of your own, so {ours.name}, which the book had "
            "put into the raw folder, is taken away; copy it there under another name "
            "to have both.")
    row = None if own else known[options.corpus]
    asked["data"] = row and data.describe(row)  # a stand-in makes room for the real
    if ours and not own and asked == {name: filled.get(name) for name in asked}:
        return
    if ours:
        ours.unlink()
    if row is None:
        return
    if options.corpus == "korean":
        name, rows = "korean.txt", data.text("korean").splitlines()
    else:  # a speech has lines: JSON keeps them together
        speeches = data.text("tinyshakespeare").split("\n\n")
        name = "shakespeare.jsonl"
        rows = [json.dumps({"text": speech}, ensure_ascii=False)
                for speech in speeches if speech.strip()]
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row}\n" for row in rows[:options.corpus_documents])
    write_text(folder / name, text)
    asked |= {"file": name, "sha256": sha256_of(folder / name)}
    write_json(root / FILLED, asked)


def _filled(root: Path) -> tuple[dict[str, Any], Path | None]:
    """What was put into the raw folder, and the file if it is there as it was put."""
    try:
        filled = json.loads((root / FILLED).read_text("utf-8"))
        file = root / TREE.RAW / filled["file"]
        return filled, file if sha256_of(file) == filled["sha256"] else None
    except (OSError, ValueError, KeyError):
        return {}, None


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folder(given: str | None, root: Path, plain: str) -> Path:
    """A folder that an option names, from the repository on; else one of the tree."""
    return path_of(given) if given else root / plain


def _place(path: Path, root: Path) -> str:
    """A path as `root / _place(…)` finds it again: relative within the repository, so
    that both can be moved together."""
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    if path.is_relative_to(ROOT) and root.is_relative_to(ROOT):
        return Path(os.path.relpath(path, root)).as_posix()
    return str(path)


def _read(file: Path) -> bool:
    return file.is_file() and file.suffix.lower() in ENDINGS


def raw_files(options: Any, root: Path) -> list[Path]:
    """The raw files, by name; other files and folders among them are passed over.

    Raises StageError if there is no folder, or two files would be cleaned into one.
    """
    folder = _folder(options.raw_corpora_dir, root, TREE.RAW)
    if not folder.is_dir():
        if options.raw_corpora_dir:
            what = "is a file" if folder.exists() else "is not there"
            raise StageError(
                f"raw_corpora_dir {options.raw_corpora_dir} {what}; name a folder "
                f"that holds {', '.join(ENDINGS)}")
        return []
    names: dict[str, Path] = {}
    for file in filter(_read, _entries(folder)):
        twin = names.setdefault(file.stem.casefold(), file)
        if twin != file:
            raise StageError(f"{twin.name} and {file.name} would both be cleaned into "
                             f"{file.stem}.txt; rename one of them")
    return list(names.values())


def _known(options: Any, root: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the cleaned files, and what the index tells of them."""
    folder = _folder(options.cleaned_corpora_dir, root, TREE.CLEANED)
    before = _index(root)
    return folder, before["files"] if before["folder"] == _place(folder, root) else {}


def own_clean_files(options: Any, root: Path) -> list[Path]:
    """The files that a reader put among the cleaned ones, cleaned from no raw file."""
    folder, known = _known(options, root)
    made = {name for name, entry in known.items() if entry["raw"]}
    made |= {f"{file.stem}.txt" for file in raw_files(options, root)}
    there = _entries(folder) if folder.is_dir() else []
    return [file for file in there if file.suffix == ".txt" and file.name not in made]


def init(options: Any, room: Room) -> dict[str, Any]:
    """Gather tokenizer, configuration and corpora; see the options of this stage.

    Raises StageError if the model cannot be had or is no byte-level BPE, there is no
    corpus, or a raw file cannot be read. Nothing of what was there before is changed.
    """
    folder, known = _known(options, room.root)
    index = room.make(INDEX)  # takes its name first: what it tells is then checked
    results = original.gather_original(options, room)
    raw = raw_files(options, room.root)
    passed = _passed_over(options, room.root)
    if raw and folder.resolve() == raw[0].parent.resolve():
        raise StageError(
            f"{shown(folder, room.root)} is to hold both raw and cleaned corpora; "
            "name two folders")
    anew = options.force or options.normalize_force
    files, kept = {}, 0
    own = own_clean_files(options, room.root)
    for file in raw:
        target = folder / f"{file.stem}.txt"
        entry = {"raw": shown(file, room.root), "raw_sha256": sha256_of(file),
                 "text_key": options.text_key, "encoding": options.encoding}
        was = known.get(target.name)
        as_it_is = _put_aside(target, was) if anew else _kept(target, was, entry)
        if as_it_is:
            room.keep(_place(target, room.root))
            kept += 1
        files[target.name] = as_it_is or entry | _clean_file(file, target, options,
                                                             room)
    for target in own:
        files[target.name] = _adopted(target)
        room.keep(_place(target, room.root))
        kept += 1
    total = sum(entry["documents"] for entry in files.values())
    if not total:
        where = _folder(options.raw_corpora_dir, room.root, TREE.RAW)
        raise StageError(
            f"{shown(where, ROOT)} holds {'no text' if files else 'no corpus'}"
            f"{f' ({passed} not read)' if passed else ''}; put "
            f"{', '.join(ENDINGS)} there, or write corpus korean or corpus shakespeare "
            "for one of the book's")
    write_json(index, {"folder": _place(folder, room.root),
                       "files": dict(sorted(files.items()))})
    return results | {"files": len(files), "kept_files": kept, "documents": total,
                      "bytes": sum(entry["bytes"] for entry in files.values())}


def _passed_over(options: Any, root: Path) -> str:
    """Name what among the raw corpora is not read; empty where there is nothing."""
    folder = _folder(options.raw_corpora_dir, root, TREE.RAW)
    others = [file for file in _entries(folder) if not _read(file)
              ] if folder.is_dir() else []
    if not others:
        return ""
    names = ", ".join(f"the folder {file.name}" if file.is_dir() else file.name
                      for file in others[:4])
    names += f" and {len(others) - 4} more" if len(others) > 4 else ""
    say(f"{shown(folder, root)} holds {names}, passed over: {', '.join(ENDINGS)} are "
        "read, in this folder and none within it.")
    return names


def _edited(target: Path, was: dict | None) -> bool:
    """Whether a cleaned file is another one than this stage made of a raw file."""
    if not (was and was["raw"] and target.is_file()):
        return False
    return was.get("edited", False) or sha256_of(target) != was["sha256"]


def _put_aside(target: Path, was: dict | None) -> None:
    """Keep a copy of a file that a reader wrote or edited and that is cleaned anew."""
    ours = was and was["raw"] and not _edited(target, was)
    if target.is_file() and not ours:
        aside = target.with_name(f"{target.name}.before")
        shutil.copy2(target, aside)
        say(f"{target.name} is cleaned anew; the one that was there is {aside.name}.")


def _kept(target: Path, was: dict | None, entry: dict) -> dict | None:
    """What is told of a cleaned file that is to be kept: of the same raw file, edited
    by a reader, or clean before this stage ever saw it. None: it is to be cleaned."""
    if not target.is_file():
        return None
    if was and was["raw"] and not _edited(target, was):
        return was if {name: was.get(name) for name in entry} == entry else None
    clean_entry = _described(target)
    if was and was["raw"]:
        if clean_entry and {name: was.get(name) for name in entry} == entry:
            say(f"{target.name} was edited after it had been cleaned and is kept; "
                "normalize_force True cleans the raw file anew.")
            return clean_entry | entry | {"edited": True}
        why = ("the raw file or how it is read has changed as well" if clean_entry else
               f"is no longer clean ({CLEAN})")
        raise StageError(
            f"{target.name} was edited after it had been cleaned, and "
            f"{why}; move it away to lose nothing, or write normalize_force True, "
            f"which keeps the edited one as {target.name}.before")
    if clean_entry:
        say(f"{target.name} was clean already and is kept; normalize_force True cleans "
            "it anew.")
    else:
        _put_aside(target, None)
    return clean_entry


def _adopted(target: Path) -> dict:
    """What is told of a file that a reader put among the cleaned ones."""
    entry = _described(target)
    if entry is None:
        raise StageError(f"{target.name} among the cleaned corpora is not clean "
                         f"({CLEAN}); put it among the raw ones")
    return entry


def _described(target: Path) -> dict | None:
    """What the index tells of a file without a raw one; None where it is not clean."""
    count = 0
    try:
        with open(target, encoding="utf-8", newline="\n") as lines:
            for line in lines:
                text = line.removesuffix("\n")
                if not text or clean(text) != text:
                    return None
                count += 1
    except UnicodeDecodeError:
        return None
    return {"raw": None, "documents": count, "bytes": target.stat().st_size,
            "sha256": sha256_of(target)}


def bar_of(total: int, label: str) -> tqdm:
    """A bar of so many bytes."""
    return tqdm(total=total, desc=label, unit="B", unit_scale=True, leave=False)


def _clean_file(file: Path, target: Path, options: Any, room: Room) -> dict[str, Any]:
    """Write the clean documents of a raw file; return what the index tells of them."""
    draft = room.make(_place(target, room.root))
    count = dropped = cut = 0
    with (open(file, "rb") as raw,
          open(draft, "w", encoding="utf-8", newline="\n") as out,
          bar_of(file.stat().st_size, file.name) as progress):
        for text in documents(raw, file, options.text_key, options.encoding):
            before = count
            for piece in pieces(clean(text)):
                if piece:
                    out.write(piece + "\n")
                    count += 1
            dropped += count == before
            cut += max(count - before - 1, 0)
            progress.update(raw.tell() - progress.n)
    if not count:
        say(f"{file.name} holds no text and adds no document.")
    return {"documents": count, "dropped": dropped, "cuts": cut,
            "bytes": draft.stat().st_size, "sha256": sha256_of(draft)}
