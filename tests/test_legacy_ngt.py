"""Files of the original NGT: its logits, its older layouts, and what is refused."""

import json
import os
import pickle

import pytest
import torch
from real_data import canonical

from lib.checkpoint import CheckpointError, load_model
from lib.legacy_ngt import LegacyConfig, LegacyError, LegacyModel, read
from lib.text_tokenizers import BpeTokens, CharTokens

NAMES = ("ngt_hard_rsqrt", "ngt_mass_in_value", "ngt_soft", "ngt_without_mass",
         "vanilla")


def original(name):
    """One of the five files that the original program wrote."""
    return canonical("legacy_ngt") / name


def reference(name):
    told = json.loads(original("reference_logits.json").read_text())[name]
    rows = torch.tensor([told["logits_first_row"], told["logits_last_row"]])
    return torch.tensor([told["input_ids"]]), rows


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_the_original_program(name):
    model, tokens, told = load_model(original(f"{name}.pt"))
    ids, expected = reference(name)
    logits = model(ids)
    assert logits.shape == (1, 64, 65)
    # float32, two layers: rounding alone is about 2e-6
    torch.testing.assert_close(logits[0, [0, -1]], expected, atol=1e-5, rtol=0)
    assert not model.training
    assert told["model"]["d_coord"] == (None if name == "vanilla" else 8)
    assert told["step"] == 50
    assert isinstance(tokens, CharTokens)
    assert tokens.encode("\n !") == [0, 1, 2]
    assert tokens.decode(range(65)) == tokens.characters


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_changes_no_logit_before_it(name):
    model, _, _ = load_model(original(f"{name}.pt"))
    ids, _ = reference(name)
    other = ids.clone()
    other[:, 40:] = (other[:, 40:] + 7) % 65
    before, after = model(ids), model(other)
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.equal(before[:, 40:], after[:, 40:])


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_holds_coordinates_and_masses_of_each_layer(name):
    model, _, _ = load_model(original(f"{name}.pt"))
    ids, _ = reference(name)
    logits, layers = model.trace(ids)
    assert torch.equal(logits, model(ids))
    assert len(layers) == 2
    if name == "vanilla":
        assert layers[0] == {"z": None, "mass": None}
        return
    assert [tuple(layer["z"].shape) for layer in layers] == [(1, 64, 8)] * 2
    assert not torch.equal(layers[0]["z"], layers[1]["z"])
    mass = layers[0]["mass"]
    assert (mass > 0).all()
    assert (mass == 1).all() == (name == "ngt_without_mass")


# ---- layouts that no file of the mirror has


SIZES = {"vocab_size": 5, "max_seq_len": 6, "hidden_dim": 8, "num_layers": 2,
         "num_heads": 2, "mlp_dim": 12, "coord_dim": 4}
VOCAB = {"type": "char", "stoi": {c: i for i, c in enumerate("abcde")}}


def made(moved_by="output", cutoff="none", d_coord=4, **more):
    """A model with random weights, all of them far from 0."""
    config = LegacyConfig(vocab=5, context=6, d_model=8, n_layers=2, n_heads=2,
                          d_ff=12, d_coord=d_coord, place=3, moved_by=moved_by,
                          cutoff=cutoff, **more)
    model = LegacyModel(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.7)
    return model


def written(folder, model=None, options=None, vocab=VOCAB, without=(), **changed):
    state = (model or made()).state_dict() | changed
    state = {k: v for k, v in state.items()
             if not any(k.endswith(end) for end in without)}
    file = folder / "made.pt"
    options = SIZES | {"use_radius_cutoff": False} if options is None else options
    torch.save({"model_state": state, "iter": 7, "best_val": 1.5, "config": options,
                "vocab": vocab}, file)
    return file


IDS = torch.tensor([[0, 3, 1, 4, 2]])


def test_older_files_move_coordinates_by_themselves(tmp_path):
    model = made("coordinates")
    assert model.layers[0].attn.coord_proj_next.weight.shape == (4, 4)
    again, _, told = load_model(written(tmp_path, model))
    assert told["model"]["moved_by"] == "coordinates"
    _, layers = again.trace(IDS)
    first = model.layers[0]
    z = model.coord_emb.weight[None, :5]
    moved = first.coord_norm(z + z @ first.attn.coord_proj_next.weight.T
                             + first.attn.coord_proj_next.bias)
    torch.testing.assert_close(layers[1]["z"], moved)
    torch.testing.assert_close(again(IDS), model(IDS))
    newer, _, told = load_model(written(tmp_path, made()))
    assert told["model"]["moved_by"] == "output"
    assert not torch.allclose(newer(IDS), model(IDS))


def test_what_older_files_lack_makes_no_difference(tmp_path):
    model = made()
    with torch.no_grad():
        for layer in model.layers:
            layer.attn.gravity_bias.zero_()
        model.mass_emb.weight.fill_(0.541324854612918)  # softplus of it is 1
    file = written(tmp_path, model,
                   without=("mass_emb.weight", "gravity_bias", "radius_param"))
    torch.testing.assert_close(load_model(file)[0](IDS), model(IDS))


@pytest.mark.parametrize("cutoff", ["none", "hard", "soft"])
@pytest.mark.parametrize("in_value", [False, True])
def test_the_logits_are_those_of_the_formula(cutoff, in_value):
    model = made(cutoff=cutoff, mass_in_value=in_value).double()
    attention = model.layers[0].attn
    with torch.no_grad():
        attention.radius_param.fill_(1.5)
    z = torch.randn(1, 5, 4, dtype=torch.float64,
                    generator=torch.Generator().manual_seed(1))
    mass = torch.tensor([[0.5, 1.0, 2.0, 1.5, 0.7]], dtype=torch.float64)
    came = attention.logits(z, mass)
    place = attention.coord_proj_attn(z)[0].reshape(5, 2, 3)
    radius = attention.radius_param.exp().log1p()
    cut = 0
    for h in range(2):
        gamma = attention.gamma.flatten()[h].exp().log1p()
        beta = attention.gravity_bias.flatten()[h]
        for i in range(5):
            for j in range(5):
                d2 = ((place[i, h] - place[j, h]) ** 2).sum()
                logit = -gamma / (d2 + 1e-6) + beta
                if not in_value:
                    logit = logit * mass[0, i] * mass[0, j]
                beyond = d2 > radius**2
                cut += bool(beyond)
                if cutoff == "hard" and beyond:
                    logit = torch.tensor(-torch.inf, dtype=torch.float64)
                if cutoff == "soft":
                    logit = logit * max(0, 1 - d2 / radius**2)
                torch.testing.assert_close(came[0, h, i, j], logit)
    assert 0 < cut < 50


def test_the_kind_comes_from_the_configuration(tmp_path):
    vanilla = made(d_coord=None)
    options = {k: v for k, v in SIZES.items() if k != "coord_dim"}
    model, _, told = load_model(written(tmp_path, vanilla, options))
    assert model.config.attention == "dot"
    assert told["kind"] == "legacy_ngt"
    torch.testing.assert_close(model(IDS), vanilla(IDS))
    named = SIZES | {"model_type": "vanilla"}  # wins over coord_dim
    assert load_model(written(tmp_path, vanilla, named))[0].config.d_coord is None


def test_a_bpe_vocabulary_is_read(tmp_path):
    bpe = BpeTokens.train("low lower lowest " * 9, vocab=262)
    vocab = {"type": "bpe", "tokenizer_json": bpe.to_json()["tokenizer"]}
    wide = LegacyModel(LegacyConfig(vocab=bpe.vocab, context=6, d_model=8, n_layers=2,
                                    n_heads=2, d_ff=12, d_coord=4))
    options = SIZES | {"vocab_size": bpe.vocab}
    _, tokens, _ = load_model(written(tmp_path, wide, options, vocab))
    assert tokens.encode("lower 낮") == bpe.encode("lower 낮")


def test_more_tokens_than_the_context_are_refused(tmp_path):
    model, _, _ = load_model(written(tmp_path))
    with pytest.raises(ValueError, match="7 tokens came, the model was built for 6"):
        model(torch.zeros(1, 7, dtype=torch.long))


# ---- what is refused


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"echo ran > '{self.file}'",)


def evil(folder, how, mark):
    file = folder / "evil.pt"
    if how == "zip":
        content = torch.load(written(folder), weights_only=True)
        torch.save(content | {"extra": Evil(mark)}, file)
    elif how == "old torch":
        torch.save({"model_state": Evil(mark)}, file,
                   _use_new_zipfile_serialization=False)
    else:
        file.write_bytes(pickle.dumps(Evil(mark), protocol=int(how)))
    return file


@pytest.mark.parametrize("how", ["zip", "old torch", "0", "2", "5"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, how):
    mark = tmp_path / "mark"
    file = evil(tmp_path, how, mark)
    with pytest.raises(CheckpointError) as refused:
        load_model(file)
    assert not mark.exists()
    said = str(refused.value)
    assert "\n" not in said
    assert str(file) in said
    if how != "5":  # an opcode that torch does not read at all
        assert "asks for posix.system, which is code" in said or "nt.system" in said
    # and it is a real one: plain pickle runs it
    if how in "025":
        pickle.loads(file.read_bytes())
        assert mark.exists()


def cut_off(folder):
    file = written(folder)
    file.write_bytes(file.read_bytes()[:-200])
    return file


def text(folder):
    file = folder / "notes.pt"
    file.write_text("not a checkpoint at all")
    return file


def empty(folder):
    file = folder / "empty.pt"
    file.touch()
    return file


def other(folder):
    torch.save({"weight": torch.ones(2)}, folder / "other.pt")
    return folder / "other.pt"


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda folder: folder / "nowhere.pt", "there is no checkpoint at .*nowhere"),
        (lambda folder: folder, "there is no checkpoint in .*checkpoint.json is miss"),
        (cut_off, "made.pt cannot be used: it is damaged, or no file of torch.save"),
        (text, "notes.pt cannot be used: it is damaged, or no file of torch.save"),
        (empty, "empty.pt cannot be used: it is damaged, or no file of torch.save"),
        (other, "other.pt cannot be used: it has no model_state, as the original's"),
        (lambda f: written(f, options=SIZES | {"num_heads": 3}),
         "its hidden_dim is not a multiple of num_heads; train again, or name"),
        (lambda f: written(f, options=SIZES | {"num_layers": 10**12}),
         "it holds 2 layers and its num_layers is 1000000000000"),
        (lambda f: written(f, options=SIZES | {"max_seq_len": 10**12}),
         r"its coord_emb.weight is \(6, 4\) and its configuration asks for \(10000"),
        (lambda f: written(f, options=SIZES | {"mlp_dim": "wide"}),
         "its mlp_dim is 'wide' and should be a size"),
        (lambda f: written(f, options={}), "its vocab_size is None and should be a"),
        (lambda f: written(f, without=("v_proj.weight",)),
         "it has no layers.0.attn.v_proj.weight"),
        (lambda f: written(f, strange=torch.ones(1)), "it holds strange, which no"),
        (lambda f: written(f, strange=3), "its strange holds no decimal numbers"),
        (lambda f: written(f, vocab={"stoi": {"a": 3}}), "does not number characters"),
        (lambda f: written(f, vocab={"type": "words"}), "its tokenizer 'words' is"),
        (lambda f: written(f, vocab={"type": "bpe", "tokenizer_json": "{"}),
         "its BPE tokenizer is damaged"),
        (lambda f: written(f, vocab={"stoi": dict(zip("abcdef", range(6),
                                                      strict=True))}),
         "its tokenizer has 6 tokens and its model 5"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, make, sentence):
    with pytest.raises(CheckpointError, match=sentence) as refused:
        load_model(make(tmp_path))
    assert "\n" not in str(refused.value)


def test_every_cut_and_every_flipped_byte_is_read_or_refused(tmp_path):
    data = written(tmp_path).read_bytes()
    generator = torch.Generator().manual_seed(3)
    file = tmp_path / "damaged.pt"
    for n in torch.randint(len(data), (60,), generator=generator).tolist():
        changed = bytearray(data)
        changed[n] ^= 0x40
        for content in (data[:n], bytes(changed)):
            file.write_bytes(content)
            try:
                assert read(file)[0](IDS).shape == (1, 5, 5)
            except LegacyError as error:
                assert "\n" not in str(error)
