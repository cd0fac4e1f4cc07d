"""All that turns the notebooks into a site: execute, two editions, one site."""
