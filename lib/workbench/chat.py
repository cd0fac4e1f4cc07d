"""Talk to a language model of Part II: in a terminal, or in a notebook.

    ./setup_and_run.sh chat CHECKPOINT [--prompt TEXT] [--tokens N]
                            [--temperature T] [--top-k K] [--seed S]

Such a model has read a text and goes on with one: the answer is what follows the
prompt. Where prompt and answer are longer than its context, it sees the end of them.
"""

import argparse
import contextlib
import io
import math
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import torch
from torch import nn

from lib.attention.generate import next_token
from lib.data.round_trip import check_characters
from lib.gravity.load import load_model
from lib.gravity.tokenizers import Tokens
from lib.options import Seed, fitting, kind
from lib.training.checkpoint import CheckpointError

QUIT = "/quit"
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 8  # tokens; bytes beyond that are no character


class ChatError(ValueError):
    """A prompt or an option that cannot be used; the message says what can."""


def reply(
    model: nn.Module, tokens: Tokens, prompt: str, n_tokens: int = 200,
    temperature: float = 0.8, top_k: int | None = 40, seed: int | None = None,
) -> Iterator[str]:
    """What the model writes after a prompt, piece by piece as it is chosen.

    model: ids (batch, seq) → logits (batch, seq, vocab), with `config.context`;
    n_tokens: how many tokens to write; temperature: 0 takes the likeliest token;
    top_k: draw among so many, None among all; seed: the same gives the same text,
    None another one each time. A character of several tokens comes when it is whole.

    Raises ChatError at once, if the prompt is empty or unknown to the tokenizer, or an
    option is out of range; while writing, if the model's logits are no numbers.
    """
    check(prompt, n_tokens, temperature, top_k, seed)
    with _chat_errors():
        ids = list(tokens.encode(prompt))
    if not ids:
        raise ChatError(f"the prompt {prompt[:20]!r} has no tokens; write more of it")
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()

    def choose(ids: list[int]) -> int:
        seen = ids[-cast(Any, model).config.context :]
        training = model.training
        model.eval()
        with torch.no_grad():
            device = next(model.parameters()).device
            logits = model(torch.tensor([seen], device=device))[:, -1].float().cpu()
        model.train(training)
        with _chat_errors():
            return int(next_token(logits[:, : tokens.vocab], float(temperature), top_k,
                                  generator=generator).item())

    def written() -> Iterator[str]:
        before, pending = ids[-1:], []  # shown already, and not yet a whole character
        for _ in range(n_tokens):
            pending.append(choose([*ids, *pending]))
            text = _behind(tokens, before, pending)
            if not text.endswith(UNFINISHED) or len(pending) >= LONGEST_CHARACTER:
                ids.extend(pending)
                before, pending = pending, []
                yield text
        if pending:
            yield _behind(tokens, before, pending)

    return written()


@contextlib.contextmanager
def _chat_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ChatError(str(error)) from None


def check(prompt: str | None, n_tokens: int, temperature: float, top_k: int | None,
          seed: int | None) -> None:
    """Refuse what no model can answer; a prompt that is None comes later."""
    if prompt == "":
        raise ChatError("the prompt is empty; write the beginning of a text")
    for name, number in (("tokens", n_tokens), ("top_k", top_k)):
        if number is not None and number < 1:
            raise ChatError(f"{name} is {number}; use 1 or more")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ChatError(
            f"temperature is {temperature:g}; use 0 for the likeliest token, or a "
            "number above 0 such as 0.8")
    with _chat_errors():
        check_characters(prompt or "", "the prompt")
        fitting("seed", seed, kind(Seed | None))


def _behind(tokens: Tokens, before: list[int], pending: list[int]) -> str:
    """What tokens add to the text before them.

    By themselves they would lose the blank that SentencePiece's tokens begin with:
    its decoder takes it off the first.
    """
    return tokens.decode([*before, *pending])[len(tokens.decode(before)):]


def chat_widget(model: nn.Module, tokens: Tokens, prompt: str = "ROMEO:") -> Any:
    """A box to write a prompt in, with sliders, that shows the answer as it comes.

    It needs a running kernel; a page on its own shows what stands in the box.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="100%")
    box = widgets.Textarea(prompt, description="prompt", rows=2, layout=wide)
    heat = widgets.FloatSlider(0.8, min=0, max=2, step=0.1, description="temperature")
    keep = widgets.IntSlider(min(40, tokens.vocab), min=1, max=min(200, tokens.vocab),
                             description="top_k")
    length = widgets.IntSlider(200, min=10, max=1000, step=10, description="tokens")
    seed = widgets.IntText(1, description="seed")
    button = widgets.Button(description="이어 쓰기 | Go on", button_style="primary")
    answer = widgets.Textarea("", rows=12, disabled=True, layout=wide)

    def write(_: Any) -> None:
        button.disabled = True
        try:
            answer.value = box.value
            for piece in reply(model, tokens, box.value, length.value, heat.value,
                               keep.value, seed.value):
                answer.value += piece
        except ChatError as error:
            answer.value = str(error)
        finally:
            button.disabled = False

    button.on_click(write)
    options = widgets.HBox([heat, keep, length, seed],
                           layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([box, options, button, answer])


class _Words(argparse.ArgumentParser):
    """Words of a command; a wrong one is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ChatError(f"{message}; use chat CHECKPOINT [--prompt TEXT] [--tokens N] "
                        "[--temperature T] [--top-k K] [--seed S]")


def _options(words: list[str]) -> argparse.Namespace:
    parser = _Words(prog="chat", description=str(__doc__).split("\n")[0],
                    allow_abbrev=False)
    parser.add_argument("checkpoint", help="a folder of a training, or a .pt file")
    parser.add_argument("--prompt", help="go on with this, once; else ask for lines")
    parser.add_argument("--tokens", type=int, default=200, help="how many to write")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-k", type=int, default=40)
    parser.add_argument("--seed", type=int, help="the same gives the same text")
    return parser.parse_args(words)


def _say(model: nn.Module, tokens: Tokens, prompt: str,
         options: argparse.Namespace) -> None:
    pieces = reply(model, tokens, prompt, options.tokens, options.temperature,
                   options.top_k, options.seed)
    print(prompt, end="", flush=True)
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
    finally:
        print(flush=True)


def _talk(model: nn.Module, tokens: Tokens, options: argparse.Namespace) -> None:
    """Answer line after line until /quit or the end of the input."""
    # a byte of another encoding comes as half a character, which `check` names
    with contextlib.suppress(AttributeError):  # where another program gives the lines
        cast(io.TextIOWrapper, sys.stdin).reconfigure(errors="surrogateescape")
    config = cast(Any, model).config
    print(f"{type(model).__name__}, {config.attention}, {tokens.name}, context "
          f"{config.context}. 글의 첫머리를 쓰세요. | Write the beginning of a "
          f"text. {QUIT}, Ctrl-D: 끝 | end", flush=True)
    while True:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if line.strip() == QUIT:
            return
        try:
            _say(model, tokens, line, options)
        except ChatError as error:
            print(error, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            continue  # this answer is enough


def main(words: list[str] | None = None) -> int:
    """Do what the words of `chat` say.

    0: done. 1: the checkpoint cannot be read. 2: a word or the prompt cannot be used.
    """
    try:
        options = _options(sys.argv[1:] if words is None else words)
        check(options.prompt, options.tokens, options.temperature, options.top_k,
              options.seed)
        model, tokens, _ = load_model(options.checkpoint)
        if options.prompt is not None:
            _say(model, tokens, options.prompt, options)
        else:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - arrow keys in what is written
            _talk(model, tokens, options)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    except ChatError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our text has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
