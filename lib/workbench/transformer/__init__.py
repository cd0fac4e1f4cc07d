"""Notebook 90: both Transformers of Part I on one task."""
