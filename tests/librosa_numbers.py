"""Numbers of librosa, recorded: numba, which it is built on, takes half a minute to begin.

pip install librosa==0.11.0 && python tests/librosa_numbers.py    # records them again
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = Path(__file__).parent / "peer_numbers" / "librosa.npz"
FREQUENCIES = np.array([0.0, 50, 440, 999, 1000, 1001, 4000, 14_000])  # Hz
#: Arguments of ``librosa.filters.mel``.
FILTERS: dict[str, dict[str, Any]] = dict(
    vggish=dict(sr=16_000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None),
    cavp=dict(sr=16_000, n_fft=512, n_mels=64, fmin=125, fmax=3800, htk=True, norm=None),
    panns_16k=dict(sr=16_000, n_fft=512, n_mels=64, fmin=50, fmax=8000),
    htsat_32k=dict(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000),
)


@cache
def recorded(name: str) -> np.ndarray:
    """One of FILTERS, (64, n_fft / 2 + 1) float32; "mel", FREQUENCIES on Slaney's scale, or
    "centres FILTERS", the bands' in Hz, float64.
    """
    with np.load(NUMBERS) as numbers:
        return numbers[name]


if __name__ == "__main__":
    import librosa

    given = {name: librosa.filters.mel(**values) for name, values in FILTERS.items()}
    given["mel"] = librosa.hz_to_mel(FREQUENCIES)
    for name in ("panns_16k", "htsat_32k"):
        low, high = (FILTERS[name][key] for key in ("fmin", "fmax"))
        given[f"centres {name}"] = librosa.mel_frequencies(n_mels=66, fmin=low, fmax=high)[1:-1]
    np.savez_compressed(NUMBERS, **given)
