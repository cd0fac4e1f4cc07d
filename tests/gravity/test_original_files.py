"""Files of the original NGT: its logits, its versions, and what is refused.

The files are written by `tests/legacy_files.py` from the description of the format.
Those that the original program itself wrote are read as well, where they are.
"""

import json
import os
import pickle

import pytest
import torch
from real_data import canonical

from lib.gravity.load import load_model
from lib.gravity.original_files import LegacyError, read
from lib.gravity.original_model import LegacyConfig, LegacyModel
from lib.gravity.tokenizers import BpeTokens
from lib.training.checkpoint import CheckpointError
from tests import legacy_files
from tests.legacy_files import CHARACTERS, VERSIONS, config_of, weights_of, write

IDS = [0, 3, 1, 6, 4, 2, 5, 0, 1, 1, 3, 6]


# ---- the original's own files, where they are


NAMES = ("ngt_hard_rsqrt", "ngt_mass_in_value", "ngt_soft", "ngt_without_mass",
         "vanilla")


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_the_original_program(name):
    kept = json.loads(canonical("legacy_ngt/reference_logits.json").read_text())[name]
    rows = torch.tensor([kept["logits_first_row"], kept["logits_last_row"]])
    model, tokens, told = load_model(canonical(f"legacy_ngt/{name}.pt"))
    logits = model(torch.tensor([kept["input_ids"]]))
    assert logits.shape == (1, 64, 65)
    # float32, two layers: rounding alone is about 2e-6
    torch.testing.assert_close(logits[0, [0, -1]], rows, atol=1e-5, rtol=0)
    assert told["model"]["d_coord"] == (None if name == "vanilla" else 8)
    assert told["step"] == 50
    assert tokens.encode("\n !") == [0, 1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_our_reference_computes_what_the_original_program_did(name):
    kept = json.loads(canonical("legacy_ngt/reference_logits.json").read_text())[name]
    held = torch.load(canonical(f"legacy_ngt/{name}.pt"), weights_only=True)
    ids = kept["input_ids"][:6]
    logits, _ = legacy_files.reference(name, held["config"], held["model_state"], ids)
    first = torch.tensor(kept["logits_first_row"], dtype=torch.float64)
    torch.testing.assert_close(logits[0], first, atol=1e-5, rtol=0)
    names = {k for k in held["model_state"] if not k.startswith("layers.1.")}
    assert names == {k for k in weights_of(name, config_of(name))
                     if not k.startswith("layers.1.")}


# ---- files of every version


def loaded(folder, name, **sizes):
    """The model of a written file in float64, what was written, and what it tells."""
    config = config_of(name, **sizes)
    state = weights_of(name, config)
    model, tokens, about = load_model(write(folder / "file.pt", name, state, **sizes))
    assert not model.training
    assert tokens.characters == CHARACTERS
    assert (about["kind"], about["step"]) == ("legacy_ngt", 50)
    return model.double(), config, state, about


@pytest.mark.parametrize("name", VERSIONS)
def test_the_logits_are_those_of_the_description(tmp_path, name):
    model, config, state, _ = loaded(tmp_path, name)
    logits, layers = model.trace(torch.tensor([IDS]))
    expected, coordinates = legacy_files.reference(name, config, state, IDS)
    # in float64; a mass that is not in the file is 1 to the precision of float32
    torch.testing.assert_close(logits[0], expected, atol=1e-8, rtol=0)
    for layer, z in zip(layers, coordinates, strict=False):
        torch.testing.assert_close(layer["z"][0], z, atol=1e-8, rtol=0)
    if name == "vanilla":
        assert layers == [{"z": None, "mass": None}] * 2
    else:
        assert not torch.equal(layers[0]["z"], layers[1]["z"])
        bare = name in ("ngt_without_mass", "ngt_january")
        assert ((layers[0]["mass"] - 1).abs().max() < 1e-6) == bare


def test_a_cutoff_really_cuts(tmp_path):
    for name in ("ngt_soft", "ngt_hard_rsqrt"):
        model, config, state, _ = loaded(tmp_path, name)
        off = config | {"use_radius_cutoff": False}
        uncut, _ = legacy_files.reference(name, off, state, IDS)
        assert (model(torch.tensor([IDS]))[0] - uncut).abs().max() > 0.01


def test_in_january_the_attentions_input_moved_the_coordinates(tmp_path):
    model, _, state, about = loaded(tmp_path, "ngt_january")
    assert about["model"]["moved_by"] == "input"
    later = {k: v for k, v in state.items()}
    for n in range(2):
        later[f"layers.{n}.attn.gravity_bias"] = torch.zeros(1, 2, 1, 1)
    file = write(tmp_path / "later.pt", "ngt_mass_in_value", later, mass_in_value=False)
    other, _, about = load_model(file)
    assert about["model"]["moved_by"] == "output"
    ids = torch.tensor([IDS])
    assert (model(ids) - other.double()(ids)).abs().max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ngt_sparse", "ngt_sparse_soft"])
def test_the_sparse_pattern_sees_64_and_four_far_ones(tmp_path, name):
    sizes = {"max_seq_len": 270, "num_layers": 1, "num_heads": 1}
    model, config, state, about = loaded(tmp_path, name, **sizes)
    assert about["model"]["sparse"] is True
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(7, (262,), generator=generator).tolist()
    expected, _ = legacy_files.reference(name, config, state, ids)
    torch.testing.assert_close(model(torch.tensor([ids]))[0], expected,
                               atol=1e-9, rtol=0)
    # with one layer, the last token depends on these places and no others
    leaves = model.token_emb(torch.tensor([ids])).detach().requires_grad_()
    z = model.coord_emb.weight[:262].expand(1, -1, -1)
    mass = torch.ones(1, 262, dtype=torch.float64)
    model.layers[0](leaves, z, mass)[0][0, -1].sum().backward()
    back = 261 - leaves.grad[0].abs().sum(-1).nonzero().flatten()
    assert sorted(back.tolist()) == [*range(65), 96, 128, 192, 256]


def test_older_files_move_coordinates_by_themselves(tmp_path):
    config = LegacyConfig(vocab=7, context=12, d_model=8, n_layers=2, n_heads=2,
                          d_ff=12, d_coord=6, moved_by="coordinates")
    torch.manual_seed(5)
    model = LegacyModel(config)
    assert model.layers[0].attn.coord_proj_next.weight.shape == (6, 6)
    file = write(tmp_path / "older.pt", state=model.state_dict(), mass_in_value=False)
    again, _, about = load_model(file)
    assert about["model"]["moved_by"] == "coordinates"
    _, layers = again.trace(torch.tensor([IDS]))
    first = model.layers[0]
    z = model.coord_emb.weight[None]
    moved = first.coord_norm(z + z @ first.attn.coord_proj_next.weight.T
                             + first.attn.coord_proj_next.bias)
    torch.testing.assert_close(layers[1]["z"], moved)


@pytest.mark.parametrize("name", VERSIONS)
def test_what_comes_changes_no_logit_before_it(tmp_path, name):
    model, *_ = loaded(tmp_path, name)
    ids = torch.tensor([IDS])
    other = ids.clone()
    other[:, 7:] = (other[:, 7:] + 3) % 7
    before, after = model(ids), model(other)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


def test_a_radius_that_is_not_there_is_the_one_it_began_with(tmp_path):
    config = config_of("ngt_soft")
    state = weights_of("ngt_soft", config)
    for key in [key for key in state if key.endswith("radius_param")]:
        del state[key]
    model, _, _ = load_model(write(tmp_path / "file.pt", "ngt_soft", state))
    filled = state | {f"layers.{n}.attn.radius_param": torch.tensor(4.0)
                      for n in range(2)}
    expected, _ = legacy_files.reference("ngt_soft", config, filled, IDS)
    torch.testing.assert_close(model.double()(torch.tensor([IDS]))[0], expected)


@pytest.mark.parametrize("wrap", [
    lambda name: "_orig_mod." + name,
    lambda name: "module." + name,
    lambda name: "module._orig_mod." + name,
    lambda name: name.replace("layers.0.", "layers.0._orig_mod."),
], ids=["compiled", "wrapped", "both", "layer by layer"])
def test_weights_of_a_compiled_or_wrapped_model_are_read(tmp_path, wrap):
    model, _, state, _ = loaded(tmp_path, "ngt_soft")
    wrapped = {wrap(name): weight for name, weight in state.items()}
    again, *_ = load_model(write(tmp_path / "wrapped.pt", "ngt_soft", wrapped))
    assert torch.equal(again.double()(torch.tensor([IDS])), model(torch.tensor([IDS])))


def test_the_kind_comes_from_the_configuration(tmp_path):
    model, _, state, _ = loaded(tmp_path, "vanilla")
    assert model.config.attention == "dot"
    file = write(tmp_path / "named.pt", "vanilla", state, model_type="vanilla",
                 coord_dim=6)  # the name wins
    assert load_model(file)[0].config.d_coord is None


def test_a_bpe_vocabulary_is_read(tmp_path):
    bpe = BpeTokens.train("low lower lowest " * 9, vocab=262)
    vocab = {"type": "bpe", "tokenizer_json": bpe.to_json()["tokenizer"]}
    file = write(tmp_path / "bpe.pt", vocab=vocab, vocab_size=bpe.vocab)
    assert load_model(file)[1].encode("lower 낮") == bpe.encode("lower 낮")


def test_more_tokens_than_the_context_are_refused(tmp_path):
    model, *_ = loaded(tmp_path, "ngt_soft")
    with pytest.raises(ValueError, match="13 tokens came, the model was built for 12"):
        model(torch.zeros(1, 13, dtype=torch.long))


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
        content = torch.load(write(folder / "made.pt"), weights_only=True)
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
    file = write(folder / "made.pt")
    file.write_bytes(file.read_bytes()[:-200])
    return file


def with_bytes(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name
    return make


def saved(content):
    def make(folder):
        torch.save(content, folder / "other.pt")
        return folder / "other.pt"
    return make


def scripted(folder):
    torch.jit.script(torch.nn.Linear(2, 2)).save(folder / "other.pt")
    return folder / "other.pt"


def safetensors(folder):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, folder / "model.safetensors")
    return folder / "model.safetensors"


def of(name="ngt_soft", without=(), plus=None, vocab=None, **config):
    """A file of a version with something wrong in it."""
    def make(folder):
        sizes = {k: v for k, v in config.items() if k in ("hidden_dim", "coord_dim")}
        state = {k: v for k, v in weights_of(name, config_of(name) | sizes).items()
                 if not k.endswith(tuple(without))} | (plus or {})
        return write(folder / "made.pt", name, state, vocab, **config)
    return make


LETTERS = dict(zip("abcdefgh", range(8), strict=True))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda folder: folder / "nowhere.pt", "there is no checkpoint at .*nowhere"),
        (lambda folder: folder, "there is no checkpoint in .*checkpoint.json is miss"),
        (cut_off, "made.pt cannot be used: it is damaged, or no file of torch.save"),
        (with_bytes("notes.pt", b"not a checkpoint at all"), "it is damaged, or no"),
        (with_bytes("empty.pt", b""), "it is damaged, or no file of torch.save"),
        # other programs' files
        (saved({"weight": torch.ones(2)}), "no model_state, .* holds weights alone"),
        (saved({"state_dict": {}, "pytorch-lightning_version": "2.5"}),
         "it has no model_state, as the original's files have; PyTorch Light"),
        (saved({"model": {}, "optimizer": {}, "iter_num": 3}),
         "it has no model_state, .* holds model, optimizer, iter_num"),
        (saved([1, 2]), "it has no model_state, .*; it holds a list"),
        (saved(torch.nn.Linear(2, 2)), "asks for torch.nn.modules.linear.Linear,"),
        (scripted, "other.pt cannot be used: it is a program of TorchScript"),
        (safetensors, "model.safetensors holds tensors alone; name the folder of a"),
        # versions that are not known
        (of(use_sparse_pattern=True, sparse_window=32),
         "its configuration has sparse_window, from a version .* is not known here"),
        (of(gravity_sign=1), "has gravity_sign, from a version of the original"),
        (of("vanilla", use_sparse_pattern=True), "a vanilla model with use_sparse"),
        (of(use_soft_cutoff="no"), "its use_soft_cutoff is 'no' and should be True or"),
        (of("ngt_january", coord_dim=8), "no gravity_bias and its coord_dim is its"),
        (of(without=["layers.1.attn.gravity_bias"]), "no layers.1.attn.gravity_bias"),
        (of(plus={"module.norm.bias": torch.ones(8)}), "holds norm.bias twice, once"),
        # parts that do not fit
        (of(num_heads=3), "its hidden_dim is not a multiple of num_heads; train again"),
        (of(num_layers=10**12), "it holds 2 layers and its num_layers is 10000000000"),
        (of(max_seq_len=10**12),
         r"its coord_emb.weight is \(12, 6\) and its configuration asks for \(10000"),
        (of(mlp_dim="wide"), "its mlp_dim is 'wide' and should be a size"),
        (of(vocab_size=None), "its vocab_size is None and should be a size"),
        (of(without=["v_proj.weight"]), "it has no layers.0.attn.v_proj.weight"),
        (of(plus={"strange": torch.ones(1)}), "it holds strange, which no such model"),
        (of(plus={"strange": 3}), "its strange holds no decimal numbers"),
        (of(vocab={"stoi": {"a": 3}}), "does not number characters"),
        (of(vocab={"type": "words"}), "its tokenizer 'words' is"),
        (of(vocab={"type": "bpe", "tokenizer_json": "{"}), "its BPE tokenizer is dama"),
        (of(vocab={"stoi": LETTERS}), "its tokenizer has 8 tokens and its model 7"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, make, sentence):
    with pytest.raises(CheckpointError, match=sentence) as refused:
        load_model(make(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_every_cut_and_every_flipped_byte_is_read_or_refused(tmp_path):
    data = write(tmp_path / "whole.pt").read_bytes()
    generator = torch.Generator().manual_seed(3)
    file = tmp_path / "damaged.pt"
    for n in torch.randint(len(data), (60,), generator=generator).tolist():
        changed = bytearray(data)
        changed[n] ^= 0x40
        for content in (data[:n], bytes(changed)):
            file.write_bytes(content)
            try:
                assert read(file)[0](torch.tensor([IDS])).shape == (1, 12, 7)
            except LegacyError as error:
                assert "\n" not in str(error)
