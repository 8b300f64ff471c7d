"""Visualization of CPM."""
