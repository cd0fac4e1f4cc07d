"""The swap that the chapters on rows and on tuning share, on whichever text is here."""

import pytest

from lib import data
from lib.vocabulary.small import korean_swap


@pytest.mark.parametrize("documents", [0, -1, 10**6])
def test_more_documents_than_the_text_bears_are_one_sentence(documents):
    lines = len(data.text("korean").splitlines())
    with pytest.raises(ValueError) as caught:
        korean_swap(reviews=50, pieces=4, documents=documents)
    assert str(caught.value) == (
        f"documents is {documents} and {data.describe('korean')} has {lines} lines to "
        f"learn from and to measure on; use 1 to {lines // 2}"
    )
