"use strict";
// The tensors of the translator in the order of its computation: how each is called in
// lib/trace, what its rows and columns are, and its numbers as a matrix to be drawn.
(() => {
  const space = (bookLive.translator ??= {});

  // A sentence with its {places} filled.
  space.fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);

  // [{ name, kind, group, heads, rows, columns }]: rows and columns are "source" or
  // "target" where they are tokens, else columns are dimensions.
  space.catalog = ({ n_layers: layers }) => {
    const list = [];
    const add = (group, prefix, rows, kinds, more = {}) => {
      for (const kind of kinds) list.push({ name: `${prefix}.${kind}`, kind, group, rows, ...more });
    };
    for (const [stack, side] of [["encoder", "source"], ["decoder", "target"]]) {
      add({ stack }, stack, side, ["embed", "positions"]);
      for (let layer = 0; layer < layers; layer += 1) {
        const block = `${stack}.blocks.${layer}`, group = { stack, layer };
        const attention = (part, keys) => {
          const name = `${block}.${part}`;
          add(group, name, side, ["q"], { part, heads: true });
          add(group, name, keys, ["k", "v"], { part, heads: true });
          add(group, name, side, ["scores", "pattern"], { part, heads: true, columns: keys });
          add(group, name, side, ["z"], { part, heads: true });
        };
        add(group, block, side, ["resid_pre", "ln1"]);
        attention("attn", side);
        add(group, block, side, ["attn_out", "resid_mid"]);
        if (stack === "decoder") {
          add(group, block, side, ["ln_cross"]);
          attention("cross", "source");
          add(group, block, side, ["cross_out", "resid_cross"]);
        }
        add(group, block, side, ["ln2", "mlp.pre", "mlp.post", "mlp_out", "resid_post"]);
      }
      add({ stack }, stack, side, ["ln_final"]);
    }
    list.push({ name: "logits", kind: "logits", group: { stack: "decoder" }, rows: "target" });
    return list;
  };

  // The numbers of a tensor, of one head where it has heads: rows of equal or, below a
  // mask, growing length; its whole shape; nothing where it was not computed.
  space.matrix = (run, entry, head, size) => {
    const rows = entry.name === "logits" ? run.logits : run.record[entry.name];
    if (!rows) return null;
    if (entry.columns) {
      const own = rows[head];
      const width = own.reduce((most, row) => Math.max(most, row.length), 0);
      return { rows: own, width, shape: [rows.length, own.length, width] };
    }
    if (!entry.heads) return { rows, width: rows[0].length, shape: [rows.length, rows[0].length] };
    const own = rows.map((row) => row.subarray(head * size, (head + 1) * size));
    return { rows: own, width: size, shape: [rows[0].length / size, rows.length, size] };
  };
})();
