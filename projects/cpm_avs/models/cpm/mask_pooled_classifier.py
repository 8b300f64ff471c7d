"""A second opinion on what queries show: the pretrained classifier that the image backbone had."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..precision import full_precision

# Share of the picture's classifier for what it rules out: it may be wrong, too.
FLOOR = 1e-3


@MODELS.register_module()
class MaskPooledClassifier(BaseModule):
    """Weighs the names of queries by those that a pretrained classifier has for their masks.

    A few photographs do not show all that a class can look like. The classifier that the backbone
    was pretrained with has seen many more, and still reads a backbone that was trained gently. It
    reads the mean feature of each mask, and the product of both opinions counts, as in FC-CLIP
    (Yu et al., NeurIPS 2023): p_k becomes p_k (e_k + 0.001), e_k being the share of the source
    classes that are k's. The sum over all classes that the source knows stays what it was, and so
    do background, no-object and the classes that it does not know.

    Used at test alone and never trained.

    Args:
        num_classes: C, classes with background.
        in_channels: Channels of the backbone's deepest map.
        source_classes: For each foreground class in order the source's numbers for it, none where
            the source does not know it.
        channels: Width of the classifier's feature.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py
            with all of the source's classes, of which the named ones are read.
    """

    owner: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        source_classes: Sequence[Sequence[int]],
        channels: int = 1280,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(source_classes) != num_classes - 1:
            raise ValueError(
                f"mask_classifier.source_classes has {len(source_classes)} entries for "
                f"{num_classes - 1} foreground classes; give one to each, [] to a class that the "
                "source does not know, or set model.mask_classifier=None"
            )
        self.rows = [row for rows in source_classes for row in rows]
        if len(set(self.rows)) < len(self.rows):
            raise ValueError("mask_classifier.source_classes has a class of the source twice")
        self.known = [number for number, rows in enumerate(source_classes, 1) if rows]
        sizes = [len(rows) for rows in source_classes if rows]
        self.head = ConvModule(
            in_channels,
            channels,
            1,
            norm_cfg=dict(type="BN", eps=1e-3),
            act_cfg=dict(type="ReLU6", inplace=False),
        )
        self.classifier = nn.Linear(channels, len(self.rows))
        self.classifier.register_load_state_dict_pre_hook(self._pick_rows)
        owner = torch.arange(len(self.known)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("owner", owner, persistent=False)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "MaskPooledClassifier":
        """Nothing in it is trained: its batch statistics stay."""
        return super().train(False)

    def forward(self, cls_logits: Tensor, mask_logits: Tensor, deepest: Tensor) -> Tensor:
        """Class logits that have heard the second opinion.

        Args:
            cls_logits: (B, Q, C + 1), class 0 is the background, the last one no-object.
            mask_logits: Of the same queries, (B, Q, h, w).
            deepest: The image backbone's deepest map, (B, in_channels, h', w').

        Returns:
            Tensor: (B, Q, C + 1).
        """
        shares = self.shares(mask_logits, deepest)
        cls_logits = full_precision(cls_logits)  # of a linear classifier they may be half
        ours = cls_logits[..., self.known]
        theirs = ours + (shares + FLOOR).log()
        total = ours.logsumexp(-1, keepdim=True) - theirs.logsumexp(-1, keepdim=True)
        weighed = cls_logits.clone()
        weighed[..., self.known] = theirs + total
        return weighed

    def shares(self, mask_logits: Tensor, deepest: Tensor) -> Tensor:
        """e_k of each query for the classes that the source knows, (B, Q, known), sums of 1."""
        features = self.head(deepest)
        masks = F.adaptive_avg_pool2d(mask_logits.sigmoid(), features.shape[-2:])
        pooled = torch.einsum("bqhw,bchw->bqc", masks, features)
        pooled = pooled / masks.sum((-2, -1)).clamp(min=1e-6).unsqueeze(-1)
        shares = self.classifier(pooled).softmax(-1)
        summed = shares.new_zeros(*shares.shape[:-1], len(self.known))
        return summed.index_add(-1, self.owner, shares)

    def _pick_rows(
        self, module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
    ) -> None:
        """Of a classifier with all of the source's classes, take those that were asked for."""
        for name in ("weight", "bias"):
            rows = state_dict.get(prefix + name)
            if rows is not None and len(rows) > len(self.rows):
                state_dict[prefix + name] = rows[self.rows]
