"""The one command: what a reader meets on the way from a bare machine to the book."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import house
import pytest

from book import cli, environment
from book.relink import first_lines

if os.name == "nt":
    pytest.skip("setup_and_run.sh is for Linux and macOS; on Windows run "
                "tests/book/test_bat.py", allow_module_level=True)

NAME = "새 폴더 한글 space"


@pytest.fixture
def path(tmp_path):
    """A PATH with nothing on it but the shell's needs and one Python."""
    return house.path_with(tmp_path / "bin", **{"python3.11": house.system_python()})


@pytest.fixture
def home(tmp_path):
    return house.build(tmp_path / NAME)


@pytest.fixture(scope="module")
def ready_home(tmp_path_factory):
    """A house that was set up once, for the tests that only look."""
    top = tmp_path_factory.mktemp("ready")
    path = house.path_with(top / "bin", **{"python3.11": house.system_python()})
    folder = house.build(top / NAME)
    first = house.go(folder, "build", "--jobs", "2", path=path)
    return folder, path, first


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.rstrip().endswith(".")


# ---- before anything is installed


def test_help_names_every_verb_and_installs_nothing(home, path):
    done = house.go(home, "--help", path=path)
    assert done.returncode == 0
    assert all(f"\n  {verb}" in done.stdout for verb in cli.VERBS if verb)
    assert "노트북" in done.stdout
    assert not (home / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "came", "known"),
    [
        (["biuld"], "biuld", "build, serve, lab, run, chat, test, clean, help"),
        ([""], "verb ''", "build, serve, lab, run, chat, test, clean, help"),
        (["build", "--job", "2"], "--job", "--jobs, --out"),
        (["--prot", "1"], "--prot", "--port"),
        (["serve", "--port", "x"], "'x'", "from 0 to 65535"),
        (["serve", "--port", "65536"], "65536", "from 0 to 65535"),
        (["build", "--jobs", "0"], "'0'", "from 1"),
        (["build", "--out"], "--out", "needs a value"),
        (["build", "--profile", "big"], "big", "smoke, book, gpu"),
        (["--profile=big", "run", "book"], "big", "smoke, book, gpu"),
        (["clean", "--profile"], "''", "smoke, book, gpu"),
    ],
)
def test_a_wrong_word_ends_in_one_sentence_and_code_2(home, path, words, came, known):
    done = house.go(home, *words, path=path)
    assert done.returncode == 2
    assert came in done.stderr and known in done.stderr
    assert one_sentence(done.stderr.replace(". See ", "; see ")), done.stderr
    assert done.stdout == ""
    assert not (home / ".venv").exists()


def test_a_wrong_profile_in_the_environment_is_named(home, path):
    done = house.go(home, "build", path=path, BOOK_PROFILE="large")
    assert done.returncode == 2
    assert "'large'" in done.stderr


def test_without_python_one_sentence_says_where_to_get_it(home, tmp_path):
    done = house.go(home, "build", path=house.path_with(tmp_path / "none"))
    assert done.returncode == 1
    assert "No Python was found" in done.stderr and "3.11" in done.stderr
    assert one_sentence(done.stderr)


def test_python_3_8_is_too_old_and_named(home, tmp_path):
    old = house.path_with(tmp_path / "old", python3="echo Python 3.8.10")
    done = house.go(home, "build", path=old)
    assert done.returncode == 1
    assert "Python 3.8.10 (python3) is too old" in done.stderr
    assert one_sentence(done.stderr)


def test_a_newer_python_is_found_beside_an_old_one(home, tmp_path):
    programs = {"python3": "echo Python 3.8.10", "python": house.system_python()}
    done = house.go(home, "help", path=house.path_with(tmp_path / "two", **programs))
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


@pytest.mark.slow
def test_a_symbolic_link_to_the_script_finds_its_folder(home, path, tmp_path):
    real, elsewhere = home / "setup_and_run.sh", tmp_path / "bin 한글"
    elsewhere.mkdir()
    (elsewhere / "book").symlink_to(real)
    (elsewhere / "again").symlink_to("book")
    os.symlink(os.path.relpath(real, elsewhere), elsewhere / "relative")
    (tmp_path / "folder").symlink_to(home, target_is_directory=True)
    scripts = [*elsewhere.iterdir(), tmp_path / "folder" / "setup_and_run.sh"]
    for script in scripts:
        done = subprocess.run([script, "help"], env=house.environment(path), cwd="/",
                              capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script
    done = subprocess.run(["/bin/sh", "again", "help"], env=house.environment(path),
                          capture_output=True, text=True, check=False, cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_32_bit_python_is_refused_before_anything_is_made(home, monkeypatch):
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1)
    with pytest.raises(environment.SetupError, match="is a 32-bit Python"):
        environment.ensure(home)
    assert not (home / ".venv").exists()


def test_python_without_ensurepip_names_the_package(monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    minor = "python{}.{}-venv".format(*sys.version_info)
    with pytest.raises(environment.SetupError, match=minor):
        environment.check_pip()
    monkeypatch.setattr(environment.shutil, "which", lambda name: "/bin/uv")
    assert environment.check_pip() is None  # uv needs no pip


def test_a_python_that_cannot_make_environments_is_taken_last(home, tmp_path):
    real = house.system_python()
    poor = f'[ "$1" = -c ] && exit 1\n[ "$1" = -m ] && exit 33\nexec "{real}" "$@"'
    programs = {"python3.11": poor, "python3": real}
    done = house.go(home, "help", path=house.path_with(tmp_path / "both", **programs))
    assert done.returncode == 0
    (tmp_path / "both" / "python3").unlink()
    assert house.go(home, "help", path=str(tmp_path / "both")).returncode == 33


# ---- the set-up


@pytest.mark.slow
def test_a_set_up_in_a_korean_folder_with_spaces_reaches_the_verb(ready_home):
    folder, _, done = ready_home
    assert "Making .venv" in done.stdout and "ready" in done.stdout
    assert done.returncode == 7  # the tool's own code comes through
    assert "book.build None ['--profile', 'book', '--jobs', '2']" in done.stdout
    assert (folder / "data.txt").read_text().startswith("asked")


def test_a_second_run_installs_nothing(ready_home):
    folder, path, _ = ready_home
    stamp = folder / ".venv" / "ready.json"
    before = stamp.stat().st_mtime_ns
    done = house.go(folder, "build", path=path)
    assert done.stdout.splitlines() == ["book.build None ['--profile', 'book']"]
    assert stamp.stat().st_mtime_ns == before


def test_words_reach_the_batch_as_they_were_given(ready_home):
    folder, path, _ = ready_home
    words = ["run", "02", "-p", "sentence", "안녕 \"세상\" --profile", "--force"]
    done = house.go(folder, *words, "--profile", "smoke", path=path)
    expected = [*words[1:], "--profile", "smoke"]
    assert done.stdout.strip() == f"book.batch smoke {expected}"
    assert done.returncode == 7


def test_words_reach_the_chat_as_they_were_given(ready_home):
    folder, path, _ = ready_home
    words = ["chat", "runs/세상", "--prompt", "-h \"안녕\"", "--temperature", "-1"]
    done = house.go(folder, *words, path=path)
    assert done.stdout.strip() == f"lib.workbench.chat None {words[1:]}"
    assert done.returncode == 7


def test_the_link_to_the_checkout_is_relative_and_ascii(ready_home):
    folder, _, _ = ready_home
    (link,) = (folder / ".venv").rglob("attention_gravity_tokens.pth")
    assert link.read_bytes() == b"../../../..\n"
    code = "import lib, tiny; print(lib.__file__)"
    found = subprocess.run(
        [environment.venv_python(folder), "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1"},
        cwd="/",
        check=True,
    )
    assert Path(found.stdout.strip()).samefile(folder / "lib" / "__init__.py")


def test_other_environments_do_not_leak_in(ready_home):
    folder, path, _ = ready_home
    done = house.go(folder, "build", path=path, PYTHONHOME="/no", PYTHONSAFEPATH="1")
    assert done.returncode == 7, done.stderr


def test_data_that_cannot_be_had_ends_the_verb_with_its_code(ready_home):
    folder, path, _ = ready_home
    source = folder / "lib" / "data" / "__main__.py"
    kept = source.read_text()
    try:
        source.write_text("import sys\nprint('no data.', file=sys.stderr)\nsys.exit(3)")
        done = house.go(folder, "build", path=path)
    finally:
        source.write_text(kept)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "no data.\n")


@pytest.mark.slow
def test_data_that_is_missing_ends_the_tests_and_not_a_build(ready_home):
    folder, path, _ = ready_home
    source = folder / "lib" / "data" / "__main__.py"
    kept = source.read_text()
    try:
        # longer than the one before: within a second Python tells them by their length
        lines = ("import sys", "print('there are no laws.', file=sys.stderr)",
                 "sys.exit(1)")
        source.write_text("\n".join(lines))
        done = house.go(folder, "build", path=path)
        refused = house.go(folder, "test", path=path)
    finally:
        source.write_text(kept)
    assert done.returncode == 7 and "book.build" in done.stdout
    assert done.stderr == "there are no laws.\n"
    assert "Going on without that data: only the chapters that read it" in done.stdout
    assert (refused.returncode, refused.stdout) == (1, "")


# Makes a site that lacks a chapter, or none at all.
GAP = """\
import sys
from pathlib import Path
Path("_build/site").mkdir(parents=True, exist_ok=True)
Path("_build/site/index.html").write_text("a site")
if Path("gap").exists():
    Path(sys.argv[sys.argv.index("--note") + 1]).write_text("Missing: 02_x.\\n")
sys.exit(1)
"""


@pytest.mark.slow
def test_a_site_that_lacks_a_chapter_is_served_and_the_last_word_says_so(
    copied_home, path
):
    environment.finish(copied_home)
    (copied_home / "book" / "build.py").write_text(GAP)
    (copied_home / "gap").touch()
    command = ["/bin/sh", str(copied_home / "setup_and_run.sh"), "--port", "0"]
    with subprocess.Popen(
        command, env=house.environment(path), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, encoding="utf-8",
    ) as server:
        address = server.stdout.readline().split()[4]
        with urllib.request.urlopen(address) as page:
            assert page.read() == b"a site"
        server.send_signal(signal.SIGINT)
        _, said = server.communicate()
    assert (server.returncode, said) == (1, "Missing: 02_x.\n")


@pytest.mark.slow
def test_where_no_site_could_be_built_an_older_one_is_not_served(copied_home, path):
    environment.finish(copied_home)
    (copied_home / "book" / "build.py").write_text(GAP)
    done = house.go(copied_home, path=path)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.slow
def test_failing_pip_shows_its_last_lines_and_a_second_run_repairs(home, path):
    pins = home / "requirements.txt"
    right = pins.read_text()
    pins.write_text(right.replace("tiny==1.0", "tiny==2.0"))
    failed = house.go(home, "build", path=path)
    assert failed.returncode == 1
    assert "tiny==2.0" in failed.stderr  # pip's own words
    last = failed.stderr.splitlines()[-1]
    assert "exit code 1" in last and "PIP_FIND_LINKS" in last
    assert not (home / "called.txt").exists()
    assert not (home / ".venv" / "ready.json").exists()

    pins.write_text(right)
    again = house.go(home, "build", path=path)
    assert "not whole: making it again" in again.stdout
    assert again.returncode == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"])
def test_a_folder_of_the_reader_for_packages_does_not_get_ours(
        home, path, tmp_path, name):
    done = house.go(home, "build", path=path, **{name: str(tmp_path / "mine")})
    assert "The environment is ready." in done.stdout
    assert environment.absent(home) == []
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_packages_that_went_elsewhere_are_no_environment(home, path, tmp_path):
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[install]\ntarget = {tmp_path / 'mine'}\n")
    failed = house.go(home, "build", path=path, PIP_CONFIG_FILE=str(settings))
    assert failed.returncode == 1
    assert "tiny==1.0 is not in .venv" in failed.stderr.splitlines()[-1]
    assert "pip config list" in failed.stderr
    assert not (home / ".venv" / "ready.json").exists()


@pytest.fixture
def copied_home(ready_home, tmp_path):
    """A copy of the house that was set up, in another folder."""
    return Path(shutil.copytree(ready_home[0], tmp_path / "copy", symlinks=True))


def script(home: Path, name: str, python: Path) -> Path:
    """Put a script into the environment of a house, as pip does."""
    file = home / ".venv" / "bin" / name
    file.write_bytes(first_lines(python) + b"import sys\nprint(sys.prefix)\n")
    file.chmod(0o755)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["copy", "the copy of 한글"])
def test_a_moved_checkout_keeps_its_packages_and_its_scripts_run(
        ready_home, tmp_path, path, folder):
    first = ready_home[0]
    home = Path(shutil.copytree(first, tmp_path / folder, symlinks=True))
    tool = script(home, "tool", first / ".venv/bin/python")
    kept = home / ".venv" / "kept"
    kept.touch()
    assert environment.state(home) == "moved"
    done = house.go(home, "build", path=path)
    assert "bringing the scripts in .venv along" in done.stdout
    assert environment.state(home) == "ready" and kept.exists()
    assert "Installing" not in done.stdout
    assert subprocess.check_output([tool], text=True).strip() == str(home / ".venv")
    activate = (home / ".venv/bin/activate").read_text("utf-8")
    assert str(first / ".venv") not in activate and str(home / ".venv") in activate
    again = Path(shutil.move(home, tmp_path / "again"))
    assert environment.brought_along(again)
    tool = again / ".venv/bin/tool"
    assert subprocess.check_output([tool], text=True).strip() == str(again / ".venv")
    assert not environment.brought_along(again)


@pytest.mark.slow
def test_a_moved_checkout_whose_python_is_gone_is_made_again(copied_home, path):
    for python in (copied_home / ".venv" / "bin").glob("python*"):
        python.unlink()
    assert environment.state(copied_home) == "moved"
    done = house.go(copied_home, "build", path=path)
    assert "making .venv again" in done.stdout
    assert environment.state(copied_home) == "ready"
    (copied_home / ".venv" / "ready.json").unlink()
    assert environment.state(copied_home) == "broken"


@pytest.mark.slow
def test_changed_requirements_are_brought_up_to_date(copied_home, path):
    environment.finish(copied_home)
    house.wheel(copied_home / "wheels", "little")
    with open(copied_home / "requirements.txt", "a") as pins:
        pins.write("little==1.0\n")
    done = house.go(copied_home, "build", path=path)
    assert "requirements have changed" in done.stdout
    assert list((copied_home / ".venv").rglob("tiny.py"))
    assert list((copied_home / ".venv").rglob("little.py"))
    assert environment.state(copied_home) == "ready"


def test_an_environment_whose_python_is_gone_is_broken(copied_home):
    environment.finish(copied_home)
    assert environment.state(copied_home) == "ready"
    for python in (copied_home / ".venv" / "bin").glob("python*"):
        python.unlink()
    assert environment.state(copied_home) == "broken"


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_a_set_up_stopped_in_the_middle_counts_as_broken(home, tmp_path, name):
    # uv's place is taken by a program that stops its parent and then stays.
    stay = "exec tail -f /dev/null" if name != "KILL" else "exit 0"
    killer = house.path_with(
        tmp_path / "killer",
        uv=f"kill -{name} $PPID; {stay}",
        **{"python3.11": house.system_python()},
    )
    stopped = house.go(home, "build", path=killer)
    expected = {"KILL": -signal.SIGKILL, "TERM": 130, "INT": 130}
    assert stopped.returncode == expected[name]
    assert environment.state(home) == "broken"
    if name != "KILL":
        assert "run the same again" in stopped.stderr


@pytest.mark.slow
def test_a_second_set_up_waits_for_an_installer_that_lost_its_parent(
    home, path, tmp_path
):
    os.mkfifo(tmp_path / "gate")
    orphan = house.path_with(
        tmp_path / "orphan",
        uv=f"kill -KILL $PPID; cat '{tmp_path}/gate'",
        **{"python3.11": house.system_python()},
    )
    first = subprocess.Popen(
        ["/bin/sh", str(home / "setup_and_run.sh"), "build"],
        env=house.environment(orphan),
        stdout=subprocess.DEVNULL,
    )
    assert first.wait() == -signal.SIGKILL
    second = subprocess.Popen(
        ["/bin/sh", str(home / "setup_and_run.sh"), "build"],
        env=house.environment(path),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert "Another set-up is at work" in second.stdout.readline()
    (tmp_path / "gate").write_text("the orphan may end\n")
    output, _ = second.communicate()
    assert "not whole: making it again" in output
    assert second.returncode == 7


@pytest.mark.slow
def test_uv_is_used_where_it_is_and_gets_pips_folders(home, tmp_path):
    wheel = "zipfile.ZipFile('wheels/tiny-1.0-py3-none-any.whl')"
    unpack = f"{wheel}.extractall(sysconfig.get_path('purelib'))"
    record = ('echo "$UV_FIND_LINKS|$@" > "$HOME/uv.txt"\n'
              f'"$4" -c "import sysconfig, zipfile; {unpack}"')
    path = house.path_with(
        tmp_path / "withuv", uv=record, **{"python3.11": house.system_python()}
    )
    more = {"HOME": str(tmp_path), "PIP_FIND_LINKS": "/a /b"}
    done = house.go(home, "build", path=path, **more)
    assert "with uv" in done.stdout and "with pip" not in done.stdout
    links, words = (tmp_path / "uv.txt").read_text().strip().split("|")
    assert links == "/a,/b"
    python = environment.venv_python(home)
    assert words == f"pip install --python {python} -r {home}/requirements.txt"


@pytest.mark.slow
def test_pip_takes_over_where_uv_fails(home, tmp_path):
    path = house.path_with(
        tmp_path / "baduv",
        uv="echo no such index; exit 2",
        **{"python3.11": house.system_python()},
    )
    done = house.go(home, "build", path=path)
    assert "uv could not (no such index); trying pip." in done.stdout
    assert environment.state(home) == "ready"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"PIP_FIND_LINKS": ""}, None),
        ({"PIP_FIND_LINKS": "/a"}, "/a"),
        ({"PIP_FIND_LINKS": "/a", "UV_FIND_LINKS": "/u"}, "/u"),
    ],
)
def test_uv_find_links_is_never_empty(monkeypatch, given, expected):
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert environment.installer_environment().get("UV_FIND_LINKS") == expected


# ---- the machine says no


def mounted(script: str, **env: str) -> subprocess.CompletedProcess:
    """Run `script` where mounts are its own, or skip."""
    private = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*private, "sh", "-c", "mount -t tmpfs t /mnt"]
    if not shutil.which("unshare") or subprocess.run(
        probe, capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount a small disk; run as root where "
                    "`unshare -m` works")
    return subprocess.run(
        [*private, "sh", "-ec", script],
        env=dict(os.environ, PYTHONUTF8="1", **env),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_a_small_disk_is_refused_before_anything_is_made(home):
    done = mounted(
        'mount -t tmpfs -o size=20m t /mnt; cp -r "$HOUSE" /mnt/house; '
        "cd /mnt/house; set +e; ./setup_and_run.sh build; code=$?; "
        "ls -a; exit $code",
        HOUSE=str(home),
    )
    assert done.returncode == 1
    assert "Only 0.0 GB are free" in done.stderr and "needs 4 GB" in done.stderr
    assert one_sentence(done.stderr)
    assert ".venv" not in done.stdout


@pytest.mark.slow
def test_a_disk_that_fills_up_while_installing_is_named(home):
    house.wheel(home / "wheels", "tiny", payload=bytes(60_000_000))
    go = (
        "from pathlib import Path; from book import environment as e\n"
        "e.check_folder = lambda root: None\n"
        "try: e.ensure(Path.cwd())\n"
        "except e.SetupError as error: print(error)"
    )
    done = mounted(
        'mount -t tmpfs -o size=60m t /mnt; cp -r "$HOUSE" /mnt/house; '
        'cd /mnt/house; "$PYTHON" -c "$GO"',
        HOUSE=str(home),
        PYTHON=house.system_python(),
        GO=go,
        PATH=f"{Path(shutil.which('mount')).parent}:/bin:/usr/bin",
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith("The disk is full (0.0 GB free"), done
    assert "free at least 4 GB and run this again." in last


def test_a_read_only_folder_is_named(home):
    done = mounted(
        'mount -t tmpfs t /mnt; cp -r "$HOUSE" /mnt/house; '
        "mount -o remount,ro /mnt; /mnt/house/setup_and_run.sh build",
        HOUSE=str(home),
    )
    assert done.returncode == 1
    assert "cannot be written to" in done.stderr and "copy the book" in done.stderr
    assert one_sentence(done.stderr)


# ---- the verbs


@pytest.fixture
def calls(monkeypatch):
    """The commands a verb would run, with their variables, instead of running them."""
    made = []
    monkeypatch.setattr(cli.environment, "ensure", lambda root: Path("PYTHON"))
    for name in ("call", "become"):
        monkeypatch.setattr(cli, name, lambda *made_of: made.append(made_of) or 0)
    return made


def test_the_tests_run_small_single_threaded_and_with_pytests_own_words(
    calls, monkeypatch
):
    monkeypatch.setenv("BOOK_PROFILE", "gpu")
    assert cli.main(["test", "-k", "gravity"]) == 0
    data, (command, env) = calls[0], calls[-1]
    assert data[0] == ["PYTHON", "-m", "lib.data"]  # every byte, not --quick
    assert command[:3] == ["PYTHON", "-m", "pytest"]
    assert command[-2:] == ["-k", "gravity"]
    assert (env["BOOK_PROFILE"], env["OMP_NUM_THREADS"]) == ("smoke", "1")


def test_a_relative_mirror_holds_in_every_folder(calls, monkeypatch):
    monkeypatch.setenv("BOOK_DATA_MIRROR", "../shared/data")
    cli.main(["build"])
    for _, env in calls:
        expected = (cli.ROOT.parent / "shared" / "data").resolve()
        assert env["BOOK_DATA_MIRROR"] == str(expected)


def test_a_relative_cache_holds_in_every_folder(calls, monkeypatch):
    monkeypatch.setenv("BOOK_DATA_CACHE", "elsewhere/cache")
    cli.main(["build"])
    assert {env["BOOK_DATA_CACHE"] for _, env in calls} == {
        str(cli.ROOT / "elsewhere" / "cache")
    }


def test_python_may_keep_what_it_compiles_in_the_environment(calls, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    cli.main(["build"])
    assert all("PYTHONDONTWRITEBYTECODE" not in env for _, env in calls)


def test_building_asks_for_the_data_quickly_and_batch_asks_itself(calls):
    cli.main(["build"])
    assert ["PYTHON", "-m", "lib.data", "--quick"] in [command for command, _ in calls]
    calls.clear()
    cli.main(["run", "02"])  # a mistyped -p must not wait for the data
    assert not any("lib.data" in command for command, _ in calls)
    assert calls[-1][0] == ["PYTHON", "-m", "book.batch", "02"]


def test_lab_opens_the_notebooks_on_this_machine_only(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    cli.main(["lab", "--no-browser"])
    command = calls[-1][0]
    assert command[:3] == ["PYTHON", "-m", "jupyterlab"]
    assert command[command.index("--ip") + 1] == "127.0.0.1"
    assert command[command.index("--ServerApp.root_dir") + 1] == str(tmp_path)
    assert "--LabApp.default_url=/lab/tree/notebooks" in command
    assert command[-1] == "--no-browser"
    (settings,) = (tmp_path / ".venv").rglob("default_setting_overrides.json")
    assert "Jupytext Notebook" in str(json.loads(settings.read_text()))


@pytest.fixture
def lab(calls, monkeypatch, tmp_path):
    """A checkout with results and notebooks; what lab opens in it for some words."""
    root = tmp_path / "책"
    for name in ("runs/01 a/02_x.ipynb", "notebooks/02_x.py", "notebooks/sub/y.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "outside.ipynb").touch()
    monkeypatch.setattr(cli, "ROOT", root)
    monkeypatch.setenv("OLDPWD", str(root / "notebooks" / "sub"))

    def opened(*words):
        code = cli.main(["lab", *words])
        command = calls[-1][0] if calls else []
        return code, *(word for word in command if "default_url" in word)

    return opened


@pytest.mark.parametrize(("words", "url"), [
    (["runs/01 a/02_x.ipynb"], "runs/01%20a/02_x.ipynb"),
    (["--no-browser", "runs", "--port", "9000"], "runs"),
    (["02_x.py"], "notebooks/02_x.py"),
    (["--port=9000", "y.md"], "notebooks/sub/y.md"),
    (["--port", "9000"], "notebooks"),
])
def test_lab_opens_what_is_named_from_wherever_the_reader_stands(lab, words, url):
    assert lab(*words) == (0, f"--LabApp.default_url=/lab/tree/{url}")


@pytest.mark.parametrize(("words", "said"), [
    (["gone.ipynb"], "There is no file or folder 'gone.ipynb'"),
    (["--no-browser", "../gone.ipynb"], "There is no file or folder"),
    (["../../../outside.ipynb"], "is not in the book's folder"),
    (["02_x.py", "runs"], "lab opens one file or folder"),
])
def test_what_lab_cannot_open_ends_in_one_sentence_and_code_2(lab, capsys, words, said):
    assert lab(*words) == (2,)
    error = capsys.readouterr().err
    assert said in error and one_sentence(error.replace(". See ", "; see "))


def test_lab_stops_where_a_notebook_holds_an_edit_that_its_source_lacks(
    calls, monkeypatch
):
    checks = lambda command, env: int("--edited" in command)  # noqa: E731
    monkeypatch.setattr(cli, "call", checks)
    assert cli.main(["lab"]) == 1
    assert calls == []


def test_the_kernel_is_ours_even_where_the_account_has_another(tmp_path):
    other = tmp_path / "data" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "theirs", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    env = cli.child_environment(None) | {"JUPYTER_DATA_DIR": str(tmp_path / "data")}
    code = (
        "from jupyter_client.kernelspec import KernelSpecManager as M;"
        "print(M().get_kernel_spec('python3').resource_dir)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(sys.prefix)


def test_serving_before_building_says_what_to_do(home, path):
    done = house.go(home, "serve", path=path)
    assert done.returncode == 1
    assert "There is no site yet" in done.stderr and "build" in done.stderr
    assert not (home / ".venv").exists()


def test_a_taken_port_gives_the_next_and_the_pages_are_served(home, path):
    site = home / "_build" / "site"
    site.mkdir(parents=True)
    (site / "index.html").write_text("<h1>어텐션</h1>", encoding="utf-8")
    (site / "app.mjs").write_text("export {}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = subprocess.Popen(
            ["/bin/sh", str(home / "setup_and_run.sh"), "serve", "--port", str(port)],
            env=house.environment(path),
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert server.stdout.readline().startswith(f"Port {port} is taken; using ")
        address = server.stdout.readline().split()[4]
    page = urllib.request.urlopen(address)
    assert page.read().decode() == "<h1>어텐션</h1>"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    script = urllib.request.urlopen(address + "app.mjs")
    assert script.headers["Content-Type"].startswith("text/javascript")
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        urllib.request.urlopen(address + "../requirements.txt")
    missing.value.close()
    page.close()
    script.close()
    server.send_signal(signal.SIGINT)
    server.communicate()
    assert server.returncode == 0


def test_the_server_listens_on_this_machine_only(tmp_path):
    with cli.open_server(0, tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_clean_removes_what_was_built_and_keeps_what_was_computed(home, path):
    for name in ("_build/site", "lib/__pycache__", "runs", "data/cache", ".venv"):
        (home / name).mkdir(parents=True, exist_ok=True)
    done = house.go(home, "clean", path=path)
    assert done.returncode == 0
    assert "Removed _build" in done.stdout and "__pycache__" in done.stdout
    assert not (home / "_build").exists()
    assert (home / "runs").exists() and (home / ".venv").exists()

    deep = house.go(home, "clean", "--all", path=path)
    assert "Removed .venv" in deep.stdout
    assert not (home / "data" / "cache").exists()
    assert (home / "runs").exists()


def test_the_shell_scripts_pass_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not here; install the package of that name")
    scripts = ["setup_and_run.sh", ".ci/run"]
    done = subprocess.run(
        ["shellcheck", *scripts],
        cwd=cli.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
