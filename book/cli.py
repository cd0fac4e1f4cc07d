"""The verbs of `setup_and_run.sh` and `setup_and_run.bat`, the same on every system.

Standard library only: it runs with the reader's Python, answers `--help` and wrong
words before anything is installed, brings `.venv` up (see `book.environment`) and
then hands over to the environment's own Python.
"""

import contextlib
import functools
import http.server
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar, cast
from urllib.parse import quote

from book import environment
from book.alone import Busy, alone
from book.environment import SetupError, say

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "site"
#: What one build at a time holds, and where it says who it is (`book.alone`).
BUILDING = (ROOT / "book" / "build.py", "build")
BUILD_NOTE = ROOT / "_build" / "building.json"
PROFILES = ("smoke", "book", "gpu")
SCRIPT = "setup_and_run.bat" if os.name == "nt" else "./setup_and_run.sh"

# verb: the options it knows and whether each takes a value; None: the words are
# judged by the tool that gets them (papermill's batch, the chat, pytest, JupyterLab).
VERBS: dict[str, dict[str, bool] | None] = {
    "": {"--port": True, "--jobs": True},
    "build": {"--jobs": True, "--out": True},
    "serve": {"--port": True},
    "lab": None,
    "run": None,
    "chat": None,
    "test": None,
    "clean": {"--all": False},
    "help": {},
}

HELP = f"""\
{SCRIPT} [VERB] [--profile smoke|book|gpu]

  (no verb)         set up, fetch the data, execute, build, serve; prints the address
                    준비, 자료 받기, 실행, 짓기, 보여주기까지 한 번에 합니다
  build             execute the notebooks and build the site in _build/site
                    노트북을 실행하고 사이트를 만듭니다          [--jobs N] [--out DIR]
  serve             serve the built site on this machine only
                    만든 사이트를 이 컴퓨터에서 봅니다                    [--port N]
  lab [FILE]        open JupyterLab on the notebooks; its options may follow
                    노트북을 JupyterLab으로 엽니다                     [--no-browser]
  run NAME…         run notebooks or groups in batch (notebooks/batch.toml)
                    노트북이나 묶음을 한꺼번에 실행합니다
                    [-p NAME VALUE]… [--jobs N] [--out DIR] [--force]
  chat CHECKPOINT   talk to a language model: a training's folder or a .pt file
                    학습한 언어 모델과 이야기합니다. /quit으로 끝납니다
                    [--prompt TEXT] [--tokens N] [--temperature T] [--top-k K]
                    [--seed S]
  test              run every test; --fast: those of seconds, for every change;
                    pytest's options may follow
                    모든 검사를 합니다. --fast는 몇 초짜리 검사만 합니다
                    [--fast] [-k gravity]
  clean             remove what was built; --all: the environment and the data too
                    만든 것을 지웁니다. --all은 환경과 자료까지 지웁니다        [--all]
  help, --help      this page; run --help and chat --help tell more of these
                    이 도움말. run --help와 chat --help는 더 자세합니다

Profiles: smoke (tens of seconds a notebook), book (the default, minutes a notebook),
gpu (the full experiments).
Paths are counted from the folder of this script.
"""


class UsageError(Exception):
    """A word the reader gave is not known; its text is one sentence."""


def main(words: list[str] | None = None) -> int:
    """Do what the reader's words say; return the exit code.

    0: done. 1: it could not be done, one sentence says why. 2: a word is not known.
    130: interrupted. Where another tool ends the work, its exit code is ours.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            cast(io.TextIOWrapper, stream).reconfigure(
                encoding="utf-8", errors="replace"
            )
    try:
        verb, profile, rest = parse(sys.argv[1:] if words is None else words)
        return DO[verb](profile, rest)
    except UsageError as error:
        print(f"{error} See {SCRIPT} --help.", file=sys.stderr)
        return 2
    except (SetupError, Busy) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; run the same again to go on.", file=sys.stderr)
        return 130


def parse(words: list[str]) -> tuple[str, str | None, list[str]]:
    """Split the words into verb, profile and what the verb gets.

    Raises:
        UsageError: on an unknown verb, option, profile or number.

    >>> parse(["run", "book", "--profile", "smoke", "-p", "seed", "3"])
    ('run', 'smoke', ['book', '-p', 'seed', '3'])
    """
    profile, words = take_profile(words)
    named = os.environ.get("BOOK_PROFILE") if profile is None else profile
    if named not in (*PROFILES, "", None) or profile == "":
        known = ", ".join(PROFILES)
        raise UsageError(f"profile '{named}' is not known; use one of {known}.")
    has_verb = words and not words[0].startswith("-")
    verb, rest = (words[0], words[1:]) if has_verb else ("", list(words))
    if verb not in VERBS or (has_verb and not verb):
        known = ", ".join(name for name in VERBS if name)
        raise UsageError(f"verb '{verb}' is not known; use one of {known}, or none.")
    if asks_help(verb, rest):
        return "help", profile, [verb]
    options = VERBS[verb]
    if options is not None:
        rest = known_options(verb, options, rest)
    return verb, profile, rest


#: Options of `run` and `chat` behind which stands a value (`-p` has two words).
VALUED = ("--out", "--jobs", "--prompt", "--tokens", "--temperature", "--top-k",
          "--seed")


def asks_help(verb: str, rest: list[str]) -> bool:
    """Whether the words after a verb ask for help; the value of an option never does.

    >>> asks_help("run", ["ngt", "-h"]), asks_help("run", ["02", "-p", "day", "-h"])
    (True, False)
    >>> asks_help("chat", ["checkpoints/ngt", "--prompt", "-h"])
    False
    """
    if verb in ("test", "lab"):  # -h belongs to the tool that gets the words
        return rest[:1] == ["--help"]
    asked = [place for place, word in enumerate(rest) if word in ("-h", "--help")]
    return any(not {"-p", "--parameter"} & set(rest[max(0, place - 2):place])
               and rest[place - 1:place] not in [[name] for name in VALUED]
               for place in asked)


def take_profile(words: list[str]) -> tuple[str | None, list[str]]:
    """Take `--profile NAME` out of the words, wherever it stands.

    The name and value after a `-p` of the batch are left as they are.
    """
    profile, rest, words = None, [], list(words)
    batch = "run" in words[:3]
    while words:
        word = words.pop(0)
        if word == "--profile" or word.startswith("--profile="):
            _, equals, value = word.partition("=")
            if not equals:
                value = words.pop(0) if words else ""
            profile = value
        else:
            rest.append(word)
            if batch and word in ("-p", "--parameter"):
                rest += words[:2]
                del words[:2]
    return profile, rest


def known_options(verb: str, options: dict[str, bool], rest: list[str]) -> list[str]:
    """Return `rest` as it is, once every word in it is an option of the verb."""
    known = ", ".join([*options, "--profile"])
    called = f"'{verb}'" if verb else "the command without a verb"
    words, clean = list(rest), []
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name not in options:
            raise UsageError(
                f"'{name}' is not known to {called}; the options are {known}."
            )
        clean.append(name)
        if options[name]:
            if not equals and words:
                value = words.pop(0)
            clean.append(option_value(name, value))
    return clean


def option_value(name: str, value: str) -> str:
    """Return the value of an option, once it is one that the option can take."""
    highest = {"--port": 65535, "--jobs": 999}.get(name)
    lowest = 1 if name == "--jobs" else 0
    if highest is None:
        if not value or value.startswith("--"):
            raise UsageError(f"{name} needs a value, for example {name} elsewhere.")
    elif not (value.isascii() and value.isdigit() and lowest <= int(value) <= highest):
        raise UsageError(
            f"{name} needs a whole number from {lowest} to {highest}, not '{value}'."
        )
    return value


def child_environment(profile: str | None) -> dict[str, str]:
    """Return the environment for the tools in `.venv`.

    The kernel must be the environment's own, also where the reader's account has
    another kernel of that name; a relative folder of data must hold in every working
    folder.
    """
    env = dict(os.environ, PYTHONUTF8="1", JUPYTER_PREFER_ENV_PATH="1")
    for name in ("PYTHONPATH", "PYTHONHOME", "JUPYTER_PATH", "VIRTUAL_ENV",
                 "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONINSPECT"):
        env.pop(name, None)
    # pip is told not to compile (it would compile all, and we import a part), so Python
    # must be let keep what it compiles in .venv: else every process of a build does it
    # anew, torch and Sphinx included.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if profile:
        env["BOOK_PROFILE"] = profile
    for name in ("BOOK_DATA_MIRROR", "BOOK_DATA_CACHE"):
        if folder := env.get(name):
            env[name] = str((ROOT / Path(folder).expanduser()).resolve())
    return env


def call(command: list[str], env: dict[str, str]) -> int:
    """Run a tool of the environment and wait; Ctrl-C is the tool's to answer first."""
    child = subprocess.Popen(command, env=env, cwd=ROOT)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                child.wait()
            return 130


def become(command: list[str], env: dict[str, str]) -> int:
    """Run the last tool of a verb in our place (Windows: wait for it)."""
    sys.stdout.flush()
    if os.name == "nt":
        return call(command, env)
    os.chdir(ROOT)
    os.execve(command[0], command, env)


def ready(
    profile: str | None, data: tuple[str, ...] | None = ("--quick",),
    all_data: bool = False,
) -> tuple[str, dict[str, str]]:
    """Bring the environment and the data up; return its Python and the variables.

    `data` are words for `lib.data`; with None it is left to the tool of the verb.
    Data that is missing ends only a verb that needs `all_data`.
    """
    python, env = str(environment.ensure(ROOT)), child_environment(profile)
    if data is not None and (code := call([python, "-m", "lib.data", *data], env)):
        if all_data or code != NOT_ALL_DATA:
            sys.exit(code)  # it has said in one sentence what to do
        say("Going on without that data: only the chapters that read it will not run.")
    modules = ROOT / "book" / "node_modules" / ".stamp"
    if (ROOT / "book" / "package-lock.json").exists() and not modules.exists():
        # Now, so that no later verb needs the network; a build that lacks them asks
        # again and says what is wrong.
        fetch = "from book.assemble import install_modules as fetch; fetch()"
        if call([python, "-c", f"{QUIET}; {fetch}"], env):
            say("The site's fonts and scripts are missing; a build will ask again.")
    return python, env


NOT_ALL_DATA = 1  # how `lib.data` ends when no origin gave one or more of its rows
QUIET = "import sys; sys.excepthook = lambda *error: print(error[1], file=sys.stderr)"


def start(profile: str | None, rest: list[str]) -> int:
    """Set up, build and serve what there is; at the end say what it lacks."""
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    port = options.pop("--port", None)
    jobs = [word for pair in options.items() for word in pair]
    python, env = ready(profile)
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "note")
        command = build_command(python, profile, [*jobs, "--note", str(note)])
        code = call(command, env)
        missing = note.read_text("utf-8") if note.exists() else ""
    if code and not missing:
        return code
    served = serve(profile, ["--port", port] if port else [])
    print(missing, end="", file=sys.stderr, flush=True)
    return code or served


def build_command(python: str, profile: str | None, rest: list[str]) -> list[str]:
    """Return the command that builds the site."""
    profile = profile or os.environ.get("BOOK_PROFILE") or "book"
    return [python, "-m", "book.build", "--profile", profile, *rest]


def build(profile: str | None, rest: list[str]) -> int:
    """Execute what changed and build the site."""
    python, env = ready(profile)
    return become(build_command(python, profile, rest), env)


def run(profile: str | None, rest: list[str]) -> int:
    """Run notebooks in batch, which asks for the data once its words are right."""
    python, env = ready(profile, data=None)
    chosen = ["--profile", profile] if profile else []
    return become([python, "-m", "book.batch", *rest, *chosen], env)


def chat(profile: str | None, rest: list[str]) -> int:
    """Talk to a model in the terminal; `lib.workbench.chat` judges the words."""
    python, env = ready(profile, data=None)
    return become([python, "-m", "lib.workbench.chat", *rest], env)


def lab(profile: str | None, rest: list[str]) -> int:
    """Open JupyterLab in the book's folder, on its notebooks or on a file.

    Not where an .ipynb holds an edit that its .py lacks: Jupytext would show, and save,
    whichever file the clock favours.
    """
    rest, shown = take_file(rest)
    python, env = ready(profile)
    if code := call([python, "-m", "book.sync", "--edited"], env):
        return code  # it has said which file, and how to choose
    settings = ROOT / ".venv" / "etc" / "jupyter" / "labconfig"
    settings.mkdir(parents=True, exist_ok=True)
    environment.publish(settings / "default_setting_overrides.json", LAB_SETTINGS)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    options = ["--ip", "127.0.0.1", "--ServerApp.root_dir", str(ROOT)]
    options += [f"--LabApp.default_url=/lab/tree/{quote(shown)}"]
    options += ["--allow-root"] if root else []
    return become([python, "-m", "jupyterlab", *options, *rest], env)


# Options of JupyterLab that take no value: what follows one may be a file.
FLAGS = ("--no-browser", "--allow-root", "--debug", "--core-mode", "--dev-mode", "-y")


def take_file(words: list[str]) -> tuple[list[str], str]:
    """Take the file or folder to open out of the words of `lab`.

    It is looked for where the reader stands, in the book's folder and among its
    notebooks; what is given back is the way to it from the book's folder.

    Raises:
        UsageError: where it is not there, or not in the book's folder.
    """
    files = [
        place for place, word in enumerate(words) if not word.startswith("-")
        and (place == 0 or words[place - 1] in FLAGS or "=" in words[place - 1]
             or not words[place - 1].startswith("-"))
    ]
    if not files:
        return words, "notebooks"
    name = words[files[0]]
    if len(files) > 1:
        raise UsageError(f"lab opens one file or folder, not '{name}' and "
                         f"'{words[files[1]]}' as well.")
    stands = Path(os.environ.get("OLDPWD") or ROOT)  # before the script changed folders
    tried = [folder / name for folder in (stands, ROOT, ROOT / "notebooks")]
    inside = [path for path in tried if path.resolve().is_relative_to(ROOT)]
    path = next((path.resolve() for path in inside if path.exists()), None)
    if path is None and any(path.exists() for path in tried):
        raise UsageError(f"'{name}' is not in the book's folder, where lab works: "
                         f"copy it to {ROOT / 'notebooks'}.")
    if path is None:
        raise UsageError(f"There is no file or folder '{name}': name one of the book's "
                         "folder, for example notebooks/02_qkv_tracing.ipynb.")
    return [*words[:files[0]], *words[files[0] + 1:]], path.relative_to(ROOT).as_posix()


# A double click on a .py source opens it as the notebook that it is.
LAB_SETTINGS = """\
{
  "@jupyterlab/docmanager-extension:plugin": {
    "defaultViewers": {"python": "Jupytext Notebook"}
  }
}
"""


def test(profile: str | None, rest: list[str]) -> int:
    """Run every test: units, pairs, notebooks and the site, in the smoke profile.

    With `--fast` neither notebooks nor site, nor what is marked `slow`.
    """
    data = ("--quick",) if "--fast" in rest else ()  # (): every byte is hashed
    python, env = ready(profile or "smoke", data=data, all_data=True)
    env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    env |= {"IPYTHONDIR": str(ROOT / ".venv" / "ipython")}  # no startup files of theirs
    env.pop("MPLBACKEND", None)
    workers = str(min(2, os.cpu_count() or 1))
    command = [python, "-m", "pytest", "-n", workers, *rest]
    return become(command, env)


class Pages(http.server.SimpleHTTPRequestHandler):
    """The built site, quietly, with types that do not depend on the system."""

    # it belongs to the class there as well
    extensions_map: ClassVar = {  # pyright: ignore[reportIncompatibleVariableOverride]
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
    }

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the address on the screen is all a reader needs."""


class Server(http.server.ThreadingHTTPServer):
    """A server on this machine only; Windows would share a taken port, so not there."""

    allow_reuse_address = os.name != "nt"
    daemon_threads = True


def open_server(port: int, site: Path) -> Server:
    """Open the server on `port`, or on the next free one of fifty.

    Raises:
        SetupError: where none of them can be had.
    """
    handler = functools.partial(Pages, directory=str(site))
    for here in range(port, min(port + 50, 65536)):
        try:
            server = Server(("127.0.0.1", here), handler)
        except OSError:
            continue
        if here != port:
            say(f"Port {port} is taken; using {here}.")
        return server
    raise SetupError(
        f"No port from {port} to {min(port + 49, 65535)} is free for us: "
        f"choose another one with {SCRIPT} serve --port N."
    )


def serve(profile: str | None, rest: list[str]) -> int:
    """Serve the built site until Ctrl-C."""
    if not (SITE / "index.html").is_file():
        raise SetupError(f"There is no site yet: make it with {SCRIPT} build.")
    port = int(rest[-1]) if rest else 8000
    with open_server(port, SITE) as server:
        say(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops).")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def clean(profile: str | None, rest: list[str]) -> int:
    """Remove what can be made again; what notebooks saved (`runs/`, …) stays."""
    caches = ("__pycache__", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints")
    paths = [ROOT / "_build", ROOT / ".hypothesis", ROOT / "book" / "node_modules"]
    deep = [ROOT / ".venv", ROOT / "data" / "cache"]
    for here, folders, _ in os.walk(ROOT):
        paths += [Path(here, name) for name in folders if name in caches]
        skip = (*caches, ".git", ".venv", "node_modules", "_build")
        folders[:] = [name for name in folders if name not in skip]
    gone = [path for path in paths if os.path.lexists(path)]
    if "--all" in rest:
        gone += [path for path in deep if os.path.lexists(path)]
    with at_rest():
        for path in gone:
            environment.remove(path)
            say(f"Removed {path.relative_to(ROOT)}")
    if not gone:
        say("Nothing to remove.")
    return 0


@contextlib.contextmanager
def at_rest():
    """Hold off set-ups and builds; `Busy` names one that is at work."""
    modules = ROOT / "book" / "package-lock.json"
    with (alone(ROOT / "requirements.txt", "set-up", wait=False),
          alone(modules, "download of fonts and scripts", wait=False),
          alone(*BUILDING, wait=False, note=BUILD_NOTE)):
        yield


CHAT_HELP = f"""\
{SCRIPT} chat CHECKPOINT [OPTION]…

Talk to a language model in the terminal: it goes on with the text you write; /quit or
Ctrl-D ends it. | 학습한 언어 모델과 이야기합니다. 적은 글을 모델이 이어 씁니다.

  CHECKPOINT        a folder of a training (checkpoints/ngt), or a .pt file
                    학습이 남긴 폴더나 .pt 파일
  --prompt TEXT     go on with this, once; without it you are asked for lines
                    이 글을 한 번 이어 씁니다. 적지 않으면 한 줄씩 묻습니다
  --tokens N        how many tokens to write (default 200) | 쓸 토큰의 수
  --temperature T   0 takes the likeliest token, more is more random (default 0.8)
                    0이면 늘 가장 그럴듯한 토큰을 고릅니다
  --top-k K         draw among the likeliest K only (default 40) | 후보의 수
  --seed S          the same seed gives the same text | 같은 시드면 같은 글

  {SCRIPT} chat checkpoints/ngt --prompt "ROMEO:"
"""


def show_help(profile: str | None, rest: list[str]) -> int:
    """Print the help: the page of a verb that has one, else that of all."""
    if rest == ["run"]:
        from book.command import parser
        from book.jobs import catalogue

        say(parser(catalogue()).format_help().rstrip())
    else:
        say((CHAT_HELP if rest == ["chat"] else HELP).rstrip())
    return 0


DO = {
    "": start,
    "build": build,
    "serve": serve,
    "lab": lab,
    "run": run,
    "chat": chat,
    "test": test,
    "clean": clean,
    "help": show_help,
}

if __name__ == "__main__":
    sys.exit(main())
