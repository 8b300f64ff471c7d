"""The web page."""

from . import importing  # noqa: F401  (before others import Gradio)
from .answers import Limits
from .page import Page
from .serving import listen, page_server

__all__ = ["Limits", "Page", "listen", "page_server"]
