"""What the web page's server answers to: what the page asks for, of bounded size."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FILE = "/gradio_api/file="
_UPLOAD = "/gradio_api/upload"
# All that a browser asks for while it uploads, segments and shows a clip. Gradio has some fifty
# routes more: a converter of recordings that opens playlists, statistics, a relay for addresses.
_ASKED = {
    "GET": r"/|/(assets|static)/.+|/(manifest\.json|favicon\.ico|theme\.css|robots\.txt)"
    r"|/gradio_api/(heartbeat/\w+|queue/data|upload_progress|app_id)|/gradio_api/file=.+",
    "POST": r"/gradio_api/(queue/join|run/predict|upload)",
}
_FORM = 65_536  # bytes of a request that is no upload, and of what goes around an upload's file
_LONGEST = 1000  # letters of an address
_UPLOADS_KEPT = 20  # room on the disk for so many uploads of the largest size, with their results


class Gate:
    """Refuses what the page does not need before Gradio sees it.

    Args:
        app: The page.
        folder: Of uploads and results; nothing else is served, and a limit is kept on its size.
        largest: Bytes of an upload.
    """

    def __init__(self, app: ASGIApp, *, folder: Path, largest: int) -> None:
        self.app, self.folder, self.largest = app, folder, largest
        self._expected: list[int] = []  # bytes of the uploads that are on their way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, send)
            elif scope["method"] == "POST":
                hand_on = self._upload if scope["path"] == _UPLOAD else self._join
                with suppress(ClientDisconnect):  # nobody to be told
                    await hand_on(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    def _refusal(self, request: Request) -> PlainTextResponse | None:
        path = request.scope["path"]
        asked = _ASKED.get("GET" if request.method == "HEAD" else request.method)
        if asked is None or re.fullmatch(asked, path) is None or len(path) > _LONGEST:
            return PlainTextResponse("Not found", 404)
        if path.startswith(_FILE) and not self._is_ours(path.removeprefix(_FILE)):
            return PlainTextResponse("Not found", 404)
        if request.method != "POST":
            return None
        length = request.headers.get("content-length", "")
        if not length.isdecimal():  # it could go on for ever
            return PlainTextResponse("The request does not say how long it is.", 411)
        if int(length) > _FORM + (self.largest if path == _UPLOAD else 0):
            return PlainTextResponse("The file is larger than is taken.", 413)
        room = _UPLOADS_KEPT * self.largest - sum(self._expected)
        if path == _UPLOAD and folder_size(self.folder) + int(length) > room:
            return PlainTextResponse("The server is full; try again in a few minutes.", 503)
        return None

    def _is_ours(self, path: object) -> bool:
        """Whether a file that is asked for is an upload or a result."""
        try:
            return Path(str(path)).resolve().is_relative_to(self.folder.resolve())
        except (OSError, ValueError):  # a name that no file can have
            return False

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what asks for nothing but uploads; Gradio would fetch a clip from any address."""
        body = await Request(scope, receive).body()

        def check(given: dict[str, object]) -> None:
            if "path" in given and not self._is_ours(given["path"]):
                raise ValueError

        try:
            json.loads(body, object_hook=check)
        except (ValueError, RecursionError):
            await PlainTextResponse("That is no upload.", 400)(scope, receive, send)
            return
        pending: list[Message] = [dict(type="http.request", body=body, more_body=False)]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        await self.app(scope, again, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = int(Request(scope).headers["content-length"])
        self._expected.append(length)
        try:
            await self.app(scope, receive, send)
        finally:
            self._expected.remove(length)
            if not self._expected:
                # Whole uploads lie in folders of their own. These were given up, or badly named.
                for path in self.folder.iterdir():
                    if path.is_file():
                        path.unlink(missing_ok=True)


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder, while others may be removing some."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total
