"""Training, for all parts: the loop, batches, checkpoints, and going on from them."""
