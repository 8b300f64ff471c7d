"""Inference of CPM."""
