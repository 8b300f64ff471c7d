"""The web page on a free port of this machine, for as long as a test needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from browser import until

from projects.cpm_avs.inference.page import Page, listen, page_server


@contextmanager
def serve(page: Page) -> Iterator[str]:
    """Yields the address."""
    server, opened = page_server(page), listen("127.0.0.1", 0)
    thread = Thread(target=server.run, kwargs=dict(sockets=[opened]))
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
