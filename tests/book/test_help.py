"""What a reader is told on asking for help, before anything is installed."""

import os
import re

import house
import pytest

from book import cli
from lib.workbench import chat


@pytest.mark.skipif(os.name == "nt", reason="setup_and_run.sh is for Linux and macOS; "
                    "on Windows run tests/book/test_bat.py")
@pytest.mark.parametrize(("words", "said"), [
    (["run", "--help"], ["run [-h] [-p NAME VALUE]", "wikitext103", "--list"]),
    (["run", "ngt", "-h"], ["run [-h] [-p NAME VALUE]"]),
    (["chat", "--help"], ["chat CHECKPOINT", "--top-k K"]),
    (["chat", "checkpoints/ngt", "-h"], ["chat CHECKPOINT"]),
    (["build", "--help"], ["[VERB]", "run --help and chat --help tell more"]),
])
def test_run_and_chat_have_a_page_of_help_of_their_own(tmp_path, words, said):
    home = house.build(tmp_path / "새 폴더")
    path = house.path_with(tmp_path / "bin", **{"python3.11": house.system_python()})
    done = house.go(home, *words, path=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(text in done.stdout for text in said)
    assert not (home / ".venv").exists()


def test_the_help_of_chat_names_every_option_that_chat_takes(capsys):
    with pytest.raises(SystemExit):
        chat.main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) >= 5
    assert options <= set(re.findall(r"--[a-z-]+", cli.CHAT_HELP))
