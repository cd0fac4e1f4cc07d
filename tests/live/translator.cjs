"use strict";
// Run the translator's scripts as the page does, but under Node: one question in, as
// JSON on standard input, the answers out.
const { readFileSync } = require("node:fs");
const { runInThisContext } = require("node:vm");

const question = JSON.parse(readFileSync(0, "utf8"));
for (const file of question.scripts) {
  runInThisContext(readFileSync(file, "utf8"), { filename: file });
}
const { translator: { Pieces, Translator }, arrays: { revive } } = globalThis.bookLive.pure;
const pieces = new Pieces(question.reader);
const model = new Translator(question.reader.config, revive(question.weights));

const answers = {
  texts: question.texts.map((text) => {
    const letter = pieces.unknown(text);
    return letter === undefined ? pieces.encode(text) : letter;
  }),
  runs: question.runs.map(({ source, target, off, names }) => {
    const run = model.write(source, new Set(off ?? []));
    const forced = model.read(source, new Set(off ?? []));
    for (const id of target) model.take(forced, id);
    const rows = (value) => (value instanceof Float32Array ? [...value] : value.map(rows));
    return {
      written: run.written, said: pieces.decode(run.written), logits: rows(forced.logits),
      tensors: Object.fromEntries((names ?? []).map((name) => [name, rows(forced.record[name] ?? [])])),
    };
  }),
};
process.stdout.write(JSON.stringify(answers));
