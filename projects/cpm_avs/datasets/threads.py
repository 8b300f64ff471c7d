"""Work on many files in threads, behind a progress bar."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def results_of(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int, title: str
) -> Iterator[Iterator[Result]]:
    """The results in the order of the items, while they come.

    Where the caller is interrupted, what has begun is finished, so that no file is left half
    written, and nothing else is begun: a pool by itself would do all that was handed to it.

    Args:
        work: Called with each item, in a thread.
        items: All that is to be done.
        workers: Threads.
        title: Of the progress bar, on stderr.
    """

    def computed() -> Generator[Result, None, None]:
        results = pool.map(work, items)
        yield from track(results, title, len(items), console=Console(stderr=True))

    pool = ThreadPoolExecutor(workers)
    try:
        with closing(computed()) as shown:  # the bar ends with it
            yield shown
    finally:
        pool.shutdown(cancel_futures=True)
