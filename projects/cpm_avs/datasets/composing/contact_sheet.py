"""A class's photographs with outlines of what is marked, and its recordings as spectrograms."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

from ...constants import SAMPLE_RATE
from ...media.sound_io import load_waveform
from ..avs_dataset import SPLITS
from ..composed.index import Item

_COLUMNS = 12
_SIDE = 128  # px of a photograph
_CAPTION = 12  # px below it
_MOST = 60  # photographs, and recordings, of a split
_WHITE = 255
_OUTLINES = (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 255, 0)  # BGR
_RANGE = 60  # dB from black to white in a spectrogram


def contact_sheet(name: str, items: Sequence[Item]) -> NDArray[np.uint8]:
    """The sheet of a class, (H, W, 3) BGR; more than ``_MOST`` are shown evenly spaced.

    Args:
        name: The class.
        items: Its photographs and recordings.
    """
    rows = []
    for kind, what in (("photo", "photographs"), ("sound", "recordings")):
        for split in SPLITS:
            all_ = [one for one in items if one.kind == kind and one.split in ("", split)]
            all_.sort(key=lambda one: one.file)
            shown = all_[:: -(-len(all_) // _MOST)] if all_ else []
            rows.append(_header(f"{name}, {split}: {len(shown)} of {len(all_)} {what}"))
            draw = _photo if kind == "photo" else _spectrogram
            tiles = [_captioned(draw(one), Path(one.file).stem) for one in shown]
            rows += [
                _row(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)
            ]
    return np.vstack(rows)


def _photo(item: Item) -> NDArray[np.uint8]:
    image = cv2.imread(item.file, cv2.IMREAD_UNCHANGED)
    assert image is not None
    if image.shape[2] == 4:
        opacity = image[..., 3:] / 255
        image = np.rint(image[..., :3] * opacity + 128 * (1 - opacity)).astype(np.uint8)
    scale = _SIDE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if item.mask:
        mask = cv2.imread(item.mask, cv2.IMREAD_UNCHANGED)
        assert mask is not None
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        for number in np.unique(mask[mask > 0]).tolist():
            outline = cv2.findContours(
                (mask == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )[0]
            cv2.drawContours(small, outline, -1, _OUTLINES[number % len(_OUTLINES)], 1)
    return np.asarray(small, np.uint8)


def _spectrogram(item: Item) -> NDArray[np.uint8]:
    """Up to 8 kHz upwards, louder is brighter."""
    sound = load_waveform(item.file)[0]
    power = np.square(np.abs(stft(sound, SAMPLE_RATE, nperseg=512)[2]))
    level = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 10 ** (-_RANGE / 10)))
    grey = np.rint((level[::-1] / _RANGE + 1) * _WHITE).astype(np.uint8)
    size = (_SIDE, _SIDE // 2)
    return np.asarray(cv2.cvtColor(cv2.resize(grey, size), cv2.COLOR_GRAY2BGR), np.uint8)


def _captioned(tile: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """(H + caption, _SIDE, 3), the tile in the middle."""
    height = tile.shape[0]
    canvas = np.full((height + _CAPTION, _SIDE, 3), _WHITE, np.uint8)
    left = (_SIDE - tile.shape[1]) // 2
    canvas[:height, left : left + tile.shape[1]] = tile
    _write(canvas, text[-22:], (1, height + 9), 0.3)
    return canvas


def _row(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(len(tile) for tile in tiles)
    row = np.full((height, _COLUMNS * _SIDE, 3), _WHITE, np.uint8)
    for place, tile in enumerate(tiles):
        row[height - len(tile) :, place * _SIDE : (place + 1) * _SIDE] = tile
    return row


def _header(text: str) -> NDArray[np.uint8]:
    bar = np.full((22, _COLUMNS * _SIDE, 3), 225, np.uint8)
    _write(bar, text, (6, 16), 0.5)
    return bar


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
