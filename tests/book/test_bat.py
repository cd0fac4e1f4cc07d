"""setup_and_run.bat under Wine's cmd, with a Windows stub before a real Python."""

import os
import shutil
import socketserver
import struct
import subprocess
import threading
from pathlib import Path

import house
import pytest

COMPILER = "x86_64-w64-mingw32-gcc"
NEEDED = ("wine", "wineserver", COMPILER)
MISSING = [tool for tool in NEEDED if not shutil.which(tool)]
wine = pytest.mark.skipif(
    bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}; install "
    "them (Debian: wine, gcc-mingw-w64-x86-64)"
)


class Answer(socketserver.StreamRequestHandler):
    """Run what the stub was asked, with a real Python; send output and exit code."""

    def handle(self) -> None:
        folder, utf8, *words = self.rfile.read().decode("utf-8").split("\0")[:-1]
        self.server.asked.append(words)
        env = house.environment(self.server.path, PYTHONUTF8=utf8)
        done = subprocess.run(
            [house.system_python(), *words],
            cwd=folder.removeprefix("Z:").replace("\\", "/"),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.wfile.write(done.stdout + struct.pack("<i", done.returncode))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A fresh Wine folder, the stub as an .exe, and the server behind it."""
    top = tmp_path_factory.mktemp("wine")
    stub = top / "stub.exe"
    source = Path(__file__).parents[1] / "wine" / "python_stub.c"
    options = ["-municode", "-Wall", "-Wextra", "-Werror", "-o", stub, source]
    subprocess.run([COMPILER, *options, "-lws2_32"], check=True)
    env = {
        "HOME": str(top),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "WINEPREFIX": str(top / "prefix"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["wineboot", "-i"], env=env, check=True, **quiet)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
    server.path, server.asked = house.path_with(top / "bin"), []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield stub, env, server
    server.shutdown()
    thread.join()
    server.server_close()
    subprocess.run(["wineserver", "-k"], env=env, check=False, **quiet)


@pytest.fixture
def home(tmp_path):
    return house.build(tmp_path / "한글 space")


@pytest.fixture
def batch(machine, home, tmp_path):
    """Run the .bat on a machine with these Pythons: `python="3.11.7"`, `py_311=…`."""
    stub, env, server = machine

    def run(*words: str, **pythons: str):
        programs = tmp_path / "programs"
        programs.mkdir()
        for name, version in pythons.items():
            program, _, minor = name.partition("_")
            shutil.copy(stub, programs / f"{program}.exe")
            beside = f"py-3.{minor[1:]}" if minor else program
            (programs / f"{beside}.version").write_text(version + "\n")
        server.asked.clear()
        more = {"WINEPATH": f"Z:{programs}".replace("/", "\\")}
        more["STUB_PORT"] = str(server.server_address[1])
        # From another folder by its full name. Beside a quoted word cmd /c would
        # undo the quotes of a quoted name: then from its own folder, as readers do.
        script, cwd = f"Z:{home}\\setup_and_run.bat".replace("/", "\\"), tmp_path
        if any(" " in word for word in words):
            script, cwd = "setup_and_run.bat", home
        done = subprocess.run(
            ["wine", "cmd", "/c", script, *words],
            env=env | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=cwd,
            check=False,
        )
        text = (done.stdout + done.stderr).decode("utf-8").replace("\r\n", "\n")
        return done.returncode, text, list(server.asked)

    return run


@pytest.mark.slow
@wine
def test_no_python_is_one_sentence_and_code_1(batch):
    code, text, asked = batch("build")
    assert (code, asked) == (1, [])
    assert text.startswith("No Python was found: the book needs Python 3.11")
    assert text.count("\n") == 1


@pytest.mark.slow
@wine
@pytest.mark.parametrize(
    "pythons", [{"python": "3.8.10"}, {"py": "3.10.4"}, {"python": "2.7.18"}]
)
def test_too_old_a_python_is_named_and_code_1(batch, pythons):
    code, text, asked = batch("build", **pythons)
    assert (code, asked) == (1, [])
    (version,) = pythons.values()
    assert text.startswith(f"Python {version} is too old: the book needs Python 3.11")
    assert text.count("\n") == 1


@pytest.mark.slow
@wine
def test_the_launcher_finds_a_new_python_beside_an_old_one(batch):
    code, text, asked = batch("--help", py_312="3.12.1", python="3.8.10")
    assert code == 0
    assert asked == [["-m", "book.cli", "--help"]]
    assert "노트북" in text  # UTF-8 all the way


@pytest.mark.slow
@wine
def test_a_python_newer_than_the_launchers_list_is_taken(batch):
    code, _, asked = batch("help", python="3.15.0")
    assert (code, asked) == (0, [["-m", "book.cli", "help"]])


@pytest.mark.slow
@wine
def test_an_unknown_verb_keeps_its_code_2(batch, home):
    code, text, _ = batch("biuld", python="3.11.7")
    assert code == 2
    assert "'biuld' is not known" in text
    assert not (home / ".venv").exists()


@pytest.mark.slow
@wine
def test_failing_pip_ends_in_code_1_and_says_what_to_do(batch, home):
    pins = home / "requirements.txt"
    pins.write_text(pins.read_text().replace("tiny==1.0", "tiny==2.0"))
    code, text, _ = batch("build", python="3.11.7")
    assert code == 1
    assert "tiny==2.0" in text
    assert "PIP_FIND_LINKS, and run this again.\n" in text
    assert not (home / "called.txt").exists()


@pytest.mark.slow
@wine
def test_in_a_korean_folder_with_a_space_words_and_code_come_through(batch, home):
    words = ["run", "02", "-p", "sentence", "안녕 세상"]
    code, text, asked = batch(*words, py_311="3.11.7")
    assert asked == [["-m", "book.cli", *words]]
    assert f"book.batch None {words[1:]}" in text
    assert code == 7
    assert (home / ".venv" / "ready.json").is_file()


def test_the_batch_file_has_windows_line_ends_and_plain_letters():
    lines = (house.ROOT / "setup_and_run.bat").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert all(line.endswith(b"\r") for line in lines)
    assert all(line.isascii() for line in lines)


def test_a_checkout_keeps_the_line_ends_on_every_system(tmp_path):
    git = ["git", "-c", "core.autocrlf=input", "-C", str(tmp_path)]
    for name in (".gitattributes", "setup_and_run.bat", "setup_and_run.sh"):
        shutil.copy(house.ROOT / name, tmp_path)
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True, stderr=subprocess.DEVNULL)
    for name in ("setup_and_run.bat", "setup_and_run.sh"):
        (tmp_path / name).unlink()
    subprocess.run([*git, "checkout", "-q", "."], check=True)
    batch = (tmp_path / "setup_and_run.bat").read_bytes()
    assert batch == (house.ROOT / "setup_and_run.bat").read_bytes()
    assert b"\r" not in (tmp_path / "setup_and_run.sh").read_bytes()
