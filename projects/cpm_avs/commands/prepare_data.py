"""Prepare and check data sets: ``cpm-avs prepare-data SUBCOMMAND --help``."""

import argparse
import importlib
import sys

SUBCOMMANDS = {
    "stamps": "rebuild the built-in data from Debian's tuxpaint-stamps-default",
    "oracle": "measure what a model that ignores the sound can reach on the built-in data",
    "check": "check a downloaded or composed data set",
    "compose": "make a set of photographs and recordings from what you have",
    "frames": "cut frames and sounds out of raw videos",
}


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; each is a module with ``add_arguments`` and ``run``."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    argv = sys.argv[1:] if argv is None else argv
    for name, summary in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in argv[:1]:  # only what is used is imported
            module = importlib.import_module(f"..datasets.prepare.{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run, argv=argv)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
