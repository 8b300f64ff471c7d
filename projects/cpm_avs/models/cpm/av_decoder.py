"""The transformer decoder: TD-A over the audio, then TD-V over three visual scales (Fig. 2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import AudioFeatures, ClipFrames, DecoderOutput, VisualFeatures
from .decoder_layer import DecoderLayer
from .positions import column_codes, sine_encoding
from .sound_localizer import SoundLocalizer

#: Visual memories, at strides 32, 16 and 8.
NUM_LEVELS = 3


def keys_and_values(
    feature_map: Tensor, embed: Tensor | None = None, place: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A map (B, D, h, w) as keys, which have positions, and values, which have not.

    Args:
        feature_map: What queries attend to.
        embed: Added to every cell, (D,).
        place: Codes of where in the picture each cell of a sound belongs, (B, D / 2, h, w). They
            stand where a picture has those of its columns; a sound, which has no height, has its
            time and frequency where a picture has the codes of its rows.

    Returns:
        tuple: Both (B, h * w, D).
    """
    values = tokens(feature_map)
    if embed is not None:
        values = values + embed
    embed_dims, height, width = feature_map.shape[1:]
    device, dtype = feature_map.device, feature_map.dtype
    if place is None:
        return values + sine_encoding(height, width, embed_dims, device, dtype), values
    cell = sine_encoding(height, width, embed_dims // 2, device, dtype)
    position = torch.cat([cell.expand(len(values), -1, -1), tokens(place).to(dtype)], -1)
    return values + position, values


def tokens(feature_map: Tensor) -> Tensor:
    """A map (B, D, h, w) as (B, h * w, D)."""
    return feature_map.flatten(2).transpose(1, 2)


def with_columns(visual: VisualFeatures) -> VisualFeatures:
    """Mask features (B, D, h, w) with the codes of their columns behind, (B, 3 D / 2, h, w)."""
    features = visual.mask_features
    batch_size, embed_dims, height, width = features.shape
    codes = column_codes(width, embed_dims // 2, features.device, features.dtype)
    columns = codes.unsqueeze(1).expand(batch_size, -1, height, -1)
    return replace(visual, mask_features=torch.cat([features, columns], 1))


def draw_at(where: Tensor, mask_embed: nn.Module, embeddings: Tensor) -> Tensor:
    """What draws masks on the features of ``with_columns``, (layers, B, Q, 3 D / 2).

    Args:
        where: By where each query hears what it heard, (B, Q, D / 2).
        mask_embed: Gives what draws them by what the queries hold.
        embeddings: Queries, (layers, B, Q, D) or (B, Q, D).
    """
    what = mask_embed(embeddings)
    return torch.cat([what, where.expand(*what.shape[:-1], -1)], -1)


def attention_mask(mask_embeddings: Tensor, shrunk_features: Tensor) -> Tensor:
    """Where each query looks: inside its own last mask.

    The masks are drawn at the size of the map that is read. Shrinking is linear: features shrunk
    once give what masks drawn at stride 4 would, shrunk for each layer.

    Args:
        mask_embeddings: (B, Q, D).
        shrunk_features: Mask features at the size of the map, (B, D, K).

    Returns:
        Tensor: (B, 1, Q, K) bool.
    """
    inside = mask_embeddings @ shrunk_features >= 0  # sigmoid >= 0.5
    # A query with an empty mask would attend to nothing and turn NaN: let it see everything.
    return (inside | ~inside.any(-1, keepdim=True)).unsqueeze(1)


@MODELS.register_module()
class AVDecoder(BaseModule):
    """Queries attend first to the sound, then, masked, to the image.

    Class-agnostic queries and prompts go through it together; masks keep the two kinds from seeing
    each other, and from hearing each other's sound.

    Args:
        classifier: Built module that maps (..., D) to logits (..., C + 1).
        embed_dims: D.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layers.
        num_audio_layers: Layers of TD-A.
        num_visual_layers: Layers of TD-V; layer l reads the memory l mod 3, coarsest first.
        hears_places: Whether sounds have positions, which queries then follow.
        time: Built ``ClipAttention``, for queries that look back over a clip; None: every frame is
            seen by itself.
    """

    def __init__(
        self,
        *,
        classifier: nn.Module,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        num_audio_layers: int,
        num_visual_layers: int,
        hears_places: bool = False,
        time: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if min(num_audio_layers, num_visual_layers) < 1:
            raise ValueError(
                f"TD-A has {num_audio_layers} and TD-V {num_visual_layers} layers; "
                "each needs at least 1"
            )
        self.num_heads = num_heads

        def layer() -> nn.Module:
            attention = dict(embed_dims=embed_dims, num_heads=num_heads, batch_first=True)
            return DecoderLayer(
                self_attn_cfg=dict(attention),
                cross_attn_cfg=dict(attention),
                ffn_cfg=dict(
                    embed_dims=embed_dims,
                    feedforward_channels=feedforward_channels,
                    num_fcs=2,
                    # Not in place: a linear layer gives a view, whose gradient PyTorch would copy.
                    act_cfg=dict(type="ReLU"),
                ),
            )

        self.audio_layers = nn.ModuleList(layer() for _ in range(num_audio_layers))
        self.visual_layers = nn.ModuleList(layer() for _ in range(num_visual_layers))
        self.level_embed = nn.Embedding(NUM_LEVELS, embed_dims)
        self.post_norm = nn.LayerNorm(embed_dims)
        self.classifier = classifier
        self.time = time
        self.mask_embed = nn.Sequential(
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(),
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(),
            nn.Linear(embed_dims, embed_dims),
        )
        self.localizer = SoundLocalizer(embed_dims=embed_dims) if hears_places else None

    def init_weights(self) -> None:
        """Xavier for the layers' matrices, as in DETR."""
        super().init_weights()
        for layers in (self.audio_layers, self.visual_layers):
            for parameter in layers.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        visual: VisualFeatures,
        sounds: Sequence[AudioFeatures],
        *,
        self_mask: Tensor | None = None,
        sound_mask: Tensor | None = None,
        clips: ClipFrames | None = None,
        every_layer: bool = True,
    ) -> DecoderOutput:
        """Run all layers.

        Args:
            query: Content of the queries and prompts, (B, Q, D).
            query_pos: Their positions, (B, Q, D).
            visual: Image features.
            sounds: Features of the sounds that the queries shall listen to.
            self_mask: Which queries a query looks at, (B, 1, Q, Q) bool; all if None.
            sound_mask: Which cells of all the sounds it hears, (1, 1, Q, K) bool; all if None.
            clips: Which frames follow one another; without ``time`` it makes no difference.
            every_layer: Whether all layers predict, as training supervises them, or the first and
                the last one, which inference reads.

        Returns:
            DecoderOutput: 1 + ``num_visual_layers`` predictions, the first one after TD-A; or two.
        """
        heard = [keys_and_values(sound.memory, place=sound.position) for sound in sounds]
        keys, values = (torch.cat(parts, 1) for parts in zip(*heard, strict=True))
        for layer in self.audio_layers:
            query = layer(
                query, query_pos, keys, values, self_mask=self_mask, cross_mask=sound_mask
            )
        query, after_audio = self._look_back(0, query, clips)

        draw: Callable[[Tensor], Tensor] = self.mask_embed
        if self.localizer is not None:
            codes = [tokens(sound.position) for sound in sounds if sound.position is not None]
            place = self.localizer(query + query_pos, keys, torch.cat(codes, 1), sound_mask)
            query_pos = query_pos + F.pad(place, (place.shape[-1], 0))
            visual = with_columns(visual)
            draw = partial(draw_at, self.localizer.mask_embed(place), self.mask_embed)

        queries = [query, *self._look(query, query_pos, visual, draw, self_mask)]
        queries[-1], after_visual = self._look_back(1, queries[-1], clips)
        if not every_layer:
            queries = [queries[0], queries[-1]]
        embeddings = self.post_norm(torch.stack(queries))
        return DecoderOutput(
            embeddings,
            self.classifier(embeddings),
            draw(embeddings),
            visual.mask_features,
            (*after_audio, *after_visual),
        )

    def _look(
        self,
        query: Tensor,
        query_pos: Tensor,
        visual: VisualFeatures,
        draw: Callable[[Tensor], Tensor],
        self_mask: Tensor | None,
    ) -> Iterator[Tensor]:
        """TD-V: the queries after each layer, which attend inside the masks of the one before.

        Args:
            query: After TD-A, (B, Q, D).
            query_pos: (B, Q, D).
            visual: Image features.
            draw: From q~ to mask embeddings.
            self_mask: As of ``forward``.
        """
        maps = [
            keys_and_values(memory, embed)
            for memory, embed in zip(visual.memories, self.level_embed.weight, strict=True)
        ]
        for index, layer in enumerate(self.visual_layers):
            level = index % NUM_LEVELS
            with torch.no_grad():
                drawn = draw(self.post_norm(query))
                cross_mask = attention_mask(drawn, visual.shrunk[level])
            query = layer(
                query, query_pos, *maps[level], self_mask=self_mask, cross_mask=cross_mask
            )
            yield query

    def _look_back(
        self, place: int, query: Tensor, clips: ClipFrames | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Queries that have seen the frames before, and what the frames to come will look at."""
        if self.time is None:
            return query, ()
        query, own = self.time(place, query, clips)
        return query, (own,)
