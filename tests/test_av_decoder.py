"""The decoder against MMDetection's layers and Mask2Former's loop, one prediction at a time."""

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer, SinePositionalEncoding
from segments import all_masks
from tiny import WIDTH, build_tiny
from torch import Tensor

from projects.cpm_avs.models.cpm.av_decoder import AVDecoder, attention_mask
from projects.cpm_avs.models.cpm.cpm_head import masks_apart
from projects.cpm_avs.models.cpm.positions import sine_encoding
from projects.cpm_avs.structures import AudioFeatures, Prompts, VisualFeatures

BATCH, QUERIES = 2, 8


def plain_layer(layer, query, query_pos, key, key_pos, *, self_mask=None, cross_mask=None):
    """MMDetection's own forward; its masks say where not to look, once for each head."""

    def hidden(mask: Tensor | None) -> Tensor | None:
        heads = layer.cross_attn.num_heads
        return None if mask is None else ~mask.squeeze(1).repeat_interleave(heads, dim=0)

    return Mask2FormerTransformerDecoderLayer.forward(
        layer,
        query,
        key=key,
        value=key,
        query_pos=query_pos,
        key_pos=key_pos,
        self_attn_mask=hidden(self_mask),
        cross_attn_mask=hidden(cross_mask),
    )


def plain_decoder(
    decoder: AVDecoder, query: Tensor, query_pos: Tensor, visual: VisualFeatures, audio: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Predictions of each layer; the masks for attention are drawn at stride 4, then shrunk."""
    encoding = SinePositionalEncoding(WIDTH // 2, normalize=True)

    def tokens(memory: Tensor) -> Tensor:
        return memory.flatten(2).transpose(1, 2)

    def position(memory: Tensor) -> Tensor:
        return tokens(encoding(memory.new_zeros(len(memory), *memory.shape[2:]).bool()))

    def predict(query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings = decoder.post_norm(query)
        drawn = torch.einsum("bqd,bdhw->bqhw", decoder.mask_embed(embeddings), visual.mask_features)
        return embeddings, decoder.classifier(embeddings), drawn

    for layer in decoder.audio_layers:
        query = plain_layer(layer, query, query_pos, tokens(audio), position(audio))
    found = [predict(query)]
    for index, layer in enumerate(decoder.visual_layers):
        memory = visual.memories[index % 3]
        resized = F.interpolate(found[-1][2], memory.shape[-2:], mode="bilinear")
        outside = resized.flatten(2) < 0
        inside = ~(outside & ~outside.all(-1, keepdim=True)).unsqueeze(1)
        read = tokens(memory) + decoder.level_embed.weight[index % 3]
        query = plain_layer(layer, query, query_pos, read, position(memory), cross_mask=inside)
        found.append(predict(query))
    return found


@pytest.fixture(scope="module")
def decoder() -> AVDecoder:
    return build_tiny().decode_head.decoder


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_layer_is_mmdetections(decoder):
    layer = decoder.visual_layers[0]
    masks = dict(
        self_mask=normal(BATCH, 1, QUERIES, QUERIES, seed=1) > -1,
        cross_mask=normal(BATCH, 1, QUERIES, 12, seed=2) > 0,
    )
    masks["self_mask"] |= torch.eye(QUERIES, dtype=torch.bool)
    masks["cross_mask"][..., 0] = True
    found = []
    for forward in ("ours", "theirs"):
        layer.zero_grad()
        query, query_pos, memory, place = (
            normal(BATCH, n, WIDTH, seed=seed).requires_grad_()
            for seed, n in enumerate((QUERIES, QUERIES, 12, 12), start=3)
        )
        if forward == "ours":
            out = layer(query, query_pos, memory + place, memory, **masks)
        else:
            out = plain_layer(layer, query, query_pos, memory, place, **masks)
        out.square().sum().backward()
        inputs = (query, query_pos, memory, place)
        parameters = [parameter.grad.clone() for parameter in layer.parameters()]
        found.append([out.detach(), *(x.grad for x in inputs), *parameters])
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_attention_masks_from_shrunk_features_are_shrunk_masks():
    features, queries = normal(BATCH, WIDTH, 16, 24), normal(BATCH, QUERIES, WIDTH, seed=1)
    queries[1, 2] = 0.0  # draws nothing and sees everything
    for size in ((8, 12), (4, 6), (2, 3)):
        small = F.interpolate(features, size, mode="bilinear", align_corners=False)
        found = attention_mask(queries, small.flatten(2)).squeeze(1)
        drawn = torch.einsum("bqd,bdhw->bqhw", queries, features)
        expected = F.interpolate(drawn, size, mode="bilinear", align_corners=False).flatten(2)
        empty = (expected < 0).all(-1, keepdim=True)
        sure = expected.abs() > 1e-5
        assert sure.float().mean() > 0.9
        assert torch.equal(found[sure], ((expected >= 0) | empty)[sure])


def test_a_query_with_an_empty_mask_sees_everything():
    features = torch.ones(1, 2, 3)
    queries = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])
    features[0, :, 1] = -1.0
    mask = attention_mask(queries, features)
    assert mask[0, 0].tolist() == [[False, True, False], [True, False, True]]
    assert attention_mask(queries[:, :1], torch.ones(1, 2, 3)).all()


def test_positions_are_mmdetections_and_made_once():
    expected = SinePositionalEncoding(WIDTH // 2, normalize=True)(torch.zeros(1, 5, 7).bool())
    with torch.inference_mode():
        found = sine_encoding(5, 7, WIDTH, torch.device("cpu"), torch.float32)
    assert torch.equal(found, expected.flatten(2).transpose(1, 2)) and not found.is_inference()
    assert sine_encoding(5, 7, WIDTH, torch.device("cpu"), torch.float32) is found


def test_the_decoder_is_its_plain_twin(decoder):
    """All layers' predictions and all gradients, to the rounding of float32."""
    inputs = [normal(BATCH, WIDTH, n, n, seed=n) for n in (16, 2, 4, 8)]
    audio, query = normal(BATCH, WIDTH, 3, 5), normal(BATCH, QUERIES, WIDTH, seed=1)
    query_pos = normal(BATCH, QUERIES, WIDTH, seed=2)
    results = []
    for plain in (False, True):
        decoder.zero_grad()
        features, *memories = (x.clone().requires_grad_() for x in inputs)
        visual = VisualFeatures(features, tuple(memories))
        if plain:
            layers = plain_decoder(decoder, query, query_pos, visual, audio)
            found = [torch.stack(parts) for parts in zip(*layers, strict=True)]
        else:
            out = decoder(query, query_pos, visual, [AudioFeatures((), audio)])
            found = [out.embeddings, out.cls_logits, all_masks(out)]
        torch.stack([part.square().mean() for part in found]).sum().backward()
        gradients = [x.grad for x in (features, *memories)]
        gradients += [parameter.grad.clone() for parameter in decoder.parameters()]
        results.append(([part.detach() for part in found], gradients))
    (found, own), (expected, other) = results
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    for a, b in zip(own, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_features_are_shrunk_once(decoder):
    visual = VisualFeatures(
        normal(1, WIDTH, 16, 16), tuple(normal(1, WIDTH, n, n) for n in (2, 4, 8))
    )
    query = normal(1, QUERIES, WIDTH)
    with patch.object(F, "interpolate", wraps=F.interpolate) as shrink:
        for _ in range(2):
            decoder(query, query, visual, [AudioFeatures((), normal(1, WIDTH, 3, 5))])
    assert shrink.call_count == 3


def test_prompts_decode_beside_queries_as_they_do_alone():
    """All predictions and gradients of two calls, one for queries and one for prompts."""
    head = build_tiny().decode_head
    features = [normal(BATCH, WIDTH, n, n, seed=n) for n in (16, 2, 4, 8)]
    audio, mixed = (AudioFeatures((), normal(BATCH, WIDTH, 3, 5, seed=s)) for s in (0, 1))
    content, position = (normal(BATCH, 3, WIDTH, seed=seed) for seed in (2, 3))
    padding = torch.tensor([[False, False, True], [False, False, False]])
    real = ~padding
    results = []
    for together in (True, False):
        head.zero_grad()
        visual = VisualFeatures(features[0], tuple(features[1:]))
        if together:
            out = head(visual, audio, Prompts(content, position, padding, mixed))
            queries, prompts = out.part(slice(QUERIES)), out.part(slice(-3, None))
        else:
            queries = head(visual, audio)
            seen = (real[:, None] | torch.eye(3, dtype=torch.bool)).unsqueeze(1)
            prompts = head.decoder(content, position, visual, [mixed], self_mask=seen)
        found = [
            part
            for out, kept in ((queries, slice(None)), (prompts, real))
            for part in (out.embeddings, out.cls_logits, out.mask_embeddings)
            for part in [part[:, kept] if isinstance(kept, Tensor) else part]
        ]
        sum(part.square().mean() for part in found).backward()
        gradients = [x.grad.clone() for x in head.parameters() if x.grad is not None]
        results.append(([part.detach() for part in found], gradients))
    (found, own), (expected, other) = results
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    for a, b in zip(own, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_who_sees_and_hears_whom():
    padding = torch.tensor([[False, True]])
    seen, heard = masks_apart(2, padding, cells=1)
    assert seen[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert heard[0, 0].int().tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
