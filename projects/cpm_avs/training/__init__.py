"""Training of CPM."""
