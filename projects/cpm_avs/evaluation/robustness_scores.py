"""AVSBench-Robust's numbers over all sounds: G-mIoU, G-F and G-FPR (arXiv 2502.00358).

Its authors add them up by hand; their script has the scores that go in. A model is good if it
finds what sounds, and finds it no more when another sound is heard. So a score s (IoU, F; in
percent) is wanted high with the right sound and low, against the same mask, with a wrong one::

    G(s) = H(s_right, 100 - s_wrong),    H(a, b) = 2 a b / (a + b)

and a false positive rate, which is wanted low with both, ``100 - H(100 - r_right, 100 - r_wrong)``.
s_wrong is the mean over silence, noise and off-screen sound.
"""

import math
import re
from collections.abc import Mapping
from statistics import mean

from prettytable import PrettyTable

#: The right sound, and those with which nothing in the picture sounds.
RIGHT_SOUND = "normal"
WRONG_SOUNDS = ("silence", "noise", "offscreen")

#: Scores of the whole set that have a G, as ``AVSMetric`` names them.
_SCORE = re.compile(r"(dataset/mIoU|dataset/F|avsbench/J|avsbench/F(_batch\d+)?)$")
_RATES = ("pixel_FPR", "frame_FPR")
_PREFIX = "robustness"


def harmonic_mean(a: float, b: float) -> float:
    """2 a b / (a + b) of numbers that are not negative; 0 if one of them is 0."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def global_score(right: float, wrong: float) -> float:
    """G of a score in percent that is wanted high with the right sound and low with wrong ones."""
    return harmonic_mean(right, 100 - wrong)


def global_rate(right: float, wrong: float) -> float:
    """G of a false positive rate in percent, low with both; lower is better."""
    return 100 - harmonic_mean(100 - right, 100 - wrong)


def sum_up(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """All scores of all sounds under names of their own, and the G of those that have one.

    Args:
        scores: Sound -> the evaluator's scores with it, in percent. Scores of the right sound
            keep their names; 'dataset/mIoU' with silence becomes 'silence/dataset/mIoU'.

    Returns:
        dict: With 'robustness/dataset/G-mIoU', 'robustness/avsbench/G-J' and so on for the scores
        that the evaluator has, and 'robustness/G-FPR' of ``pixel_FPR``.
    """
    summed = dict(scores[RIGHT_SOUND])
    for sound in WRONG_SOUNDS:
        for key, value in scores[sound].items():
            summed[key if key.startswith(f"{_PREFIX}/") else f"{sound}/{key}"] = value
    for key, right in scores[RIGHT_SOUND].items():
        if _SCORE.match(key):
            wrong = mean(scores[sound][key] for sound in WRONG_SOUNDS)
            summed[_name_of_g(key)] = global_score(right, wrong)
    rates = [f"{_PREFIX}/{sound}/pixel_FPR" for sound in (RIGHT_SOUND, *WRONG_SOUNDS)]
    if all(rate in summed for rate in rates):
        right, *wrong_rates = (summed[rate] for rate in rates)
        summed[f"{_PREFIX}/G-FPR"] = global_rate(right, mean(wrong_rates))
    return summed


def robustness_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """A line a sound, one for the mean of the wrong ones and one for G; scores as in ``sum_up``."""
    summed = sum_up(scores)
    names = [key for key in scores[RIGHT_SOUND] if _SCORE.match(key)]
    lines = {
        sound: [scores[sound][name] for name in names]
        + [summed.get(f"{_PREFIX}/{sound}/{rate}", math.nan) for rate in _RATES]
        for sound in (RIGHT_SOUND, *WRONG_SOUNDS)
    }
    columns = zip(*(lines[sound] for sound in WRONG_SOUNDS), strict=True)
    lines["mean of the three"] = [mean(column) for column in columns]
    lines["G"] = [summed[_name_of_g(name)] for name in names]
    lines["G"] += [summed.get(f"{_PREFIX}/G-FPR", math.nan), math.nan]
    table = PrettyTable(["sound", *names, *_RATES])
    table.align = "r"
    table.align["sound"] = "l"
    for sound, values in lines.items():
        table.add_row([sound, *("-" if math.isnan(value) else f"{value:.2f}" for value in values)])
    return str(table.get_string())


def _name_of_g(key: str) -> str:
    protocol, name = key.split("/")
    return f"{_PREFIX}/{protocol}/G-{name}"
