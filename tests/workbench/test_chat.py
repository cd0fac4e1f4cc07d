"""The chat: what it writes, in a terminal and in a widget, and what it refuses."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from book import cli
from lib.gravity.load import load_model
from lib.gravity.model import LMConfig, build
from lib.gravity.tokenizers import BpeTokens, CharTokens, TiktokenTokens
from lib.training.checkpoint import CheckpointError, save, whole
from lib.workbench.chat import ChatError, chat_widget, main, reply
from tests import legacy_files

ROOT = Path(__file__).parents[2]
TEXT = "the cat sat on the mat\n"
CHARS = CharTokens.of(TEXT)


def tiny(attention="newton", tokens=CHARS, context=8, seed=1):
    config = LMConfig(vocab=tokens.vocab, context=context, d_model=16, n_layers=2,
                      n_heads=2, d_coord=8, attention=attention)
    return build(config, seed).eval()


def kept(folder, model=None, tokens=CHARS, name="best"):
    model = model or tiny(tokens=tokens)
    told = {"kind": "gravity_lm", "model": asdict(model.config),
            "tokenizer": tokens.to_json(), "options": {}}
    save(folder / name, whole(model=model.state_dict()),
         {"step": 3, "holds": "weights", "configuration": told})
    return folder


class Parrot(nn.Module):
    """Writes given ids, whatever it sees; notes what it saw."""

    def __init__(self, ids, vocab, context=4):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.ids, self.vocab, self.seen = list(ids), vocab, []
        self.config = type("Config", (), {"context": context})

    def forward(self, ids):
        self.seen.append(ids[0].tolist())
        logits = torch.zeros(*ids.shape, self.vocab)
        logits[:, -1, self.ids[len(self.seen) - 1]] = 9.0
        return logits


# ---- what it writes


@pytest.mark.parametrize("attention", ["dot", "newton", "gaussian", "potential"])
def test_at_temperature_0_each_token_is_the_likeliest_after_all_before(attention):
    model = tiny(attention)
    ids = CHARS.encode("the ca")
    for _ in range(12):  # longer than the context: the end of the text is seen
        logits = model(torch.tensor([ids[-8:]]))[0, -1]
        ids.append(logits.argmax().item())
    written = "".join(reply(model, CHARS, "the ca", 12, temperature=0.0))
    assert written == CHARS.decode(ids[6:])


def test_pieces_come_one_by_one_as_they_are_chosen():
    ids = CHARS.encode("sat on")
    parrot = Parrot(ids, CHARS.vocab)
    pieces = reply(parrot, CHARS, "the cat", 6, temperature=0.0)
    assert parrot.seen == []
    assert next(pieces) == "s"
    assert len(parrot.seen) == 1
    assert "".join(pieces) == "at on"
    assert parrot.seen[0] == CHARS.encode(" cat")  # the context is 4
    assert parrot.seen[-1] == CHARS.encode("at o")


def test_a_character_of_several_tokens_comes_whole():
    tokens = BpeTokens.train("abc " * 9, vocab=256)
    text = "a한글😀b"
    ids = tokens.encode(text)
    assert len(ids) > len(text)
    pieces = list(reply(Parrot(ids, tokens.vocab), tokens, "a", len(ids), 0.0))
    assert pieces == list(text)
    # cut off inside a character, or made of bytes that are none: shown, not lost
    pieces = list(reply(Parrot(ids, tokens.vocab), tokens, "a", 2, 0.0))
    assert pieces == ["a", "\N{REPLACEMENT CHARACTER}"]
    broken = ids[1:2] * 20 + tokens.encode("z")
    assert "".join(reply(Parrot(broken, 256), tokens, "a", 21, 0.0)).endswith("z")


class SentencePieces:
    """Pieces that begin with a blank; decoding takes that of the first one off."""

    name, pieces = "pieces", (" the", " cat", " sat", "s")
    vocab = len(pieces)

    def encode(self, text):
        return [self.pieces.index(f" {word}") for word in text.split()]

    def decode(self, ids):
        return "".join(self.pieces[i] for i in ids).removeprefix(" ")

    def labels(self):
        return list(self.pieces)

    def to_json(self):
        return {}


def test_words_keep_the_blank_between_them_whatever_the_decoder_takes_off():
    parrot = Parrot([1, 3, 2, 0], vocab=4)
    pieces = list(reply(parrot, SentencePieces(), "the", 4, temperature=0.0))
    assert pieces == [" cat", "s", " sat", " the"]


def test_the_seed_decides_the_text():
    model = tiny()

    def text(**options):
        return "".join(reply(model, CHARS, "the", 40, **options))

    assert text(seed=3) == text(seed=3)
    assert text(seed=3) != text(seed=4)
    assert text() != text()  # 40 draws among 11 characters: never twice the same
    assert text(temperature=0.0, seed=3) == text(temperature=0.0, seed=4)
    assert text(top_k=1, seed=3) == text(temperature=0.0)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    text(seed=3)
    assert torch.rand(1) == expected  # ambient randomness is left alone


def test_dropout_is_off_while_it_writes_and_back_afterwards():
    model = tiny().train()
    model.dropout.p = 0.9
    assert "".join(reply(model, CHARS, "the", 9, 0.0)) == \
        "".join(reply(tiny(), CHARS, "the", 9, 0.0))
    assert model.training


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"prompt": ""}, "the prompt is empty; write the beginning of a text"),
        ({"prompt": "the dog!"}, r"never saw 'd' \(U\+0064\), 'g' .* '!'.* use a text"),
        ({"temperature": -0.5}, "temperature is -0.5; use 0 for the likeliest token"),
        ({"temperature": float("nan")}, "temperature is nan; use 0"),
        ({"top_k": 0}, "top_k is 0; use 1 or more"),
        ({"n_tokens": 0}, "tokens is 0; use 1 or more"),
        ({"prompt": "the \udcc7"}, "prompt is not in UTF-8: byte C7 at character 5 "),
        ({"prompt": "\ud83d"}, r"character 1 is half of one \(U\+D83D\); set the"),
        ({"seed": 10**20 - 1}, "seed is 9{20}; use 0 or more, at most 42949"),
        ({"seed": -1}, "seed is -1; use 0 or more, at most 42949"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(options, sentence):
    with pytest.raises(ChatError, match=sentence):
        reply(tiny(), CHARS, **{"prompt": "the"} | options)


# ---- which model


@pytest.mark.parametrize("attention", ["dot", "newton"])
def test_a_folder_gives_the_model_its_tokenizer_and_its_configuration(
    tmp_path, attention
):
    model = tiny(attention)
    kept(tmp_path, tiny(attention, seed=2), name="last")
    kept(tmp_path, model)
    again, tokens, told = load_model(tmp_path)
    ids = torch.tensor([tokens.encode("the")])
    assert torch.equal(again(ids), model(ids))  # best before last
    assert not again.training
    assert told["kind"] == "gravity_lm"
    for path in (tmp_path / "best", tmp_path / "best" / "checkpoint.json"):
        assert torch.equal(load_model(path)[0](ids), model(ids))
    assert not torch.equal(load_model(tmp_path / "last")[0](ids), model(ids))


def test_with_best_damaged_the_last_is_taken_and_it_says_so(tmp_path, capsys):
    kept(tmp_path, tiny(seed=2), name="last")
    kept(tmp_path)
    (file,) = (tmp_path / "best").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    ids = torch.tensor([CHARS.encode("the")])
    assert torch.equal(load_model(tmp_path)[0](ids), tiny(seed=2)(ids))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.rstrip().endswith(f"going on from {tmp_path / 'last'}")


@pytest.mark.parametrize(
    "told, sentence",
    [
        ({}, "best holds weights and no language model of Part II"),
        ({"kind": "translation"}, "best holds a translation and no language model"),
        ({"kind": "gravity_lm"}, "checkpoint.json builds no model .KeyError: 'token"),
        ({"kind": "gravity_lm", "tokenizer": CHARS.to_json(), "model": {"axes": 3}},
         "builds no model .TypeError"),
        ({"kind": "gravity_lm", "tokenizer": CHARS.to_json(),
          "model": asdict(tiny(context=9).config)}, "and the model wants 9×16"),
    ],
)
def test_a_folder_of_something_else_is_one_sentence(tmp_path, told, sentence):
    save(tmp_path / "best", whole(model=tiny().state_dict()), {"configuration": told})
    with pytest.raises(CheckpointError, match=sentence) as refused:
        load_model(tmp_path)
    assert "\n" not in str(refused.value)


# ---- the words of the command


@pytest.mark.parametrize(
    "words, code, sentence",
    [
        ([], 2, "required: checkpoint; use chat CHECKPOINT [--prompt TEXT]"),
        (["MODEL", "--heat", "1"], 2, "unrecognized arguments: --heat 1; use chat"),
        (["MODEL", "--temperature", "hot"], 2, "invalid float value: 'hot'; use chat"),
        (["MODEL", "--temperature", "-1"], 2, "temperature is -1; use 0 for the"),
        (["MODEL", "--tokens", "0"], 2, "tokens is 0; use 1 or more"),
        (["MODEL", "--prompt", ""], 2, "the prompt is empty; write the beginning"),
        (["MODEL", "--seed", 20 * "9"], 2, "seed is 99999999999999999999; use 0"),
        (["MODEL", "--seed", "-3"], 2, "seed is -3; use 0 or more, at most 42949"),
        (["MODEL", "--prompt", "the \udcb0"], 2, "the prompt is not in UTF-8: byte B0"),
        (["MODEL", "--prompt", "dog"], 2, "never saw 'd' (U+0064), 'g' (U+0067);"),
        (["nowhere"], 1, "there is no checkpoint at nowhere; train first, or name"),
    ],
)
def test_wrong_words_are_one_sentence_and_a_code(
    tmp_path, capsys, words, code, sentence
):
    words = [str(kept(tmp_path)) if word == "MODEL" else word for word in words]
    assert main(words) == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_prompt_is_answered_once(tmp_path, capsys):
    words = [str(kept(tmp_path)), "--prompt", "the", "--tokens", "9", "--seed", "2"]
    assert main(words) == 0
    written = "".join(reply(tiny(), CHARS, "the", 9, seed=2))
    assert capsys.readouterr().out == f"the{written}\n"


def test_the_verb_goes_to_the_chat_with_its_words_as_they_were(monkeypatch):
    assert cli.parse(["chat", "runs/a", "--prompt", "-h"]) == (
        "chat", None, ["runs/a", "--prompt", "-h"])
    made = []
    monkeypatch.setattr(cli, "ready", lambda profile, data: ("PYTHON", {}))
    monkeypatch.setattr(cli, "become", lambda *made_of: made.append(made_of) or 0)
    cli.main(["chat", "runs/a", "--tokens", "3"])
    assert made[0][0] == [
        "PYTHON", "-m", "lib.workbench.chat", "runs/a", "--tokens", "3"]


def talk(path, lines, *words, utf8="1"):
    """What the chat says, in a process of its own, to lines that end."""
    done = subprocess.run(
        [sys.executable, "-m", "lib.workbench.chat", str(path), *words], cwd=ROOT,
        input=lines if isinstance(lines, bytes) else lines.encode(),
        capture_output=True, check=False, env=os.environ | {
            "OMP_NUM_THREADS": "1", "PYTHONUTF8": utf8, "LC_ALL": "C.UTF-8"},
    )
    done.stdout, done.stderr = (
        said.decode().replace("\r\n", "\n") for said in (done.stdout, done.stderr))
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_in_a_terminal_it_goes_on_after_a_bad_line_until_it_is_told_to_quit(tmp_path):
    lines = "the cat\n\n고양이\non the mat\n/quit\nthe\n"
    done = talk(kept(tmp_path), lines, "--tokens", "5", "--seed", "7")
    wrong = done.stderr.splitlines()
    assert len(wrong) == 2
    assert wrong[0] == "the prompt is empty; write the beginning of a text"
    assert "never saw '고' (U+ACE0), '양' (U+C591), '이' (U+C774)" in wrong[1]
    for line in ("the cat", "on the mat"):
        written = "".join(reply(tiny(), CHARS, line, 5, seed=7))
        assert f"> {line}{written}\n" in done.stdout
    assert done.stdout.count("> ") == 5
    assert "/quit" in done.stdout.splitlines()[0]


def test_the_seed_in_the_widget_may_be_any_number():
    widget = chat_widget(tiny(), CHARS, prompt="the")
    _, options, button, answer = widget.children
    options.children[3].value = -5
    button.click()
    assert answer.value.startswith("seed is -5; use 0 or more, at most 42949")


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "utf8"), [
    (CHARS, "1"), (TiktokenTokens(), "1"),
    (BpeTokens.train(TEXT, vocab=256), "0"),  # reads as the locale says
], ids=["char", "tiktoken", "bpe"])
def test_a_line_of_another_encoding_is_named_and_the_talk_goes_on(
    tmp_path, tokens, utf8
):
    lines = b"the cat\n" + "한글\n".encode("cp949") + b"on the mat\n/quit\n"
    done = talk(kept(tmp_path, tokens=tokens), lines, "--tokens", "5", "--seed", "7",
                utf8=utf8)
    assert done.stderr == (
        "the prompt is not in UTF-8: byte C7 at character 1 begins no character; set "
        "the terminal or the program that it comes from to UTF-8\n")
    assert done.stdout.count("> ") == 4
    assert "> the cat" in done.stdout
    assert "> on the mat" in done.stdout


def test_a_model_whose_training_diverged_is_one_sentence(tmp_path, capsys):
    model = tiny()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    assert main([str(kept(tmp_path, model)), "--prompt", "the"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("the model's logits are not finite; its training has div")
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ngt_soft", "ngt_january", "vanilla"])
def test_it_answers_from_a_file_of_the_original_until_the_input_ends(tmp_path, name):
    file = legacy_files.write(tmp_path / f"{name}.pt", name)
    done = talk(file, "bad\n", "--tokens", "6", "--seed", "1")
    model, tokens, _ = load_model(file)
    written = "".join(reply(model, tokens, "bad", 6, seed=1))
    assert f"> bad{written}\n> \n" in done.stdout
    assert done.stderr == ""


def test_the_widget_writes_what_the_terminal_would():
    widget = chat_widget(tiny(), CHARS, prompt="the")
    box, options, button, answer = widget.children
    heat, keep, length, seed = options.children
    length.value, seed.value, keep.value = 20, 5, 3
    button.click()
    expected = "".join(reply(tiny(), CHARS, "the", 20, heat.value, 3, 5))
    assert answer.value == "the" + expected
    assert not button.disabled
    box.value = "zebra"
    button.click()
    assert "never saw 'z'" in answer.value
    assert not button.disabled
