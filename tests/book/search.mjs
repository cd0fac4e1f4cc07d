// Runs the page's own search: node search.mjs search.js search-ko.js < queries.json
// and prints, as JSON, what it finds for each query.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const window = {};
const page = vm.createContext({ window });
for (const file of process.argv.slice(2)) vm.runInContext(readFileSync(file, "utf8"), page);
const queries = JSON.parse(readFileSync(0, "utf8"));
const found = queries.map((query) => window.bookSearch(query).slice(0, 30)
  .map(({ address, title, page, pieces }) => ({ address, title, page, pieces })));
process.stdout.write(JSON.stringify(found));
