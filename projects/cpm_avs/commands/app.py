"""Serve the web page on which a clip is uploaded or recorded and segmented."""

import argparse
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..launch import add_device_option, add_model_options, at_least, built_from, read_config

_PROXY = re.compile(r"(http|https|all)_proxy", re.IGNORECASE)


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add_device_option(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 lets other machines in; default: this one only"
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument(
        "--max-seconds",
        type=at_least(1.0),
        default=60.0,
        help="longest clip (default: %(default)s)",
    )
    parser.add_argument(
        "--max-megabytes",
        type=at_least(1),
        default=100,
        help="largest upload (default: %(default)s)",
    )
    parser.add_argument(
        "--at-once",
        type=at_least(1),
        default=2,
        help="clips segmented at the same time (default: %(default)s)",
    )
    return parser.parse_args(args)


@contextmanager
def without_proxies() -> Iterator[None]:
    """Hide the user's proxies while Gradio is imported.

    It then makes clients for addresses that this page never asks for, which fails for a proxy of a
    kind that httpx has no package for (socks5://).
    """
    proxies = {name: os.environ.pop(name) for name in {*os.environ} if _PROXY.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(proxies)


def main(args: list[str] | None = None) -> int:
    """Build the model and the examples, then serve until interrupted."""
    options = parse_args(args)
    # A service manager's end is the same as Ctrl-C: the uploads go with the server.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="cpm_avs_page_") as folder:
        # Gradio reads both when it is imported: uploads and results lie in a folder that goes with
        # the server, and nothing is reported to anybody.
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "visitors")
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from ..inference import AVSInferencer
        from ..inference.example_clips import examples_for, write_example
        from ..inference.model_loading import load_config

        with without_proxies():
            from ..inference.page import Limits, Page, listen, page_server

        try:
            opened = listen(options.host, options.port)
            config = read_config(options.config, read=load_config)
            with built_from(config):
                inferencer = AVSInferencer(config, options.checkpoint, options.device)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        limits = Limits(
            seconds=options.max_seconds,
            megabytes=options.max_megabytes,
            at_once=options.at_once,
        )
        examples = [
            write_example(
                Path(folder) / f"scene {seed}.mp4", examples_for(inferencer.classes, seed=seed)
            )
            for seed in (1, 2, 3)
        ]
        server = page_server(Page(inferencer, limits=limits, examples=examples))
        host, port = opened.getsockname()[:2]
        shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
        print(f"The page: http://{f'[{shown}]' if ':' in shown else shown}:{port}", flush=True)
        with suppress(KeyboardInterrupt):  # uvicorn passes it on when the page is closed
            server.run(sockets=[opened])
    return 0
