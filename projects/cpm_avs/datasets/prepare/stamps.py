"""``prepare_data.py stamps``: rebuild data/stamps from Debian's package of Tux Paint stamps."""

import argparse
import csv
import io
import itertools
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from ...constants import SAMPLE_RATE
from ...files import check_folder, whole_file
from ...media.audio_functional import resample, root_mean_square
from ..composed.index import COLUMNS
from ..composing.pictures import fit_cutout
from ..composing.recordings import loudest_part
from ..picture_writing import write_picture

PACKAGE = "tuxpaint-stamps-default 2022.06.04-1"
#: Class -> photograph and recording (``.png`` and ``.ogg``), below usr/share/tuxpaint/stamps/.
#: Picked by eye among the stamps that have a recording of their own: photographs, no drawings.
SOURCES = {
    "bear": "animals/mammals/bears/bear",
    "camel": "animals/mammals/camel/camel",
    "cello": "hobbies/music/string/cello",
    "chimpanzee": "animals/mammals/apes/chimp",
    "cow": "animals/mammals/bovines/cow",
    "crow": "animals/birds/crow",
    "cymbal": "hobbies/music/percussion/cymbal_crash",
    "dog": "animals/mammals/dogs/dog",
    "dolphin": "animals/mammals/aquatic/dolphin",
    "donkey": "animals/mammals/equines/donkey",
    "drum": "hobbies/music/percussion/drum_tomtom_floor",
    "duck": "animals/birds/duck",
    "elephant": "animals/mammals/elephant",
    "fire-truck": "vehicles/emergency/firetruck",
    "frog": "animals/amphibians/frog",
    "horse": "animals/mammals/equines/horse",
    "owl": "animals/birds/owl",
    "penguin": "animals/birds/penguin",
    "rooster": "animals/birds/rooster",
    "saw": "household/tools/saw",
    "sheep": "animals/mammals/bovines/sheep",
    "tiger": "animals/mammals/cats/tiger",
    "toilet": "household/toilet",
    "violin": "hobbies/music/string/violin",
}
LICENCE = "GPL-2"
MAX_SIDE = 256  # px
MAX_SECONDS, MIN_SECONDS = 4.0, 0.6
MIN_LEVEL = 0.02  # root mean square of a recording scaled to a peak of 0.9
MAX_CORRELATION = 0.5  # between two classes' recordings, at any shift
_PREFIX = "./usr/share/tuxpaint/stamps/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument(
        "--deb",
        type=Path,
        required=True,
        help="the package file, from: apt-get download tuxpaint-stamps-default",
    )
    parser.add_argument("--out", type=Path, default=Path("data/stamps"), help="folder to write to")


def run(args: argparse.Namespace) -> None:
    """Write cut-outs, sounds and index.csv."""
    check_folder(args.out)
    wanted = {stem + suffix for stem in SOURCES.values() for suffix in (".png", ".ogg")}
    files = read_deb(args.deb, wanted)
    cutouts = {name: _made(make_cutout, files, stem + ".png") for name, stem in SOURCES.items()}
    sounds = {name: _made(make_sound, files, stem + ".ogg") for name, stem in SOURCES.items()}
    check_sounds(sounds)
    with whole_file(args.out / "index.csv") as index_file, index_file.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, stem in SOURCES.items():
            cutout = f"cutouts/{name}.png"
            write_picture(args.out / cutout, cutouts[name])
            writer.writerow(["photo", name, "", cutout, "", stem + ".png", LICENCE])
        for name, stem in SOURCES.items():
            sound = f"sounds/{name}.flac"
            with whole_file(args.out / sound) as part:
                soundfile.write(part, sounds[name], SAMPLE_RATE, subtype="PCM_16")
            writer.writerow(["sound", name, "", sound, "", stem + ".ogg", LICENCE])
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{len(SOURCES)} classes in {args.out}, {size / 2**20:.1f} MiB")


def read_deb(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Files of a Debian package, by their path below Tux Paint's stamps; needs no dpkg."""
    if not path.is_file():
        raise ValueError(
            f"{path} is missing. Get it with: apt-get download tuxpaint-stamps-default"
        )
    names = {_PREFIX + name: name for name in wanted}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_ar_member(path, b"data.tar"))) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name in names else None
                if content is not None:
                    found[names[member.name]] = content.read()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged, or packed in a way that this Python can't read ({error}). Get it "
            "again with: apt-get download tuxpaint-stamps-default"
        ) from error
    if missing := sorted(set(names.values()) - set(found)):
        raise ValueError(f"{path} lacks {', '.join(missing)}. The set is made from {PACKAGE}.")
    return found


def _ar_member(path: Path, prefix: bytes) -> bytes:
    """Content of the first member of an ar archive whose name starts with ``prefix``."""
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError(f"{path} is no Debian package.")
        while len(header := file.read(60)) == 60:
            if not header[48:58].strip().isdigit():
                raise ValueError(f"{path} is a damaged Debian package.")
            size = int(header[48:58])
            if header.startswith(prefix):
                return file.read(size)
            file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError(f"{path} is a Debian package without {prefix.decode()}.")


def _made(make: Callable[[bytes], NDArray], files: Mapping[str, bytes], name: str) -> NDArray:
    try:
        return make(files[name])
    except (ValueError, soundfile.SoundFileError) as error:
        raise ValueError(
            f"{name} of the package can't be used ({error}). The set is made from {PACKAGE}."
        ) from error


def make_cutout(content: bytes) -> NDArray[np.uint8]:
    """The object without its empty margin, at most ``MAX_SIDE`` px: (H, W, 4) BGRA.

    Raises:
        ValueError: It is no such picture, or transparent all over.
    """
    coded = np.frombuffer(content, np.uint8)
    decoded = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if content else None
    if decoded is None or decoded.dtype != np.uint8 or decoded.shape[2:] != (4,):
        raise ValueError("it is no picture with 8 bits a channel and opacity")
    return fit_cutout(np.asarray(decoded, np.uint8), MAX_SIDE)


def make_sound(content: bytes) -> NDArray[np.float32]:
    """The recording: mono, 16 kHz, silent ends off, its loudest ``MAX_SECONDS``, peak 0.9.

    Raises:
        ValueError: It is empty or silent.
    """
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    sound = resample(samples.T.mean(axis=0, keepdims=True), rate, SAMPLE_RATE)[0]
    if not sound.any():
        raise ValueError("it is silent")
    return loudest_part(sound, int(MAX_SECONDS * SAMPLE_RATE))


def check_sounds(sounds: dict[str, NDArray[np.float32]]) -> None:
    """Refuse recordings that are too short, nearly silent, or shared by two classes."""
    for name, sound in sounds.items():
        seconds, level = len(sound) / SAMPLE_RATE, root_mean_square(sound)
        if seconds < MIN_SECONDS or level < MIN_LEVEL:
            raise ValueError(
                f"The recording of {name!r} has {seconds:.2f} s at level {level:.3f}; it needs "
                f"{MIN_SECONDS} s and {MIN_LEVEL}. Choose another class."
            )
    for (name, sound), (other, twin) in itertools.combinations(sounds.items(), 2):
        if (alike := max_correlation(sound, twin)) > MAX_CORRELATION:
            raise ValueError(
                f"{name!r} and {other!r} share a recording (correlation {alike:.2f}). Drop one."
            )


def max_correlation(sound: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Largest absolute correlation of two sounds over all shifts, 0 to 1."""
    size = 1 << (len(sound) + len(other) - 1).bit_length()
    product = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(other, size))
    norms = float(np.linalg.norm(sound) * np.linalg.norm(other))
    return float(np.abs(np.fft.irfft(product, size)).max()) / norms
