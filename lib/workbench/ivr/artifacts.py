"""What the stages of a pipeline share: artifacts that are whole, and known to be.

A stage writes under temporary names beside the final ones. When it has ended, all is
flushed, renamed, and last of all `manifests/<stage>.json` is written: the options that
matter, and the sha256 of everything that was read and made. From that it follows

- that a stage whose manifest holds is *kept* and not run again,
- that a stage cut off at any moment leaves no manifest that holds, and starts over,
- that a stage whose inputs are no longer what it read is *stale*: named, not used.

    artifacts/
      manifests/init.json …     the last thing that a stage writes
      scratch/train-1f0c…/      what a stage cut off may go on with
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lib.commands import ARTIFACTS, ROOT, say, stage_command
from lib.data.download import DataError, disk_is_full
from lib.files import alone, flush, flush_folder, sha256_of, write_text


class StageError(ValueError):
    """A stage cannot do its work; the message is one sentence that says what to do."""


@contextmanager
def stage_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are what the stage says, as they stand."""
    try:
        yield
    except StageError:
        raise
    except kinds as error:
        raise StageError(str(error)) from None


class Tree(NamedTuple):
    """Where things lie, from the folder of the artifacts on."""

    ORIGINAL: str = "tokenizers/original"  # tokenizer.json, config.json, model.json
    RAW: str = "corpora/raw"
    CLEANED: str = "corpora/cleaned"
    REPORTS: str = "analysis/reports"
    DISTILLED: str = "tokenizers/distilled_unigram"
    REMAPPED: str = "tokenizers/remapped"
    EXPORTED: str = "tokenizers/exported"
    EMBEDDINGS: str = "embeddings"
    TRAINING: str = "training"
    MANIFESTS: str = "manifests"
    SCRATCH: str = "scratch"


TREE = Tree()
#: Outputs that a reader may edit; an edited one is kept aside when a stage writes anew.
EDITABLE = (f"{TREE.REPORTS}/remap_rules.yaml",)
#: Packages whose versions a manifest tells.
VERSIONS = ("tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Step:
    """A stage as the pipeline knows it.

    needs: the stages whose outputs it reads. options: the names of the options that
    decide what it makes. function: what it does, with the options and a room; it
    returns its key results. prepare(options, root): done before anything else, where
    the stage is to be run. reads(options, root): files it reads besides.
    """

    stage: str
    needs: tuple[str, ...]
    options: tuple[str, ...]
    function: Callable[[Any, Room], dict[str, Any]]
    prepare: Callable[[Any, Path], None] = lambda options, root: None
    reads: Callable[[Any, Path], Sequence[Path]] = lambda options, root: ()


class Room:
    """Where a stage works: what it makes takes its name only when all of it is whole.

    root: the folder of the artifacts. scratch: a folder that outlives a kill, the same
    again for the same options and inputs; gone once the stage has ended.

    >>> import tempfile
    >>> room = Room(tempfile.mkdtemp(), "select")
    >>> file = room.make("analysis/reports/selection_log.md")
    >>> file.name
    '.selection_log.md.part'
    >>> file.write_text("twelve pieces")
    13
    >>> (room.root / "analysis/reports/selection_log.md").exists()
    False
    >>> sorted(room.finish()["outputs"])
    ['analysis/reports/selection_log.md']
    >>> (room.root / "analysis/reports/selection_log.md").read_text()
    'twelve pieces'
    """

    def __init__(self, root: Path | str, stage: str, key: str = "by-hand") -> None:
        self.root, self.stage = Path(root), stage
        self._rank = int(os.environ.get("RANK", "0"))  # of several processes
        self.first = self._rank == 0  # what the others make is thrown away
        self._key = key
        self._drafts: dict[str, Path] = {}  # output -> where it is written
        self._kept: set[str] = set()

    @property
    def scratch(self) -> Path:
        """A folder for what a run that is cut off can go on with."""
        folder = self.root / TREE.SCRATCH / f"{self.stage}-{self._key}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, output: str) -> Path:
        """The final place of an output; a relative one counts from `root`."""
        return self.root / output

    def make(self, output: str) -> Path:
        """Where to write an output: a file, or a folder that the stage then makes.

        output: relative to `root`, or absolute.
        """
        final = self.path(output)
        mine = "" if self.first else f".{self._rank}"
        draft = final.with_name(f".{final.name}{mine}.part")
        if output not in self._drafts:
            final.parent.mkdir(parents=True, exist_ok=True)
            _remove(draft)
        self._drafts[output] = draft
        return draft

    def keep(self, output: str) -> Path:
        """Say that an output of an earlier run is one of this run as it is."""
        self._kept.add(output)
        return self.path(output)

    def finish(self, results: dict[str, Any] | None = None,
               **about: Any) -> dict[str, Any]:
        """Flush what was made, give it its names, write the manifest; return that.

        results: the key results of the stage. about: more for the manifest. Raises
        StageError if an output was not made, or a result is no finite number.
        """
        for name, value in (results or {}).items():
            number = value.item() if hasattr(value, "item") else value
            if isinstance(number, float) and not math.isfinite(number):
                raise StageError(
                    f"{self.stage} got {name} = {number}, which is no result; change "
                    f"its options and run {stage_command(self.stage)} again")
        for output, draft in self._drafts.items():
            if not draft.exists():
                raise StageError(f"{self.stage} was to make {output} and did not; run "
                                 f"{stage_command(self.stage)} again")
            _flush(draft)
        places = self._drafts | {output: self.path(output) for output in self._kept}
        made = {f"{output}{rest}": sha256_of(file) for output, place in places.items()
                for rest, file in _files(place)}
        before = manifest_of(self.root, self.stage) or {"outputs": {}}
        manifest = self.root / TREE.MANIFESTS / f"{self.stage}.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.unlink(missing_ok=True)  # from here on the stage is not done
        flush_folder(manifest.parent)
        for output, draft in self._drafts.items():
            self._publish(output, draft, before["outputs"].get(output))
        for output, sha256 in before["outputs"].items():
            old = self.path(output)  # what a reader has edited stays
            if output not in made and old.is_file() and sha256_of(old) == sha256:
                old.unlink()
        content = {
            "stage": self.stage, **about, "outputs": made, "results": results or {},
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS}}
        write_text(manifest, json.dumps(  # numbers of numpy and torch have `item`
            content, indent=1, ensure_ascii=False, allow_nan=False,
            default=lambda number: number.item()) + "\n")
        self.clear()
        return content

    def _publish(self, output: str, draft: Path, told: str | None) -> None:
        final = self.path(output)
        if output in EDITABLE and final.exists() and sha256_of(final) != told:
            aside = final.with_stem(f"{final.stem}.before")
            os.replace(final, aside)
            say(f"{self.stage} writes {output} anew; the edited one is {aside.name}.")
        if draft.is_dir() or final.is_dir():
            old = final.with_name(f".{final.name}.old")
            _remove(old)
            with suppress(FileNotFoundError):
                os.replace(final, old)
            os.replace(draft, final)
            _remove(old)
        else:
            os.replace(draft, final)
        flush_folder(final.parent)

    def clear(self, scratch: bool = True) -> None:
        """Remove what is left of drafts, and every scratch folder of the stage."""
        for draft in self._drafts.values():
            _remove(draft)
        if scratch:
            for folder in (self.root / TREE.SCRATCH).glob(f"{self.stage}-*"):
                _remove(folder)


def manifest_of(root: Path, stage: str) -> dict[str, Any] | None:
    """The manifest of a stage; None where there is none that can be read."""
    file = root / TREE.MANIFESTS / f"{stage}.json"
    try:
        told = json.loads(file.read_text("utf-8"))
        whole = {"options", "inputs", "outputs", "results"} <= told.keys()
        return told if whole and told["stage"] == stage else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def standing(step: Step, steps: dict[str, Step], options: Any, root: Path) -> str:
    """Why a stage has to be run with these options, in a few words; empty where what it
    made holds."""
    told = manifest_of(root, step.stage)
    if told is None:
        return "it has not been run to its end"
    for name in step.options:
        came, was = _plain(getattr(options, name)), told["options"].get(name)
        if came != was:
            return f"its option {name} was {was!r} and is {came!r}"
    return _spoilt(told, root) or _changed(told, _inputs(step, steps, options, root))


def expect(stage: str, steps: dict[str, Step], options: Any, root: Path) -> None:
    """Refuse to start a stage while one before it is missing, damaged or stale."""
    for name in _before(stage, steps):
        told = manifest_of(root, name)
        if told is None:
            made = (root / TREE.MANIFESTS / f"{name}.json").exists()
            why = "cannot be read" if made else "is not there"
            problem = f"needs what {name} makes and its manifest {why}"
        elif spoilt := _spoilt(told, root):
            problem = f"needs what {name} made and {spoilt}"
        else:
            then = type(options)(**vars(options) | told["options"])
            stale = _changed(told, _inputs(steps[name], steps, then, root))
            if not stale:
                continue
            problem = f"cannot use what {name} made, which is stale: {stale}"
        raise StageError(f"{stage} {problem}; run {stage_command(name)} first")


def carry_out(stage: str, steps: dict[str, Step], options: Any, root: Path,
              force: bool = False) -> dict[str, Any]:
    """Run one stage, unless what it made holds; return its manifest.

    `kept` stands in the result beside the manifest: whether it was not run. Raises
    StageError if a stage before it is missing or stale, or it cannot do its work; what
    it made before stays as it was.
    """
    step = steps[stage]
    before = ARTIFACTS.set(str(getattr(options, "artifacts_dir", "")))
    try:
        with stage_errors(DataError), alone(root / ".lock", root, wait=True):
            expect(stage, steps, options, root)
            step.prepare(options, root)
            if not force and not standing(step, steps, options, root):
                return (manifest_of(root, stage) or {}) | {"kept": True}
            inputs = _inputs(step, steps, options, root)
            matter = {name: _plain(getattr(options, name)) for name in step.options}
            key = json.dumps([matter, inputs], sort_keys=True).encode()
            room = Room(root, stage, hashlib.sha256(key).hexdigest()[:12])
            return _work(step, options, room, matter, inputs) | {"kept": False}
    except OSError as error:
        if full := disk_is_full(error, root):
            raise StageError(str(full)) from None
        if isinstance(error, PermissionError):
            raise StageError(
                f"{error.filename} cannot be written or read ({error.strerror}); make "
                "it accessible, or name another folder") from None
        raise
    finally:
        ARTIFACTS.reset(before)


def _work(step: Step, options: Any, room: Room, matter: dict, inputs: dict) -> dict:
    if room.first:
        _sweep(room)
    began = time.perf_counter()
    try:
        results = step.function(options, room)
        if not room.first:
            room.clear(scratch=False)
            return {"results": results}
        seconds = round(time.perf_counter() - began, 1)
        return room.finish(results, options=matter, inputs=inputs, seconds=seconds)
    except BaseException:
        with suppress(OSError):
            room.clear(scratch=False)
        raise


def _sweep(room: Room) -> None:
    """Remove what stages that were cut off left half-written or cannot go on with."""
    for kind in (".*.part", ".*.old"):
        for left in list(room.root.rglob(kind)):
            _remove(left)
    for folder in (room.root / TREE.SCRATCH).glob(f"{room.stage}-*"):
        if folder.name != f"{room.stage}-{room._key}":
            _remove(folder)


def _before(stage: str, steps: dict[str, Step]) -> list[str]:
    """All stages that a stage rests on, in the order of the pipeline."""
    needed = set(steps[stage].needs)
    needed |= {name for need in needed for name in _before(need, steps)}
    return [name for name in steps if name in needed]


def _inputs(step: Step, steps: dict[str, Step], options: Any,
            root: Path) -> dict[str, str]:
    """The sha256 of all that a stage reads, as it is now."""
    files: dict[str, Path] = {}
    for name in step.needs:
        told = manifest_of(root, name) or {"outputs": {}}
        files |= {output: root / output for output in told["outputs"]}
    for file in step.reads(options, root):
        files[shown(file, root)] = file
    return {name: _sha256(file) for name, file in files.items() if file.is_file()}


def _spoilt(told: dict, root: Path) -> str:
    """What is wrong with the outputs of a stage, in a few words."""
    for output, sha256 in told["outputs"].items():
        if not (root / output).is_file():
            return f"{output} is gone"
        if output not in EDITABLE and _sha256(root / output) != sha256:
            return f"{output} is not what {told['stage']} wrote"
    return ""


def _changed(told: dict, now: dict[str, str]) -> str:
    """What differs between the inputs that a stage had and those of now."""
    was = told["inputs"]
    for name in {**was, **now}:
        if was.get(name) != now.get(name):
            how = ("is gone" if name not in now else "is new" if name not in was
                   else "has changed since")
            return f"{name} {how}"
    return ""


def shown(file: Path, root: Path) -> str:
    """A path as manifests and messages name it: from the artifacts, else the root."""
    for folder in (root, ROOT):
        if file.is_relative_to(folder):
            return file.relative_to(folder).as_posix()
    return str(file)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))  # tuples become lists, as in a manifest


def _sha256(file: Path) -> str:
    now = file.stat()
    return _known_sha256(file, now.st_size, now.st_mtime_ns, now.st_ino)


@functools.lru_cache(maxsize=4096)
def _known_sha256(file: Path, _bytes: int, _time: int, _inode: int) -> str:
    return sha256_of(file)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The files of an output, each with what stands behind the output's name."""
    if not path.is_dir():
        yield "", path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield f"/{file.relative_to(path).as_posix()}", file


def _flush(path: Path) -> None:
    """See a file, or all of a folder, onto the disk."""
    for _, file in _files(path):
        flush(file)
    if path.is_dir():
        for folder in [path, *(p for p in path.rglob("*") if p.is_dir())]:
            flush_folder(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
