"""Part I, looking inside: every tensor by name, and the five analyses of them."""
