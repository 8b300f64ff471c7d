"""The project's version, which pyproject.toml reads here, too."""

__version__ = "0.1.0"
