"""What the steps of the CPM path hand on.

Shorthand: B batch, K prompts an image, C classes with background, T F spectrogram frames and bins.
"""

from dataclasses import dataclass

from torch import Tensor

from ...structures import AudioFeatures, Prompts
from ..set_prediction.assignment import Assignment
from .offscreen_noise import OffscreenNoise


@dataclass(frozen=True)
class DrawnPrompts:
    """The prompts of a batch, before they are decoded.

    Attributes:
        prompts: K an image.
        labels: Class of each prompt, (B, K).
        sounding: The classes that were prompted, (B, C) bool.
        noise: What was mixed in.
        clean: Features of the clean sounds.
    """

    prompts: Prompts
    labels: Tensor
    sounding: Tensor
    noise: OffscreenNoise
    clean: AudioFeatures


@dataclass(frozen=True)
class PromptedOutput:
    """What the prompts of a batch came to.

    Attributes:
        drawn: The prompts.
        audio_masks: m_k^a, (B, K, T/4, F/4); None without an audio mask head.
        assignments: What the prompts shall name and draw for l_VCP; none if it has no weight.
    """

    drawn: DrawnPrompts
    audio_masks: Tensor | None
    assignments: list[Assignment]


@dataclass(frozen=True)
class Separation:
    """ACP's answer and the truth, (B, T, F): see ``acp_loss``.

    Attributes:
        predicted: Ratio mask of the prompts.
        ratio: a_i / a_p.
        counted: Bins that count, bool.
        sounding: The classes that were prompted, (B, C) bool.
        noise: What was mixed in.
    """

    predicted: Tensor
    ratio: Tensor
    counted: Tensor
    sounding: Tensor
    noise: OffscreenNoise
