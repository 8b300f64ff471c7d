"""Where the objects are that prompts stand for, as the data set tells.

ACP averages the channels before it takes the ratio, so that the mixture says what sounds and not
which of two instances of a class; with its own place a prompt asks for the one that is there.

Shorthand: B batch, K prompts an image, D embedding width.
"""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...models.cpm.place_functional import horizontal_code, in_view

#: Of one image: class and place, from 0 at the frame's left edge to 1, of each sound.
Places = Sequence[tuple[int, float]]


def known_places(data_samples: Sequence[SegDataSample]) -> list[Places]:
    """``sound_positions`` of the samples.

    Raises:
        ValueError: A data set does not say where its sounds are.
    """
    places = [sample.metainfo.get("sound_positions") for sample in data_samples]
    if None in places:
        raise ValueError(
            "criterion.prompting.own_places gives prompts the places of their objects, and the "
            "data has no sound_positions; composed scenes and VPO's own index with audio_pos have "
            "them. Set own_places=False"
        )
    return places


def place_codes(
    labels: Tensor, places: Sequence[Places], view: Tensor | None, num_feats: int
) -> Tensor:
    """Horizontal code of the objects that prompts stand for.

    Args:
        labels: Class of each prompt, (B, K).
        places: Of each image's sounds.
        view: See ``in_view``, (B, 2).
        num_feats: D / 2.

    Returns:
        Tensor: (B, K, D / 2): the mean over the sounds of the class; 0 where it has none.
    """
    most = max(1, *map(len, places))
    padded = [[*own, *[(-1, 0.0)] * (most - len(own))] for own in places]
    known = torch.tensor(padded, dtype=torch.float32, device=labels.device)  # (B, S, 2)
    codes = horizontal_code(in_view(known[..., 1], view), num_feats)
    same = (labels.unsqueeze(-1) == known[..., 0].unsqueeze(1)).to(codes.dtype)  # (B, K, S)
    return same @ codes / same.sum(-1, keepdim=True).clamp(min=1)
