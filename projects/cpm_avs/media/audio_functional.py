"""Sound files to waveforms, and what can be done to waveforms.

Waveforms are float32 of shape (A, L), A channels and L samples, nominally in [-1, 1].
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ..structures import BadSampleError, UserError

Waveform = NDArray[np.float32]

#: Rate that sounds are brought to, Hz.
SAMPLE_RATE = 16000

#: Containers and codecs that libsndfile can't read and that go through PyAV.
PYAV_SUFFIXES = (
    ".mp4", ".m4a", ".m4v", ".aac", ".mkv", ".mka", ".mov", ".webm", ".avi", ".wma", ".3gp",
    ".flv", ".mpg", ".mpeg", ".ts", ".mts",
)  # fmt: skip
# FFmpeg also reads playlists, which name other files and addresses to open: not from a stranger.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,wav,w64,mp3,flac,"
    "aac,ac3,aiff,caf,amr,au,gif,mxf"
)
#: Options with which PyAV opens a file of the user.
ONLY_MEDIA = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
# Sizes that streaming writers leave in a RIFF header that they can't go back to.
_UNKNOWN_RIFF_SIZES = (0, 0x7FFFFFFF, 0x7FFFFFFF + 8, 0xFFFFFFFF - 8, 0xFFFFFFFF)
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's, where the header of a FLAC file states none
_OGG_HEADER, _OGG_LAST_PAGE = 27, 0x04  # bytes before the table of segments; a flag
_REMEDY = "Extract the sound again or take the sample out of the index"


def load_waveform(
    path: str | Path, *, sample_rate: int = SAMPLE_RATE, channels: int = 1
) -> Waveform:
    """Read a sound file, or the first sound track of a video, of any rate and channel count.

    Args:
        path: File to read.
        sample_rate: Rate wanted, Hz.
        channels: 1 averages the file's channels; 2 keeps the first two of several and repeats the
            one of a mono file.

    Returns:
        (channels, L) float32.

    Raises:
        BadSampleError: The file is missing, empty, truncated, not a sound, or holds no samples.
            Of mkv, webm and avi, whose sound tracks state no length, what is there is taken.
    """
    if channels not in (1, 2):
        raise UserError(f"channels={channels}: the model hears 1 (mono) or 2 (stereo) channels.")
    path = Path(path)
    if not path.is_file():
        raise BadSampleError(path, "the sound file is missing", "Check data_root and the index")
    if path.stat().st_size == 0:
        raise BadSampleError(path, "the sound file is empty (0 bytes)", _REMEDY)
    reader = _read_with_pyav if path.suffix.lower() in PYAV_SUFFIXES else _read_with_soundfile
    waveform, rate = reader(path)
    if not np.isfinite(waveform).all():
        raise BadSampleError(path, "the sound holds samples that are not finite", _REMEDY)
    waveform = resample(to_channels(waveform, channels), rate, sample_rate)
    if waveform.shape[1] == 0:
        raise BadSampleError(path, f"the sound has no samples at {sample_rate} Hz", _REMEDY)
    return waveform


def resample(waveform: Waveform, rate: int, new_rate: int) -> Waveform:
    """Bring (A, L) from ``rate`` to ``new_rate`` Hz: (A, about L * new_rate / rate)."""
    if rate == new_rate:
        return waveform
    resampled = soxr.resample(np.ascontiguousarray(waveform.T), rate, new_rate)
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def cut_window(waveform: Waveform, start: int, length: int) -> Waveform:
    """Cut ``length`` samples from sample ``start`` on; the sound repeats where it does not reach.

    A window that lies partly outside a sound of sufficient length is moved inside, so that what is
    heard stays one piece. A shorter sound is tiled from its beginning. (A slice with a negative
    start would count from the end, as in CAVP's code.)
    """
    if length <= 0:
        raise UserError(f"length={length}: a window needs at least one sample.")
    total = waveform.shape[1]
    if total == 0:
        raise ValueError("The waveform has no samples, there is nothing to cut or repeat.")
    if total < length:
        return np.tile(waveform, (1, -(-length // total)))[:, :length]
    start = min(max(start, 0), total - length)
    return waveform[:, start : start + length]


def pan_stereo(waveform: Waveform, position: float) -> Waveform:
    """Place a mono sound (1, L) at ``position`` from 0 (left) to 1 (right): L=w(1-p), R=wp."""
    if not 0 <= position <= 1:
        raise ValueError(f"position={position}: give 0 (left edge) to 1 (right edge).")
    if waveform.shape[0] != 1:
        raise ValueError(f"Only a mono sound can be placed, got {waveform.shape[0]} channels.")
    gains = np.array([[1 - position], [position]], dtype=np.float32)
    return gains * waveform


def mix(waveforms: Sequence[Waveform]) -> Waveform:
    """Sum waveforms of one shape (A, L), as air does: without renormalisation."""
    if not waveforms:
        raise ValueError("There is nothing to mix: give at least one waveform.")
    total = np.zeros_like(waveforms[0])
    for waveform in waveforms:
        if waveform.shape != total.shape:
            raise ValueError(
                f"Waveforms of shapes {total.shape} and {waveform.shape} can't be summed; "
                "cut both to one length first."
            )
        total += waveform
    return total


def root_mean_square(waveform: Waveform) -> float:
    """Root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def to_channels(waveform: Waveform, channels: int) -> Waveform:
    """(A', L) to (channels, L): the mean for 1; for 2 the first two, or a mono sound twice."""
    if channels == 1:
        return waveform.mean(axis=0, keepdims=True)
    return np.repeat(waveform, 2, axis=0) if waveform.shape[0] == 1 else waveform[:2]


def _read_with_soundfile(path: Path) -> tuple[Waveform, int]:
    try:
        with soundfile.SoundFile(path) as file:
            expected, rate = file.frames, file.samplerate
            counted = expected != _UNKNOWN_FRAMES
            waveform = file.read(dtype="float32", always_2d=True) if counted else None
    # A damaged header may state a length for which there is no memory.
    except (soundfile.SoundFileError, ValueError, RuntimeError, MemoryError) as error:
        raise BadSampleError(path, f"not a readable sound file ({error})", _REMEDY) from error
    if waveform is None:
        return _read_with_pyav(path)
    # Compressed formats may state a few samples more than they hold; a tenth of a second is lost.
    if len(waveform) < expected - rate // 10 or _is_cut_off(path):
        raise BadSampleError(path, "the sound file is truncated", _REMEDY)
    return np.ascontiguousarray(waveform.T), rate


def _is_cut_off(path: Path) -> bool:
    """Whether a WAV file is shorter than it says, or an Ogg file lacks (part of) its last page.

    libsndfile reads both without a word.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] == b"RIFF":
            stated = int.from_bytes(head[4:8], "little")
            # Exact would be size - 8, but some writers count the first 8 bytes or a pad byte.
            return stated not in _UNKNOWN_RIFF_SIZES and stated > size + 1
        if head[:4] == b"OggS":
            file.seek(max(0, size - 65536 - 512))  # the largest page is just under 64 KiB
            tail = file.read()
            return not _ends_with_last_page(tail)
    return False


def _ends_with_last_page(tail: bytes) -> bool:
    """Whether the last Ogg page (RFC 3533) is marked as such and is there to its end."""
    page = tail[max(tail.rfind(b"OggS\0"), 0) :]
    if len(page) < _OGG_HEADER or not page[5] & _OGG_LAST_PAGE:
        return False
    sizes = page[_OGG_HEADER : _OGG_HEADER + page[_OGG_HEADER - 1]]  # of the segments
    return len(page) >= _OGG_HEADER + page[_OGG_HEADER - 1] + sum(sizes)


def _read_with_pyav(path: Path) -> tuple[Waveform, int]:
    import av  # only videos and AAC need it

    blocks: list[Waveform] = []
    try:
        with av.open(str(path), options=ONLY_MEDIA, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise BadSampleError(path, "the file has no sound track", _REMEDY)
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise BadSampleError(path, "the sound is of an unknown codec", _REMEDY)
            rate = stream.rate
            stated = float(stream.duration * stream.time_base) if stream.duration else 0.0
            # Interleaved: PyAV reads past the pointers of eight or more planes and crashes.
            resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
            for frame in container.decode(stream):
                for block in resampler.resample(frame):
                    samples = block.to_ndarray().astype(np.float32, copy=False)
                    blocks.append(samples.reshape(-1, block.layout.nb_channels).T)
        if not blocks:
            raise BadSampleError(path, "the sound has no samples", _REMEDY)
        waveform = np.concatenate(blocks, axis=1)
    except BadSampleError:
        raise
    except (av.FFmpegError, ValueError) as error:  # ValueError: the layout changes on the way
        raise BadSampleError(path, f"not a readable sound file ({error})", _REMEDY) from error
    if waveform.shape[1] / rate < stated - 0.5:
        raise BadSampleError(path, "the sound track is truncated", _REMEDY)
    return waveform, rate
