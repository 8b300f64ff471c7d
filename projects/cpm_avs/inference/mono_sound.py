"""Tells who gives a mono sound to a model that hears where sounds come from."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..media.audio_functional import Waveform


def telling_of_mono(chunks: Iterator[Waveform], name: str, model: Any) -> Iterator[Waveform]:
    """The chunks (A, L) of a clip's sound.

    Warns:
        UserWarning: The first of them that is not silent has the same in both channels, and
            ``model`` takes that for a sound from the middle.
    """
    unknown = getattr(model, "hears_places", False)
    for chunk in chunks:
        if unknown and chunk.any():
            unknown = False
            if np.array_equal(chunk[0], chunk[-1]):
                warnings.warn(
                    f"{name}: the sound is mono, and the model hears where a sound comes from: it "
                    "takes all of it to come from the middle. Give a stereo recording, or a model "
                    "without stereo_position",
                    stacklevel=2,
                )
        yield chunk
