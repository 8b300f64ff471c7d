"""The web page."""

from .answers import Limits
from .page import Page
from .serving import listen, page_server

__all__ = ["Limits", "Page", "listen", "page_server"]
