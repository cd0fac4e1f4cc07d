"""The translator in the page computes what PyTorch computes, number by number.

The golden cases are written here, from a model trained as chapter 05 does in the smoke
profile and rounded to what the page gets. JavaScript sums in float64, PyTorch in
float32: logits of about ten then differ by some 1e-6, far below 1e-4.
"""

import random

import pytest
import torch

from lib.attention import translation as task
from lib.attention.export import halves, reader, rounded
from lib.attention.transformer import Transformer, TransformerConfig
from lib.page.live import plain
from lib.trace.recorder import trace
from lib.training.loop import Recipe, fit, token_loss
from tests.live.node import computed

LAYERS = [f"{stack}.blocks.{i}" for stack in ("encoder", "decoder") for i in (0, 1)]

#: What a page does, under Node.
PROGRAM = """
const { revive } = require("./common/arrays.js");
const { Pieces } = require("./translator/pieces.js");
const { Translator, measure } = require("./translator/model.js");
const pieces = new Pieces(input.reader);
const model = new Translator(input.reader.config, revive(input.weights));
const rows = (value) => (value instanceof Float32Array ? [...value] : value.map(rows));
output = {
  texts: input.texts.map((text) => pieces.unknown(text) ?? pieces.encode(text)),
  runs: input.runs.map(({ source, target, off, names, masks }) => {
    model.masks = Object.fromEntries(Object.entries(masks ?? {}).map(
      ([name, rows]) => [name, (query, key) => rows[query][key]]));
    const run = model.write(source, new Set(off ?? []));
    const forced = model.read(source, new Set(off ?? []));
    for (const id of target) model.take(forced, id);
    return {
      written: run.written, said: pieces.decode(run.written),
      logits: rows(forced.logits),
      tensors: Object.fromEntries((names ?? []).map(
        (name) => [name, rows(forced.record[name] ?? [])])),
    };
  }),
  counts: [...measure(model, pieces, input.samples ?? [], new Set(input.off))].at(-1),
};
"""


def loss(model, batch):
    logits = model(batch["source"], batch["target"][:, :-1])
    return token_loss(logits, batch["target"][:, 1:], ignore=task.PAD, smoothing=0.1)


@pytest.fixture(scope="module")
def tokenizer():
    return task.build_tokenizer(vocab_size=1000)


def fresh(tokenizer, norm_first=True):
    torch.manual_seed(0)
    return Transformer(TransformerConfig(
        tokenizer.get_vocab_size(), d_model=32, n_heads=4, n_layers=2, max_length=24,
        dropout=0.0, norm_first=norm_first))


@pytest.fixture(scope="module")
def model(tokenizer):
    """The model of the smoke profile."""
    model = fresh(tokenizer)
    recipe = Recipe(steps=40, batch=32, learning_rate=4e-3, warmup=10, seed=0)
    supply = task.batches(tokenizer, 32, torch.Generator().manual_seed(0))
    fit(model, supply, recipe, loss=loss, name="smoke")
    return rounded(model.config, model.state_dict())


def ask(model, tokenizer, texts=(), runs=(), **more):
    """What the scripts answer under Node."""
    return computed(PROGRAM, {
        "reader": reader(model.config, tokenizer),
        "weights": plain(halves(model.state_dict())),
        "texts": list(texts), "runs": list(runs), **more})


def silence(model, names):
    """Switch parts of a PyTorch model off: heads as chapter 05 does, feed-forwards to
    0, layers to nothing added. Gives the hooks."""
    def without(heads, size):
        def hook(_, args):
            z = args[0].clone()
            for head in heads:
                z[..., head * size : (head + 1) * size] = 0
            return (z,)
        return hook

    hooks = []
    for name in names:
        stack, _, layer, *part = name.split(".")
        block = getattr(model, stack)[int(layer)]
        if not part:
            hooks.append(block.register_forward_hook(lambda _, args, out: args[0]))
        elif part == ["mlp"]:
            hooks.append(block.feed_forward.register_forward_hook(
                lambda _, args, out: torch.zeros_like(out)))
        else:
            module = block.attention if part[0] == "attn" else block.cross_attention
            hooks.append(module.output.register_forward_pre_hook(
                without([int(part[1])], model.config.d_model // model.config.n_heads)))
    return hooks


def inputs(tokenizer, count):
    """Sources and targets of unseen values of both kinds, half of the targets wrong."""
    pairs = [pair for kind in task.KINDS
             for pair in task.unseen(kind, count // 2, seed=9)]
    batch = task.collate(pairs, tokenizer)
    noise = torch.randint(4, tokenizer.get_vocab_size(), batch["target"].shape,
                          generator=torch.Generator().manual_seed(1))
    batch["target"][::2, 1:] = torch.where(
        batch["target"][::2, 1:] == task.PAD, task.PAD, noise[::2, 1:])
    return batch


def real(row):
    return [token for token in row if token != task.PAD]


def test_ids_are_those_of_the_tokenizer_and_an_unknown_letter_is_named(tokenizer):
    chosen = random.Random(0)
    letters = [*map(tokenizer.id_to_token, range(4, tokenizer.get_vocab_size()))]
    texts = [text for pair in task.sample(300, torch.Generator().manual_seed(3))
             for text in (pair.source, pair.target)]
    texts += ["".join(chosen.choices([*letters, "e", "b", "r", "Ma"], k=8))
              for _ in range(700)]
    texts += ["", "<eos>", "May  5", "3월\n", "Xmas", "12,345😀", "ㅁarch", "a\u0301"]
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(len(letters) + 4, d_model=8, n_heads=2))
    for text, answer in zip(texts, ask(model, tokenizer, texts)["texts"], strict=True):
        unknown = [c for c in text if tokenizer.token_to_id(c) is None]
        if unknown:
            assert answer == unknown[0]
            with pytest.raises(ValueError):
                task.ids_of(tokenizer, [text])
        else:
            assert [answer] == task.ids_of(tokenizer, [text])


def test_logits_and_greedy_answers_are_those_of_pytorch_on_200_inputs(model, tokenizer):
    batch = inputs(tokenizer, 200)
    with torch.no_grad():
        logits = model(batch["source"], batch["target"])
    written = model.generate(batch["source"])[:, 1:].tolist()
    runs = [{"source": real(source), "target": real(target)} for source, target in
            zip(batch["source"].tolist(), batch["target"].tolist(), strict=True)]
    answers = ask(model, tokenizer, runs=runs)["runs"]
    for i, (run, answer) in enumerate(zip(runs, answers, strict=True)):
        ours = torch.tensor(answer["logits"])
        assert (ours - logits[i, : len(run["target"])]).abs().max() < 1e-4
        assert answer["written"] == written[i][: len(answer["written"])]
        assert answer["said"] == task.decode(tokenizer, torch.tensor([written[i]]))[0]


@pytest.mark.parametrize("norm_first", [True, False])
def test_every_tensor_has_the_name_and_the_numbers_of_the_trace(norm_first, tokenizer):
    """Also with the paper's order, the norm after the sum."""
    model = fresh(tokenizer, norm_first)
    model = rounded(model.config, model.state_dict())
    pair = task.make_pair("number", 12_345, korean=True)
    batch = task.collate([pair], tokenizer)
    run = {name: ids[0].tolist() for name, ids in batch.items()}
    with torch.no_grad(), trace(model) as traced:
        model(batch["source"], batch["target"])
    names = [name for name in traced if name not in ("embed", "encoder.embed",
                                                     "decoder.embed")]
    [answer] = ask(model, tokenizer, runs=[{**run, "names": names}])["runs"]
    assert {f"{layer}.{part}" for layer in LAYERS
            for part in ("attn.q", "attn.scores", "mlp.post", "resid_post")} <= {*names}
    for name in names:
        theirs, ours = traced[name][0], answer["tensors"][name]
        if name.endswith((".scores", ".pattern")):  # a row ends where its mask begins
            for head, rows in zip(theirs, ours, strict=True):
                for row, own in zip(head, rows, strict=True):
                    own = torch.tensor(own, dtype=torch.float32)
                    assert torch.allclose(row[: len(own)], own, atol=1e-4), name
        else:
            if theirs.dim() == 3:  # heads side by side
                theirs = theirs.transpose(0, 1).flatten(1)
            assert torch.allclose(theirs, torch.tensor(ours, dtype=torch.float32),
                                  atol=1e-4), name


OFF = [[layer] for layer in LAYERS] + [
    ["encoder.blocks.1.attn.0", "encoder.blocks.1.attn.3"],
    ["decoder.blocks.0.cross.2"],
    ["decoder.blocks.1.attn.1", "decoder.blocks.0.mlp"], ["encoder.blocks.0.mlp"]]


def test_what_is_switched_off_is_off_as_in_pytorch(model, tokenizer):
    batch = inputs(tokenizer, 2 * len(OFF))
    sources, targets = (batch[name].tolist() for name in ("source", "target"))
    runs = [{"source": real(source), "target": real(target), "off": off}
            for source, target, off in zip(sources, targets, OFF * 2, strict=True)]
    answers = ask(model, tokenizer, runs=runs)["runs"]
    with torch.no_grad():
        whole = model(batch["source"], batch["target"])
    for i, (run, answer) in enumerate(zip(runs, answers, strict=True)):
        hooks = silence(model, run["off"])
        with torch.no_grad():
            logits = model(batch["source"], batch["target"])[i, : len(run["target"])]
        for hook in hooks:
            hook.remove()
        assert (logits - torch.tensor(answer["logits"])).abs().max() < 1e-4
        assert (logits - whole[i, : len(run["target"])]).abs().max() > 1e-3, run["off"]


def test_a_painted_mask_hides_what_it_hides_in_pytorch(model, tokenizer):
    batch = task.collate([task.make_pair("number", 12_345, korean=True)], tokenizer)
    source, target = batch["source"], batch["target"]
    n = source.shape[1]
    painted = torch.rand(n, n, generator=torch.Generator().manual_seed(2)) < 0.6
    painted[2] = False  # one looks nowhere
    with torch.no_grad():
        whole = model(source, target)[0]
        x = model.embed(source)
        for layer in model.encoder:
            x = layer(x, painted)
        hidden = model.decode(target, model.encoder_norm(x), source)
        logits = (hidden @ model.token.weight.T)[0]
    masks = {f"encoder.blocks.{i}.attn": painted.tolist() for i in (0, 1)}
    [answer] = ask(model, tokenizer, runs=[{
        "source": source[0].tolist(), "target": target[0].tolist(), "masks": masks}])[
            "runs"]
    assert (torch.tensor(answer["logits"]) - logits).abs().max() < 1e-4
    assert (whole - logits).abs().max() > 1e-2


def test_the_share_of_right_answers_is_that_of_pytorch_with_parts_off(tokenizer):
    """A table of what the model says, so that some of its answers are right ones."""
    torch.manual_seed(0)
    config = TransformerConfig(tokenizer.get_vocab_size(), d_model=16, n_heads=2,
                               n_layers=1, max_length=24, norm_first=True)
    model = rounded(config, Transformer(config).state_dict())
    pairs = task.unseen("number", 8, seed=4) + task.unseen("date", 8, seed=4)
    said = task.translate(model, tokenizer, [pair.source for pair in pairs])
    asked = [[pair.source, text, pair.direction]
             for pair, text in zip(pairs, said, strict=True)]
    off = ["decoder.blocks.0.cross.1"]
    hooks = silence(model, off)
    now = task.translate(model, tokenizer, [pair.source for pair in pairs])
    for hook in hooks:
        hook.remove()
    assert 0 < sum(a == b for a, b in zip(said, now, strict=True)) < len(pairs)
    for parts, answers in (([], said), (off, now)):
        expected = {}
        for (_, target, direction), text in zip(asked, answers, strict=True):
            count = expected.setdefault(direction, {"right": 0, "of": 0})
            count["of"] += 1
            count["right"] += text == target
        assert ask(model, tokenizer, samples=asked, off=parts)["counts"] == expected
