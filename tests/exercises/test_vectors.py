"""The checks of chapter 01 accept what is right, however written, and nothing else."""

import codecs
import math

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

from lib.attention.layers import sinusoidal_positions
from lib.exercises.vectors import (
    check_gradient,
    check_neighbours,
    check_place,
    check_shift,
    check_stream,
)

CHECKS = (check_stream, check_neighbours, check_gradient, check_place, check_shift)


# ---- the stream of pieces ---------------------------------------------------


def stream_with_a_decoder(pieces):
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [decoder.decode(piece) for piece in pieces]


def stream_with_a_buffer(pieces):
    kept, out = b"", []
    for piece in pieces:
        kept += piece
        text = kept.decode(errors="ignore")
        out.append(text)
        kept = kept[len(text.encode()) :]
    return out


def stream_of_the_whole_text(pieces):
    seen = [b"".join(pieces[: i + 1]) for i in range(len(pieces))]
    return [part.decode(errors="ignore") for part in seen]


def stream_kept_to_the_end(pieces):
    return [""] * (len(pieces) - 1) + [b"".join(pieces).decode()]


def late_by_one(pieces):
    out = stream_with_a_decoder(pieces)
    return ["", *out[:-2], "".join(out[-2:])] if len(out) > 1 else out


test_right_streams_are_accepted = accepts(
    check_stream, stream_with_a_decoder, stream_with_a_buffer
)


test_wrong_streams_get_their_hint = hints(
    check_stream,
    (lambda pieces: [p.decode(errors="replace") for p in pieces], "broken"),
    (lambda pieces: [p.decode(errors="ignore") for p in pieces], "Joined"),
    (stream_of_the_whole_text, "not the whole text"),
    (lambda pieces: stream_with_a_decoder(pieces)[:-1], "one a piece"),
    (late_by_one, "as soon as"),
    (stream_kept_to_the_end, "as soon as"),
)


# ---- neighbours -------------------------------------------------------------


def neighbours_by_sorting(matrix, row, k):
    def cosine(i):
        return float(matrix[i] @ matrix[row] / matrix[i].norm())

    others = [i for i in range(len(matrix)) if i != row]
    return sorted(others, key=cosine, reverse=True)[:k]


def neighbours_by_matrix(matrix, row, k):
    unit = F.normalize(matrix, dim=1)
    return (unit @ unit[row]).topk(k + 1).indices[1:]


def by_score(score):
    def answer(matrix, row, k):
        values = score(matrix, row)
        values[row] = -torch.inf
        return values.topk(k).indices

    return answer


test_right_neighbours_are_accepted = accepts(
    check_neighbours, neighbours_by_sorting, neighbours_by_matrix
)


test_wrong_neighbours_get_their_hint = hints(
    check_neighbours,
    (by_score(lambda m, i: m @ m[i]), "long rows win"),
    (by_score(lambda m, i: -(m - m[i]).norm(dim=1)), "order of distances"),
    (by_score(lambda m, i: -F.cosine_similarity(m, m[i][None])), "farthest"),
    (lambda m, i, k: F.cosine_similarity(m, m[i][None]).topk(k).indices, "itself"),
    (lambda m, i, k: neighbours_by_sorting(m, i, k + 1), "are wanted"),
    (lambda m, i, k: [(i + 1 + j) % len(m) for j in range(k)], "larger cosine"),
)


# ---- the gradient of the matrix ---------------------------------------------


def gradient_by_autograd(ids, given, vocab):
    matrix = torch.zeros(vocab, given.shape[1], dtype=given.dtype, requires_grad=True)
    matrix[ids].backward(given)
    return matrix.grad


def gradient_by_adding(ids, given, vocab):
    out = torch.zeros(vocab, given.shape[1], dtype=given.dtype)
    return out.index_add(0, ids, given)


def gradient_by_writing(ids, given, vocab):
    out = torch.zeros(vocab, given.shape[1], dtype=given.dtype)
    for i, row in zip(ids, given, strict=True):
        out[i] = row
    return out


def gradient_by_mean(ids, given, vocab):
    one_hot = F.one_hot(ids, vocab).to(given)
    return one_hot.T @ given / one_hot.sum(0).clamp(min=1)[:, None]


test_right_gradients_are_accepted = accepts(
    check_gradient, gradient_by_autograd, gradient_by_adding
)


test_wrong_gradients_get_their_hint = hints(
    check_gradient,
    (gradient_by_writing, "only the last one"),
    (gradient_by_mean, "not the mean"),
    (lambda ids, given, vocab: given, "shape"),
    (lambda ids, given, vocab: -gradient_by_adding(ids, given, vocab), "differ"),
)


# ---- the position of a vector -----------------------------------------------


def place_by_table(vector):
    return (sinusoidal_positions(1000, len(vector)).double() @ vector).argmax()


def place_by_clocks(vector):
    """The slowest pair gives a guess, each faster pair makes it finer."""
    speed = 10_000 ** (-torch.arange(0, len(vector), 2) / len(vector)).double()
    hands = torch.atan2(vector[0::2], vector[1::2])
    guess = 0.0
    for angle, omega in zip(hands.flip(0), speed.flip(0), strict=True):
        turns = torch.round((guess * omega - angle) / (2 * math.pi))
        guess = ((angle + 2 * math.pi * turns) / omega).item()
    return round(guess)


test_right_places_are_accepted = accepts(check_place, place_by_table, place_by_clocks)


test_wrong_places_get_their_hint = hints(
    check_place,
    (lambda v: round(torch.atan2(v[0], v[1]).item()), "comes round"),
    (lambda v: place_by_table(v) + 1, "gave"),
    (lambda v: float(place_by_table(v)) + 0.4, "gave"),
)


# ---- the matrix that shifts -------------------------------------------------


def shift_by_blocks(k, width):
    blocks = []
    for i in range(0, width, 2):
        angle = k * 10_000 ** (-i / width)
        c, s = math.cos(angle), math.sin(angle)
        blocks.append(torch.tensor([[c, s], [-s, c]]))
    return torch.block_diag(*blocks)


def shift_by_least_squares(k, width):
    table = sinusoidal_positions(5000 + k, width).double()
    return torch.linalg.lstsq(table[:-k], table[k:]).solution.T


def shift_in_halves(k, width):
    angle = k * 10_000 ** (-torch.arange(0, width, 2) / width)
    c, s = torch.diag(angle.cos()), torch.diag(angle.sin())
    return torch.cat((torch.cat((c, s), 1), torch.cat((-s, c), 1)))


def shift_from_zero(k, width):
    """Right for position 0 only: writes its image into the columns."""
    table = sinusoidal_positions(k + 1, width)
    return torch.outer(table[k], table[0]) / table[0].square().sum()


test_right_shifts_are_accepted = accepts(
    check_shift, shift_by_blocks, shift_by_least_squares
)


test_wrong_shifts_get_their_hint = hints(
    check_shift,
    (lambda k, width: shift_by_blocks(k, width).T, "other way"),
    (shift_in_halves, "alternate"),
    (shift_from_zero, "position 0 only"),
    (lambda k, width: torch.eye(width), "do not match"),
    (lambda k, width: torch.eye(width - 1), "shape"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("01_tokens_to_vectors", CHECKS)
