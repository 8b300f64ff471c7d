"""The command ``cpm-avs``: a table of what there is, of which only what is asked for is imported.

It lies beside the package, whose own import takes seconds: help is there at once, and Ctrl-C while
packages are imported is a line and no traceback. The files in ``tools/`` run the same commands.
"""

import os
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

INTERRUPTED = 128 + signal.SIGINT  # as shells count it


class Command(NamedTuple):
    """A row of the table.

    Args:
        summary: Its line in the help.
        extra: The optional dependencies of ``pyproject.toml`` that it needs.
    """

    summary: str
    extra: str | None = None


#: Name to what it does. ``cpm-avs some-name`` is ``main()`` of ``cpm_avs/commands/some_name.py``.
COMMANDS = {
    "demo": Command("segment what sounds in your own video, image with a sound, or folder"),
    "corpus": Command("segment all videos of a list or folder, on all GPUs or cores", "corpus"),
    "corpus-search": Command("say where in a corpus a class sounds", "corpus"),
    "app": Command("serve the web page on which a clip is uploaded or recorded", extra="demo"),
    "train": Command("train a model"),
    "test": Command("test a model"),
    "score": Command("score anybody's masks, or compare two methods'"),
    "score-clips": Command("score a model on composed clips: flicker, onset, offset, time"),
    "make-clip": Command("compose a clip in which objects take turns to sound"),
    "prepare-data": Command("prepare and check data sets"),
    "prepare-weights": Command("make the pretrained files that configs name"),
    "publish-model": Command("strip a checkpoint of all that only training needs"),
    "hub-folder": Command("write a model as a folder for the Hugging Face hub"),
    "export": Command("export a model to torch.export and ONNX", extra="export"),
    "ablation": Command("train, test and tabulate the rows of the paper's ablations"),
    "tune-rates": Command("compare learning rates of an ablation's rows on validation scenes"),
    "benchmark": Command("time parts of the toolbox on this machine"),
    "measure-memory": Command("peak memory of segmenting videos of several lengths"),
    "get-flops": Command("count a model's operations and parameters"),
    "browse-dataset": Command("draw what training sees and hears"),
    "confusion-matrix": Command("draw which classes a model takes for which"),
    "where-lost": Command("tell where a score is lost, to names or to masks"),
    "plot-log": Command("draw the curves of runs"),
    "plot-scenes": Command("draw samples of a test set with truth and prediction"),
    "stereo-tests": Command("test whether masks follow a sound from left to right"),
    "plot-acp": Command("draw how prompts tell sounds from what is mixed into them"),
}
# The package has the name that goes with this module's: from tools/, cpm-avs or `projects`.
_PACKAGE = f"{__name__.rpartition('cpm_avs_cli')[0]}cpm_avs"


def run(name: str) -> int:
    """Run a command with the process's arguments.

    Returns:
        Its exit status.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # jobs in the background ignore it, and go on so
        signal.signal(signal.SIGINT, _end)
    try:
        command, plain_errors = _imported(name)
        with plain_errors():
            signal.signal(signal.SIGINT, before)  # from here on there is something to tidy up
            return int(command.main() or 0)
    except ModuleNotFoundError as error:
        extra = COMMANDS[name].extra
        if extra is None:
            raise
        raise SystemExit(
            f"error: cpm-avs {name} needs {error.name}; in the repository: "
            f"pip install '.[{extra}]', or -r requirements-{extra}.txt"
        ) from error
    finally:  # whoever called this may go on
        signal.signal(signal.SIGINT, before)


def _imported(name: str) -> tuple[ModuleType, Any]:
    command = import_module(f"{_PACKAGE}.commands.{name.replace('-', '_')}")
    return command, import_module(f"{_PACKAGE}.launch").plain_errors


def _end(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def main() -> int:
    """Run what the first word names; without one, say what there is."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name == "--version":
        print(runpy.run_path(str(Path(__file__).parent / "cpm_avs" / "version.py"))["__version__"])
        return 0
    if name not in COMMANDS:
        print(f"error: no command {name!r}\n\n{_usage()}", file=sys.stderr)
        return 2
    sys.argv[:2] = [f"cpm-avs {name}"]
    return run(name)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: cpm-avs COMMAND [options]    (cpm-avs COMMAND --help lists them)",
            "",
            *rows,
            "",
            "  --version",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
