// Sets maths: reads a JSON list of [latex, display] on standard input, writes a list
// of HTML strings. A formula that does not parse ends the run with its own text. The
// one command that may put an attribute into the page is \htmlData, which
// book/symbols.py writes around symbols.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const katex = createRequire(process.argv[2])("katex");
const macros = { "\\softmax": "\\operatorname{softmax}", "\\R": "\\mathbb{R}" };
const trust = ({ command }) => command === "\\htmlData";
const formulas = JSON.parse(readFileSync(0, "utf8"));
const html = formulas.map(([latex, displayMode]) => {
  try {
    return katex.renderToString(latex, { displayMode, macros: { ...macros }, strict: "ignore", trust });
  } catch (error) {
    console.error(`the formula ${JSON.stringify(latex)} cannot be set: ${error.message}`);
    process.exit(1);
  }
});
process.stdout.write(JSON.stringify(html));
