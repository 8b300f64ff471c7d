"""Datasets of CPM."""
