"""Who is at the web page, and which files are there for them: both go when they leave."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock


class VisitorLeftError(Exception):
    """Nobody waits for the result any more."""


@dataclass
class _Visit:
    """A tab of a browser.

    Attributes:
        gone: Set when it is closed.
        clip: The upload that is chosen in it.
        results: Folder of what it shows.
    """

    gone: Event = field(default_factory=Event)
    clip: str | None = None
    results: Path | None = None


class Visitors:
    """Everybody at the page, by Gradio's name of their session; any thread may call.

    Args:
        folder: Of uploads and results; nothing outside is removed.
        is_example: Whether a clip is one of those that the page offers, which stay.
    """

    def __init__(self, folder: Path, is_example: Callable[[str], bool]) -> None:
        self.folder, self._is_example = folder, is_example
        self._visits: dict[str, _Visit] = {}
        self._holders: Counter[str] = Counter()  # of uploads; two people's may be the same file
        self._lock = Lock()
        self._closed = False

    def choose(self, session: str, clip: str | None) -> None:
        """Note which upload a visitor has chosen; the one before goes."""
        with self._lock:
            self._choose(self._visits.setdefault(session, _Visit()), clip)

    @contextmanager
    def job(self, session: str, clip: str) -> Iterator[tuple[Path, Callable[[], None]]]:
        """While a visitor's clip is segmented.

        Yields:
            A folder for results, which takes the place of the visitor's last one unless an error is
            raised; and what raises ``VisitorLeftError`` as soon as the visitor is gone.
        """
        with self._lock:
            if self._closed:
                raise VisitorLeftError
            visit = self._visits.setdefault(session, _Visit())
            self._choose(visit, clip)
            self._holders[clip] += 1
        results: Path | None = Path(tempfile.mkdtemp(prefix="result_", dir=self.folder))

        def check() -> None:
            if visit.gone.is_set():
                raise VisitorLeftError

        try:
            assert results is not None
            yield results, check
            with self._lock:
                check()
                results, visit.results = visit.results, results  # the earlier ones go
        finally:
            with self._lock:
                self._release(clip)
            if results is not None:
                shutil.rmtree(results, ignore_errors=True)

    def leave(self, session: str) -> None:
        """Stop a visitor's jobs and remove what was there for them."""
        with self._lock:
            visit = self._visits.pop(session, None)
            if visit is None:
                return
            visit.gone.set()
            self._choose(visit, None)
            if visit.results is not None:
                shutil.rmtree(visit.results, ignore_errors=True)

    def close(self) -> None:
        """Send everybody away, and let nobody in."""
        self._closed = True
        for session in list(self._visits):
            self.leave(session)

    def _choose(self, visit: _Visit, clip: str | None) -> None:
        if clip == visit.clip:
            return
        if clip is not None:
            self._holders[clip] += 1
        if visit.clip is not None:
            self._release(visit.clip)
        visit.clip = clip

    def _release(self, clip: str) -> None:
        self._holders[clip] -= 1
        if self._holders[clip] > 0:
            return
        del self._holders[clip]
        ours = Path(clip).resolve().is_relative_to(self.folder.resolve())
        if self._is_example(clip) or not ours:
            return
        Path(clip).unlink(missing_ok=True)
        with suppress(OSError):  # another upload of the same content lies there under another name
            Path(clip).parent.rmdir()
