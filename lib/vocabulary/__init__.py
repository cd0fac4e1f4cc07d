"""Part III, its vocabulary: ids reassigned, rows made, the model trained on."""
