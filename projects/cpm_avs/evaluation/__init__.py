"""Evaluation of CPM."""
