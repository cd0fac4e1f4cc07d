"""One head, step by step, is the attention of the book: `lib` in float64."""

import torch

from lib.attention.dot_product import attention_logits, row_entropy
from lib.attention.dot_product import scaled_dot_product_attention as attention
from lib.page.live import plain
from tests.live.node import computed

PROGRAM = """
const { revive } = require("./common/arrays.js");
const { attend } = require("./head/attend.js");
const { query, key, value, size, temperatures } = revive(input);
output = temperatures.map((temperature, row) => {
  const { scores, weights, z, entropy } = attend(query, key, value, size, row, temperature);
  return { scores, weights, z: [...z], entropy };
});
"""  # noqa: E501


def test_every_row_at_every_temperature_is_that_of_lib():
    draw = torch.Generator().manual_seed(0)
    query, key, value = 3 * torch.randn(3, 40, 16, generator=draw)
    temperatures = (4 * torch.rand(40, generator=draw) + 0.1).tolist()
    found = computed(PROGRAM, plain({"query": query, "key": key, "value": value,
                                     "size": 16, "temperatures": temperatures}))
    q, k, v = (part.double() for part in (query, key, value))
    for row, (answer, temperature) in enumerate(zip(found, temperatures, strict=True)):
        seen = slice(0, row + 1)
        z, weights = attention(q[row : row + 1] / temperature, k[seen], v[seen])
        for name, expected in {
                "scores": attention_logits(q[row : row + 1], k[seen])[0],
                "weights": weights[0], "z": z[0],
                "entropy": row_entropy(weights)[0]}.items():
            ours = torch.tensor(answer[name], dtype=torch.float64)
            torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
