"""Notebook 91 and chapter 13: trainings with gravity, and their screening."""
