"""New rows for new pieces, on small Llama and GPT-2 models, and the stage's files."""

import json
from types import SimpleNamespace

import pytest
import torch
from small_vocabulary import bpe
from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lib.vocabulary.hidden_states import States, fit_output, read_states, spelled_out
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import (
    CLOSED,
    STRATEGIES,
    closed_rows,
    is_tied,
    put_rows,
    reassigned,
    tables,
    untie,
)
from lib.workbench.ivr.artifacts import TREE, Room
from lib.workbench.ivr.fine_tuning import align, load_rows

NEW = {290: "영화가", 295: " 좋았다", 299: "다시"}
TEXTS = ["영화가 좋았다", "다시 영화가", "a reader reads", "영화가 다시 좋았다"]


def tokenizers():
    """A BPE of 300 pieces, and a tokenizer in which three ids mean another piece."""
    from lib.tokens.distill import to_chars

    original = Tokenizer.from_str(bpe())
    spec = json.loads(bpe())
    names = {i: piece for piece, i in spec["model"]["vocab"].items()}
    names |= {i: to_chars(piece.encode()) for i, piece in NEW.items()}
    scores = [[names[i], -5.0 if i in NEW else -10.0] for i in range(len(names))]
    spec["model"] = {"type": "Unigram", "unk_id": None, "vocab": scores,
                     "byte_fallback": False}
    return original, Tokenizer.from_str(json.dumps(spec))


def llama(tied=True, seed=0):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=tied)).eval()


def gpt2(seed=0):
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=300, n_embd=16, n_layer=2, n_head=2, n_positions=64,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,  # the same in every process
        bos_token_id=0, eos_token_id=0)).eval()


MODELS = {"llama": llama, "untied": lambda seed=0: llama(False, seed), "gpt2": gpt2}


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


# what changed


def test_the_ids_whose_piece_changed_are_found_with_their_old_spelling():
    original, remapped = tokenizers()
    change = reassigned(original, remapped)
    assert change.ids == sorted(NEW)
    for index, spelling in zip(change.ids, change.spellings, strict=True):
        assert original.decode(spelling) == NEW[index]
        assert not set(spelling) & set(change.ids) or len(spelling) > 1
    assert len(reassigned(original, original)) == 0


def test_tokenizers_that_do_not_belong_together_are_refused():
    original, _ = tokenizers()
    longer = Tokenizer.from_str(bpe())
    longer.add_tokens(["more"])
    with pytest.raises(ValueError, match="300 ids and the remapped one 301"):
        reassigned(original, longer)
    spec = json.loads(bpe())
    spec["added_tokens"][0]["content"] = "<|other|>"
    vocab = spec["model"]["vocab"]
    vocab["<|other|>"] = vocab.pop("<|endoftext|>")
    with pytest.raises(ValueError, match="id 0 is the special token"):
        reassigned(original, Tokenizer.from_str(json.dumps(spec)))


# closed forms


def test_constituents_are_the_mean_of_the_rows_that_spelled_the_piece():
    table = torch.randn(30, 8, dtype=torch.float64)
    rows = closed_rows(table, [[3, 4, 4], [7]], "constituents")
    assert torch.allclose(rows[0], (table[3] + 2 * table[4]) / 3)
    assert torch.equal(rows[1], table[7])


def test_the_other_closed_forms_are_what_they_say():
    table = 3 + 2 * torch.randn(4000, 4)
    spellings = [[0]] * 3000
    mean, noise, zeros = (closed_rows(table, spellings, name) for name in CLOSED[:3])
    assert torch.allclose(mean, table.mean(0).expand(3000, 4))
    assert not zeros.any()
    # 3,000 draws: the mean is known within 2/√3000, five times over
    assert torch.allclose(noise.mean(0), table.mean(0), atol=0.2)
    assert torch.allclose(noise.std(0), table.std(0), rtol=0.1)
    assert torch.equal(noise, closed_rows(table, spellings, "random", seed=0))
    assert not torch.equal(noise, closed_rows(table, spellings, "random", seed=1))


@pytest.mark.parametrize("strategy", CLOSED)
def test_no_piece_is_no_row(strategy):
    assert closed_rows(torch.randn(5, 3), [], strategy).shape == (0, 3)


def test_an_unknown_strategy_is_named_with_those_there_are():
    original, remapped = tokenizers()
    with pytest.raises(ValueError, match="'best' is not known; use one of mean, rand"):
        make_rows(llama(), original, remapped, "best")


# in a model


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", MODELS)
def test_only_the_new_rows_change(kind, strategy):
    original, remapped = tokenizers()
    model = MODELS[kind]()
    before = state_of(model)
    rows = make_rows(model, original, remapped, strategy, texts=TEXTS)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert (rows.lm_head is None) == is_tied(model) == (kind != "untied")
    ids = reassigned(original, remapped).ids
    put_rows(model, ids, rows.wte, rows.lm_head)
    stay = [i for i in range(300) if i not in ids]
    for name, value in model.state_dict().items():
        if value.shape == (300, 16):
            assert torch.equal(value[stay], before[name][stay])
            assert not torch.equal(value[ids], before[name][ids])
        else:
            assert torch.equal(value, before[name])


def test_untying_changes_no_logit_and_lets_the_tables_part():
    model, ids = gpt2(), torch.tensor([[1, 2, 3]])
    before = model(ids).logits.detach()
    untie(model)
    assert not is_tied(model)
    assert torch.equal(model(ids).logits, before)
    put_rows(model, [2], lm_head=torch.zeros(1, 16))
    after = model(ids).logits
    assert not after[..., 2].any()
    keep = [i for i in range(300) if i != 2]
    assert torch.equal(after[..., keep], before[..., keep])


def test_one_table_takes_no_two_kinds_of_rows():
    with pytest.raises(ValueError, match=r"has one table.*untie"):
        put_rows(llama(), [2], torch.ones(1, 16), torch.zeros(1, 16))


def test_the_tables_have_the_names_of_their_files():
    assert set(tables(llama())) == {"wte"}
    assert set(tables(llama(tied=False))) == {"wte", "lm_head"}
    assert set(tables(gpt2())) == {"wte", "wpe"}


# hidden states


@pytest.mark.parametrize("kind", MODELS)
def test_states_are_those_of_the_old_model_before_each_token(kind):
    original, remapped = tokenizers()
    model, change = MODELS[kind](), reassigned(original, remapped)
    states = read_states(model, remapped, change.ids, change.spellings, TEXTS[:1])
    new = remapped.encode(TEXTS[0]).ids
    old, ends = spelled_out(new, dict(zip(change.ids, change.spellings, strict=True)))
    assert original.decode(old) == TEXTS[0]
    assert [i in change.ids for i in new] == (states.target >= 0).tolist()
    hidden = model.base_model(torch.tensor([[0, *old]]))[0][0].detach()
    wanted = hidden[[0, *ends[:-1]]]
    assert torch.allclose(states.hidden, wanted, atol=1e-5)
    logits = model.get_output_embeddings()(wanted).detach()
    logits[:, change.ids] = -torch.inf
    assert torch.allclose(states.other, logits.logsumexp(1), atol=1e-5)
    assert states.read == len(old)


def planted(seed=0):
    """States from which three rows can be told: each follows a direction of its own."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(-1, 3, (600,), generator=generator)
    hidden = torch.randn(600, 8, generator=generator)
    hidden[torch.arange(600), target + 1] += 2  # not so far that no row is the best
    return States(hidden, torch.zeros(600), target)


def nll(states, rows):
    logits = torch.cat([states.other[:, None], states.hidden @ rows.T], 1)
    return torch.nn.functional.cross_entropy(logits, states.target + 1).item()


def test_learned_rows_come_near_the_best_there_are():
    states, first = planted(), torch.zeros(3, 8)
    rows = fit_output(states, first, strength=0.0, passes=400, batch=600, rate=0.05)
    best = first.clone().requires_grad_(True)
    solver = torch.optim.LBFGS([best], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        logits = torch.cat([states.other[:, None], states.hidden @ best.T], 1)
        loss = torch.nn.functional.cross_entropy(logits, states.target + 1)
        loss.backward()
        return loss

    solver.step(closure)
    assert nll(states, first) > 2 * nll(states, rows)
    assert nll(states, rows) < nll(states, best.detach()) + 0.01


def test_rows_that_are_held_firmly_stay():
    states, first = planted(), torch.randn(3, 8)
    moved = [float((fit_output(states, first, strength=s) - first).norm())
             for s in (0.0, 100.0, 1e6)]
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 0.05


def test_hidden_states_without_text_are_told_so():
    original, remapped = tokenizers()
    with pytest.raises(ValueError, match="learns from text and none came"):
        make_rows(llama(), original, remapped, "hidden_states")


# the stage


def room_with(tmp_path, model):
    """What the stages before leave, as far as `align` reads it."""
    original, remapped = tokenizers()
    folder = tmp_path / TREE.ORIGINAL
    model.save_pretrained(folder)
    original.save(str(folder / "tokenizer.json"))
    told = {"model": "here", "weights": "here"}
    (folder / "model.json").write_text(json.dumps(told))
    (tmp_path / TREE.REMAPPED).mkdir(parents=True)
    remapped.save(str(tmp_path / TREE.REMAPPED / "tokenizer.json"))
    (tmp_path / TREE.CLEANED).mkdir(parents=True)
    (tmp_path / TREE.CLEANED / "a.txt").write_text("\n".join(TEXTS * 20) + "\n")
    index = {"folder": TREE.CLEANED, "files": {"a.txt": {}}}
    (tmp_path / "corpora/cleaned.json").write_text(json.dumps(index))
    return Room(tmp_path, "align")


def options(**given):
    plain = {"init_strategy": "constituents", "align_documents": 20, "untie": False,
             "held_out_documents": 4, "seed": 0}
    return SimpleNamespace(**plain | given)


@pytest.mark.parametrize(
    "kind, given, names",
    [
        ("llama", {}, {"original_wte", "aligned_wte", "final_wte"}),
        ("gpt2", {}, {"original_wte", "original_wpe", "aligned_wte", "final_wte"}),
        ("untied", {"init_strategy": "hidden_states"},
         {"original_wte", "original_lm_head", "aligned_wte", "final_wte",
          "final_lm_head"}),
        ("llama", {"untie": True},
         {"original_wte", "original_lm_head", "aligned_wte", "final_wte",
          "final_lm_head"}),
    ],
)
def test_the_stage_writes_plain_tensors_that_load_into_the_model(
    tmp_path, kind, given, names
):
    model = MODELS[kind]()
    room = room_with(tmp_path, model)
    room.finish(align(options(**given), room))
    folder = tmp_path / TREE.EMBEDDINGS
    assert {file.stem for file in folder.glob("*.pt")} == names
    made = {name: torch.load(folder / f"{name}.pt", weights_only=True)
            for name in names}
    assert all(type(table) is torch.Tensor for table in made.values())
    ids, stay = sorted(NEW), [i for i in range(300) if i not in NEW]
    wte = model.get_input_embeddings().weight.detach()
    assert torch.equal(made["original_wte"], wte)
    assert not made["aligned_wte"][ids].any()
    assert torch.equal(made["aligned_wte"][stay], wte[stay])
    assert torch.equal(made["final_wte"][stay], wte[stay])
    again = MODELS[kind](seed=1)
    assert load_rows(again, folder) == ids
    assert torch.equal(again.get_input_embeddings().weight, made["final_wte"])
    assert is_tied(again) == ("final_lm_head" not in names)
    if "final_lm_head" in names:
        head = again.get_output_embeddings().weight
        assert torch.equal(head, made["final_lm_head"])
    told = json.loads((folder / "embeddings.json").read_text())
    assert [row["id"] for row in told["rows"]] == ids
    assert told["tables"]["final_wte"]["shape"] == [300, 16]


def test_the_stage_says_what_is_missing(tmp_path):
    room = room_with(tmp_path, llama())
    with pytest.raises(ValueError, match="'best' is not known"):
        align(options(init_strategy="best"), room)
    original, _ = tokenizers()
    original.save(str(tmp_path / TREE.REMAPPED / "tokenizer.json"))
    with pytest.raises(ValueError, match="has no new piece; add rules"):
        align(options(), room)
    assert not list(tmp_path.rglob("*.pt"))
