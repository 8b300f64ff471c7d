"""Models of CPM."""
