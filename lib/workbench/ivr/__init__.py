"""Notebook 92: the seven stages from a BPE to a reassigned vocabulary."""
