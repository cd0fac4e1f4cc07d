"""After set-up no chapter needs a network: one runs where nothing can be reached."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib import data

CHAPTER = "03_heads_and_masks"  # reads two texts and a language model
# The kernel talks to its worker through the loopback, which a new namespace has down.
RUN = """\
import fcntl, json, socket, struct, sys
from pathlib import Path
with socket.socket() as plug:
    up = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
    fcntl.ioctl(plug, 0x8914, up)  # SIOCSIFFLAGS
reached = []
for host in ("192.0.2.1", "1.1.1.1", "pypi.org"):
    try:
        socket.create_connection((host, 443), timeout=20).close()
        reached.append(host)
    except OSError:
        continue
from book import execute
execute.EXECUTED = Path(sys.argv[2])
result = execute.execute(Path(sys.argv[1]), "smoke")
print(json.dumps([reached, result.status, result.cached, result.error]))
"""


def own_network() -> list[str]:
    """The command that gives what follows a network of its own, or skip."""
    command = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if not shutil.which("unshare") or subprocess.run(
        [*command, "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine lets nobody have a network of its own; run as root "
                    "where `unshare -n` works")
    return command


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are of Linux")
def test_a_chapter_with_data_and_a_model_runs_where_nothing_can_be_reached(tmp_path):
    command = own_network()
    missing = [line["name"] for line in data.fetch() if not line["ok"]]
    assert missing == [], "set-up did not fetch all"
    notebook = Path(__file__).parents[2] / "notebooks" / f"{CHAPTER}.py"
    done = subprocess.run(
        [*command, sys.executable, "-c", RUN, str(notebook), str(tmp_path)],
        cwd=notebook.parents[1], check=False, capture_output=True, text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], "ok", False, ""]
    kept = [file.name for file in (tmp_path / "smoke").iterdir()]
    assert len(kept) == 1 and kept[0].startswith(CHAPTER)
