"""Pieces of work are all done, each once, and each on one core."""

import os
import threading

import pytest
import torch

from lib.gravity.cores import share_out


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_piece_is_done_once_by_as_many_threads_as_there_are(threads):
    done, together = [], threading.Barrier(threads, timeout=30)

    def work(piece):
        if piece < threads:
            together.wait()  # breaks unless that many work at the same time
        done.append((piece, threading.get_ident(), torch.get_num_threads()))

    share_out(work, range(20))
    assert sorted(piece for piece, *_ in done) == list(range(20))
    assert len({thread for _, thread, _ in done}) == threads
    assert {own for *_, own in done} == {1}
    assert torch.get_num_threads() == threads


def test_no_gradient_is_recorded_and_an_error_is_raised(threads):
    number = torch.ones(1, requires_grad=True)
    found = []
    share_out(lambda _: found.append((number * 2).requires_grad), range(4))
    assert found == [False] * 4

    def work(piece):
        if piece == 2:
            raise ValueError("piece 2")

    with pytest.raises(ValueError, match="piece 2"):
        share_out(work, range(5))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_has_threads_of_its_own(threads):
    share_out(lambda _: None, range(4))
    child = os.fork()
    if child == 0:
        numbers = torch.zeros(4)
        share_out(lambda i: numbers[i].fill_(1), range(4))
        os._exit(int(numbers.sum()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
