"""How long parts of the toolbox take, and how much memory; ``tools/benchmark.py`` calls it."""
