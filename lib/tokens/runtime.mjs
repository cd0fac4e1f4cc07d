// Encodes a list of texts by a tokenizer that is not Python's: see runtimes.py.
//   node runtime.mjs browser LIBRARY tokenizer.json TEXTS IDS
//   node runtime.mjs llama   LIBRARY model.gguf     TEXTS IDS
// TEXTS is a JSON list of strings, IDS the file to write: a JSON list of lists.
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
