"""Subcommands of ``tools/prepare_data.py``: each has ``add_arguments`` and ``run``."""
