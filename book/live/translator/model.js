"use strict";
// The Transformer of lib/attention for one text: the encoder reads all of it at once,
// the decoder takes one token a step. Every tensor is kept, under its name in lib/trace.
//
// A tensor is a list of rows, one a token (Float32Array); `scores` and `pattern` hold
// a list of rows for each head, and a row ends where the mask begins. Sums are float64.
(() => {

  const linear = (x, weight, bias) => { // W x + b
    const width = x.length;
    const y = new Float32Array(weight.length / width);
    for (let i = 0, place = 0; i < y.length; i += 1) {
      let sum = bias ? bias[i] : 0;
      for (let j = 0; j < width; j += 1, place += 1) sum += weight[place] * x[j];
      y[i] = sum;
    }
    return y;
  };

  const layerNorm = (x, gain, bias, eps = 1e-5) => {
    let mean = 0, variance = 0;
    for (const value of x) mean += value / x.length;
    for (const value of x) variance += (value - mean) ** 2 / x.length;
    const scale = 1 / Math.sqrt(variance + eps);
    return x.map((value, i) => (value - mean) * scale * gain[i] + bias[i]);
  };

  // What is −∞ gets nothing; where all is, so does all.
  const softmax = (logits) => {
    const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    if (largest === -Infinity) return new Float32Array(logits.length);
    const shares = Float64Array.from(logits, (value) => Math.exp(value - largest));
    const sum = shares.reduce((a, b) => a + b, 0);
    return Float32Array.from(shares, (value) => value / sum);
  };

  const add = (x, y) => x.map((value, i) => value + y[i]);

  class Translator {
    // config: d_model, n_heads, n_layers, max_length, norm_first, pad, bos, eos
    constructor(config, weights) {
      this.masks = {}; // of encoder.blocks.0.attn and the like: (query, key) => may it look
      this.config = config;
      this.weights = weights;
      this.size = config.d_model / config.n_heads; // of a head
    }

    // √d E[id] + P[position], and both parts for who wants to look.
    embed(record, stack, id, position) {
      const { d_model: width } = this.config;
      const token = this.weights["token.weight"].slice(id * width, (id + 1) * width);
      const place = Float32Array.from({ length: width }, (_, i) => {
        const angle = position * 10_000 ** (-(i - (i % 2)) / width);
        return i % 2 ? Math.cos(angle) : Math.sin(angle);
      });
      keep(record, `${stack}.embed`, token);
      keep(record, `${stack}.positions`, place);
      return token.map((value, i) => Math.fround(value * Math.sqrt(width)) + place[i]);
    }

    project(x, name) {
      return linear(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`]);
    }

    norm(x, name) {
      return layerNorm(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`]);
    }

    // Let rows look at what `k` and `v` hold. off: names of what is switched off.
    attend(record, name, module, rows, memory, causal, off) {
      const { size } = this, { n_heads: heads } = this.config;
      for (const x of memory) {
        keep(record, `${name}.k`, this.project(x, `${module}.key`));
        keep(record, `${name}.v`, this.project(x, `${module}.value`));
      }
      const keys = record[`${name}.k`], values = record[`${name}.v`];
      const mask = this.masks[name];
      return rows.map((x) => {
        const query = record[`${name}.q`]?.length ?? 0;
        const q = this.project(x, `${module}.query`);
        keep(record, `${name}.q`, q);
        const seen = causal ? record[`${name}.q`].length : keys.length;
        const z = new Float32Array(heads * size);
        for (let head = 0; head < heads; head += 1) {
          const from = head * size;
          const scores = Float32Array.from({ length: seen }, (_, key) => {
            let sum = 0;
            for (let i = from; i < from + size; i += 1) sum += q[i] * keys[key][i];
            return sum / Math.sqrt(size);
          });
          const pattern = softmax(mask ? scores.map((score, key) => (mask(query, key) ? score : -Infinity)) : scores);
          keepOfHead(record, `${name}.scores`, head, scores);
          keepOfHead(record, `${name}.pattern`, head, pattern);
          if (off.has(`${name}.${head}`)) continue; // its part of z stays 0
          for (let i = from; i < from + size; i += 1) {
            let sum = 0;
            for (let key = 0; key < seen; key += 1) sum += pattern[key] * values[key][i];
            z[i] = sum;
          }
        }
        keep(record, `${name}.z`, z);
        const out = this.project(z, `${module}.output`);
        keep(record, `${name}_out`, out);
        return out;
      });
    }

    feedForward(record, name, module, x, off) {
      const pre = this.project(x, `${module}.up`);
      const post = pre.map((value) => Math.max(value, 0));
      const out = this.project(post, `${module}.down`);
      if (off.has(`${name}.mlp`)) out.fill(0);
      keep(record, `${name}.mlp.pre`, pre);
      keep(record, `${name}.mlp.post`, post);
      keep(record, `${name}.mlp_out`, out);
      return out;
    }

    // One layer on new rows; memory: what a decoder layer looks at, given once.
    layer(record, stack, number, rows, memory, off) {
      const name = `${stack}.blocks.${number}`, module = `${stack}.${number}`;
      for (const x of rows) keep(record, `${name}.resid_pre`, x);
      if (off.has(name)) return rows; // it adds nothing
      // a part with its residual, before or after whose sum the norm stands
      const part = (kind, norm, sum, xs, run) => {
        const first = this.config.norm_first;
        const normed = (vectors) => vectors.map((x) => {
          const y = this.norm(x, `${module}.${norm}`);
          keep(record, `${name}.${kind}`, y);
          return y;
        });
        const out = run(first ? normed(xs) : xs).map((y, i) => {
          const total = add(xs[i], y);
          keep(record, `${name}.${sum}`, total);
          return total;
        });
        return first ? out : normed(out);
      };
      const decoder = stack === "decoder";
      let x = part("ln1", "attention_norm", "resid_mid", rows, (y) => this.attend(
        record, `${name}.attn`, `${module}.attention`, y, y, decoder, off));
      if (decoder) {
        const fresh = record[`${name}.cross.k`] ? [] : memory;
        x = part("ln_cross", "cross_norm", "resid_cross", x, (y) => this.attend(
          record, `${name}.cross`, `${module}.cross_attention`, y, fresh, false, off));
      }
      return part("ln2", "feed_forward_norm", "resid_post", x, (ys) => ys.map(
        (y) => this.feedForward(record, name, `${module}.feed_forward`, y, off)));
    }

    stack(record, stack, rows, memory, off) {
      let x = rows;
      for (let i = 0; i < this.config.n_layers; i += 1) x = this.layer(record, stack, i, x, memory, off);
      if (!this.config.norm_first) return x;
      return x.map((row) => {
        const y = this.norm(row, `${stack}_norm`);
        keep(record, `${stack}.ln_final`, y);
        return y;
      });
    }

    // Read the source; `off` may name layers (decoder.blocks.1), feed-forwards
    // (decoder.blocks.1.mlp) and heads (decoder.blocks.1.cross.3).
    read(ids, off = new Set()) {
      const { max_length: limit } = this.config;
      if (ids.length > limit) throw new RangeError(`${ids.length} tokens came and the model takes ${limit}`);
      const record = {};
      const rows = ids.map((id, i) => this.embed(record, "encoder", id, i));
      const memory = this.stack(record, "encoder", rows, null, off);
      return { record, memory, off, source: ids, target: [], logits: [] };
    }

    // Give the decoder its next token; the logits of the one after it are kept too.
    take(run, id) {
      const x = this.embed(run.record, "decoder", id, run.target.length);
      run.target.push(id);
      const [hidden] = this.stack(run.record, "decoder", [x], run.memory, run.off);
      const logits = linear(hidden, this.weights["token.weight"], null);
      run.logits.push(logits);
      return logits;
    }

    // Write the likeliest token again and again, as Transformer.generate does.
    write(ids, off) {
      const { bos, eos, max_length: limit } = this.config;
      const run = this.read(ids, off);
      const written = [bos];
      while (written.length < limit && written.at(-1) !== eos) {
        const logits = this.take(run, written.at(-1));
        written.push(logits.reduce((best, value, id) => (value > logits[best] ? id : best), 0));
      }
      run.written = written.slice(1);
      return run;
    }
  }

  const keep = (record, name, row) => (record[name] ??= []).push(row);
  const keepOfHead = (record, name, head, row) => ((record[name] ??= [])[head] ??= []).push(row);

  // How many samples [source, target, direction] come out right, one after the other,
  // so that a page can stop in between. Gives { direction: { right, of } } after each.
  function* measure(model, pieces, samples, off) {
    const counts = {};
    for (const [source, target, direction] of samples) {
      const said = pieces.decode(model.write(pieces.encode(source), off).written);
      const count = (counts[direction] ??= { right: 0, of: 0 });
      count.of += 1;
      count.right += said === target;
      yield counts;
    }
  }

  const transformer = { Translator, softmax, measure };
  if (typeof module === "object") module.exports = transformer;
  else Object.assign((globalThis.bookLive ??= {}).pure ??= {}, { transformer });
})();
