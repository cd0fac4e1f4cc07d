"""Part I, the model: attention, layers, the Transformer and the decoder."""
