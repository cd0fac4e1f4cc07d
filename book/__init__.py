"""All that turns the notebooks into a site: execute, two editions, one site."""

import sys

# jsonschema compiles a grammar of web addresses when it finds this package, which
# takes longer than all else we import; a notebook is checked without it. None stands
# for what cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]
