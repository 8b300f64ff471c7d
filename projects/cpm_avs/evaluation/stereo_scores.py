"""Two tests of whether a model hears where a sound comes from, which a guess can't pass.

Of two instances of a class one sounds. With the channels swapped the mask must move to the other
one, and while the sound is panned from one to the other it must change over in the middle.

Shorthand: H W mask size, N scenes, S steps of the pan.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def coloured_shares(
    predicted: NDArray[np.integer], instances: NDArray[np.bool_], label: int
) -> NDArray[np.float64]:
    """Which share of each instance is predicted as its class.

    Args:
        predicted: Class map, (H, W).
        instances: Masks of the two, (2, H, W), none empty.
        label: Their class.

    Returns:
        (2,), from 0 to 1.
    """
    found = instances & (predicted == label)
    return found.sum((1, 2)) / instances.sum((1, 2))


def chosen(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which of two instances is coloured more: 0, 1, or -1 for neither; (..., 2) to (...)."""
    return np.where(shares[..., 0] == shares[..., 1], -1, shares.argmax(-1))


def swappable(places: tuple[float, float]) -> bool:
    """Whether the second instance is nearer than the first to where the first is in a mirror.

    Args:
        places: Of the one that sounds and of the silent one, from 0 (left) to 1 (right).
    """
    mirrored = 1 - places[0]
    return abs(places[1] - mirrored) < abs(places[0] - mirrored)


@dataclass(frozen=True)
class SwapScores:
    """Shares of scenes, percent.

    Attributes:
        scenes: How many there are.
        right: The instance that sounds is chosen.
        moved: It is, and with swapped channels the other one; what the test is about.
        stayed: With swapped channels the same instance is chosen, whichever that is.
    """

    scenes: int
    right: float
    moved: float
    stayed: float


def swap_scores(normal: NDArray[np.float64], swapped: NDArray[np.float64]) -> SwapScores:
    """Sum scenes up.

    Args:
        normal: ``coloured_shares`` of the instance that sounds and of the silent one, (N, 2).
        swapped: The same with swapped channels.
    """
    first, second = chosen(normal), chosen(swapped)
    return SwapScores(
        scenes=len(first),
        right=100 * float(np.mean(first == 0)),
        moved=100 * float(np.mean((first == 0) & (second == 1))),
        stayed=100 * float(np.mean((first == second) & (first >= 0))),
    )


@dataclass(frozen=True)
class PanScores:
    """What panning from one instance to the other came to.

    Attributes:
        scenes: How many there are.
        crossed: Share of scenes, percent, in which the left instance is chosen where the sound is
            at its place, and the right one where it is at that one's.
        middle: Mean place of the change-over in these, from 0 at the left instance to 1 at the
            right one; 0.5 is right. NaN without any.
        error: Its mean distance from 0.5.
    """

    scenes: int
    crossed: float
    middle: float
    error: float


def change_over(shares: NDArray[np.float64], steps: NDArray[np.float64]) -> float:
    """Where a pan's mask goes from the first instance to the second.

    Args:
        shares: ``coloured_shares`` at each step, (S, 2).
        steps: Places of the sound, rising, (S,).

    Returns:
        Where the share of the second instance first rises above that of the first, by linear
        interpolation between two steps; NaN unless the first is chosen at the first step and the
        second at the last.
    """
    ahead = shares[:, 1] - shares[:, 0]
    if not ahead[0] < 0 < ahead[-1]:
        return float("nan")
    after = int(np.argmax(ahead > 0))
    before, gain = ahead[after - 1], ahead[after] - ahead[after - 1]
    return float(steps[after - 1] - before / gain * (steps[after] - steps[after - 1]))


def pan_scores(shares: NDArray[np.float64], steps: NDArray[np.float64]) -> PanScores:
    """Sum scenes up: (N, S, 2) at steps (S,); see ``change_over``."""
    places = np.array([change_over(one, steps) for one in shares])
    crossed = places[~np.isnan(places)]
    return PanScores(
        scenes=len(places),
        crossed=100 * len(crossed) / max(len(places), 1),
        middle=float(crossed.mean()) if len(crossed) else float("nan"),
        error=float(np.abs(crossed - 0.5).mean()) if len(crossed) else float("nan"),
    )
