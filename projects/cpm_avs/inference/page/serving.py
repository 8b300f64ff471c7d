"""The web page on a socket: Gradio's app behind a gate, run by uvicorn."""

import errno
import socket
from collections.abc import Callable, Sequence

import fastapi
import gradio as gr
import uvicorn
from gradio.routes import App
from starlette.routing import Mount

from ...errors import UserError
from .gate import Gate
from .page import Page

_PORTS = range(7860, 7960)  # as Gradio's
_SYSTEM_FONTS = ("system-ui", "sans-serif")  # nothing is fetched from elsewhere
# On a phone all columns stand below each other and nothing is wider than the screen; a video that
# was taken upright leaves room for the button and the result.
_CSS = (
    "video, img {max-width: 100%; height: auto} "
    "video {max-height: 60vh !important; object-fit: contain} "
    ".gradio-container {padding: 8px !important}"
)


class _Server(uvicorn.Server):
    """Ends the connections that Gradio keeps open, rather than cut them off.

    Args:
        config: Of the server.
        stops: Called before it waits for the connections to end.
    """

    def __init__(self, config: uvicorn.Config, stops: Sequence[Callable[[], None]]) -> None:
        super().__init__(config)
        self._stops = stops

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, whose sockets these are."""
        for stop in self._stops:
            stop()
        await super().shutdown(sockets)


def page_server(page: Page) -> uvicorn.Server:
    """The page, to be run with a socket of ``listen``.

    Gradio's own launch would ask the page for itself through the user's proxy, take its time
    over an address that does not exist, and answer to more than the page needs.
    """
    blocks = page.build()
    app = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        blocks,
        path="",
        max_file_size=f"{page.limits.megabytes}mb",
        theme=gr.themes.Default(font=_SYSTEM_FONTS, font_mono=("monospace",)),
        css=_CSS,
        footer_links=[],
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
    )
    mounted = app.routes[-1]
    assert isinstance(mounted, Mount) and isinstance(mounted.app, App)
    blocks.has_launched = True  # else Gradio would take any file of the server for an upload
    gate = Gate(app, folder=page.folder, largest=page.limits.megabytes * 1_000_000)
    config = uvicorn.Config(gate, ws="none", log_level="warning", timeout_graceful_shutdown=3)
    return _Server(config, [page.visitors.close, mounted.app.stop_event.set])


def listen(host: str, port: int | None) -> socket.socket:
    """Open an address for the page.

    Args:
        host: 127.0.0.1 is this machine only.
        port: None takes the first free one from 7860 on.

    Raises:
        UserError: It can't be opened.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)
        family, *_, address = min(found)  # IPv4 before IPv6
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host {host}: there is no such address; give 127.0.0.1 for this machine alone or "
            "0.0.0.0 for others, too"
        ) from error
    for candidate in _PORTS if port is None else [port]:
        try:
            return socket.create_server((str(address[0]), candidate), family=family)
        except OverflowError:
            raise UserError(f"--port {port}: give 1 to 65535") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"--port {port} is taken; give another one, or none to get the first that is "
                    "free"
                ) from error
            raise UserError(
                f"the page can't be opened at {host}:{candidate} ({error.strerror}); give another "
                "--host or --port"
            ) from error
    raise UserError(f"ports {_PORTS[0]} to {_PORTS[-1]} are taken; give a free one as --port")
