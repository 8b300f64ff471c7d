"""Numbers and places that all rooms of the project share."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
#: The folder of configs/, data/ and tools/: the repository, or what is installed of it.
REPOSITORY = _PACKAGE / ".mim" if (_PACKAGE / ".mim").is_dir() else _PACKAGE.parents[1]
#: Label of a pixel that is in no loss and no score.
IGNORE_INDEX = 255
#: Rate that sounds are brought to, Hz (Appendix A).
SAMPLE_RATE = 16_000
