"""Recordings as they go into a set: mono, the loudest part, one peak."""

import numpy as np
from numpy.typing import NDArray

#: Largest sample of what is written.
PEAK = 0.9
# Silent ends are what is softer than this share of the peak.
_SILENT_SHARE = 0.01


def loudest_part(sound: NDArray[np.float32], num_samples: int) -> NDArray[np.float32]:
    """Without silent ends, the ``num_samples`` with most energy, at a peak of ``PEAK``.

    Args:
        sound: (L,), not silent.
        num_samples: Largest length of the result.
    """
    loud = np.flatnonzero(np.abs(sound) > _SILENT_SHARE * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    if len(sound) > num_samples:
        energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
        start = int(np.argmax(energy[num_samples:] - energy[:-num_samples]))
        sound = sound[start : start + num_samples]
    return sound * (PEAK / np.abs(sound).max())
