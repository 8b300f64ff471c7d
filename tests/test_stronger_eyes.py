"""PVTv2, Swin and DINOv2 under CPM: published weights, rates, sizes."""

from pathlib import Path

import pytest
import torch
from mmdet.models.backbones import SwinTransformer
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.models.backbones import VisionTransformer
from mmseg.registry import MODELS
from published_weights_vit import DINOv2Twin
from torch import nn

from projects.cpm_avs.models.image_backbones import DINOv2
from projects.cpm_avs.pretrained.dinov2_converter import dinov2
from projects.cpm_avs.pretrained.mask2former_converter import mask2former
from projects.cpm_avs.pretrained.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]


def mask2former_head(width: int = 256, queries: int = 100) -> Mask2FormerHead:
    """MMDetection's own, whose names a published file has."""
    attention = dict(embed_dims=width, num_heads=8, batch_first=True)
    ffn = dict(embed_dims=width, num_fcs=2, act_cfg=dict(type="ReLU", inplace=True))
    return Mask2FormerHead(
        in_channels=[128, 256, 512, 1024],
        feat_channels=width,
        out_channels=width,
        num_queries=queries,
        pixel_decoder=ConfigDict(
            type="mmdet.MSDeformAttnPixelDecoder",
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(**attention, num_levels=3, num_points=4),
                    ffn_cfg=dict(**ffn, feedforward_channels=1024),
                ),
            ),
            positional_encoding=dict(num_feats=width // 2, normalize=True),
        ),
        transformer_decoder=ConfigDict(
            num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(**ffn, feedforward_channels=2048),
            ),
        ),
        positional_encoding=dict(num_feats=width // 2, normalize=True),
        loss_cls=ConfigDict(type="CrossEntropyLoss", class_weight=[1.0] * 133 + [0.1]),
        loss_mask=ConfigDict(type="CrossEntropyLoss", use_sigmoid=True),
        loss_dice=ConfigDict(type="DiceLoss"),
    )


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """MMDetection's Swin-B and head as a published file names them."""
    swin = SwinTransformer(
        embed_dims=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=12
    )
    parts = {"backbone": swin, "panoptic_head": mask2former_head()}
    return {f"{at}.{k}": v for at, part in parts.items() for k, v in part.state_dict().items()}


@pytest.fixture(scope="module")
def what_sees(published) -> nn.Module:
    return RECIPES["mask2former-swin-b"].network(published)


class TestMask2Former:
    @pytest.mark.parametrize("head", ["panoptic_head.", "decode_head."])
    def test_all_of_it_but_its_classifier_is_taken(self, published, what_sees, head):
        state = {key.replace("panoptic_head.", head): value for key, value in published.items()}
        converted = mask2former(state)
        what_sees.load_state_dict(converted, strict=True)
        assert len(state) - len(converted) == 2  # weight and bias of cls_embed

    def test_a_key_of_another_model_is_refused(self, published):
        for key in ("roi_head.bbox_head.fc.weight", "decode_head.conv_seg.weight", "query_feat.x"):
            with pytest.raises(ValueError, match=f"{key} is no part of a Mask2Former"):
                mask2former(published | {key: torch.zeros(1)})

    def test_what_is_the_same_computes_the_same(self):
        """A layer, the norm and the masks' network, ours with the converted numbers."""
        head = mask2former_head(width=32, queries=4)
        head.init_weights()
        state = {f"panoptic_head.{k}": v for k, v in head.state_dict().items()}
        ours = MODELS.build(
            dict(
                type="CPMHead",
                in_channels=[128, 256, 512, 1024],
                num_classes=3,
                classifier=dict(type="LinearClassifier"),
                embed_dims=32,
                num_queries=4,
            )
        )
        names = {key.removeprefix("decode_head."): v for key, v in mask2former(state).items()}
        missing, left = ours.load_state_dict(names, strict=False)
        assert not left
        assert all(key.startswith(("decoder.audio_layers.", "decoder.class")) for key in missing)
        (query, position), memory = torch.randn(2, 2, 4, 32), torch.randn(2, 6, 32)
        with torch.no_grad():
            for index, layer in enumerate(head.transformer_decoder.layers):
                expected = layer(query, memory, memory, query_pos=position)
                found = ours.decoder.visual_layers[index](query, position, memory, memory)
                torch.testing.assert_close(found, expected)
            drawn = head.mask_embed(head.transformer_decoder.post_norm(query))
            torch.testing.assert_close(
                ours.decoder.mask_embed(ours.decoder.post_norm(query)), drawn
            )


class TestDINOv2:
    def test_converted_weights_give_the_authors_tokens(self):
        """Layer factors far from 1, and a picture of the size that the positions are for."""
        twin = DINOv2Twin(width=64, layers=2, heads=4, grid=5).eval()
        vit = VisionTransformer(
            img_size=70, patch_size=14, patch_bias=True, embed_dims=64, num_layers=2, num_heads=4,
            norm_cfg=dict(type="LN", eps=1e-6), final_norm=True,
        )  # fmt: skip
        vit.eval()
        vit.load_state_dict(dinov2(twin.state_dict()), strict=True)
        image = torch.randn(2, 3, 70, 70)
        with torch.no_grad():
            torch.testing.assert_close(vit(image)[0], twin(image), atol=1e-5, rtol=1e-5)

    def test_the_published_file_fits(self):
        with torch.device("meta"):
            state = DINOv2Twin(width=768, layers=12, heads=12, grid=37).state_dict()
        network = RECIPES["dinov2-b"].network(state)
        network.load_state_dict(dinov2(state), strict=True, assign=True)

    @pytest.mark.parametrize("key", ["register_tokens", "blocks.0.mlp.w12.weight"])
    def test_registers_and_the_giant_are_refused(self, key):
        with pytest.raises(ValueError, match=f"{key} and 0 other keys"):
            dinov2({key: torch.zeros(1)})

    @pytest.mark.parametrize("size", [(64, 96), (50, 33)])
    def test_maps_have_the_four_strides(self, size):
        network = DINOv2(arch="small", num_layers=1)
        maps = network(torch.randn(1, 3, *size))
        for x, per_cell in zip(maps, (4, 2, 1, 0.5), strict=True):
            cells = [int(-(-side // 16) * per_cell) for side in size]
            assert x.shape == (1, 384, *cells)
        sum(x.sum() for x in maps).backward()
        assert all(value.grad is not None for value in network.parameters())

    def test_a_token_sees_its_cell(self):
        """What changes in one 16 x 16 cell changes that patch alone, before any attention."""
        network = DINOv2(arch="small", num_layers=1)
        seen = []
        network.vit.patch_embed.register_forward_hook(lambda *a: seen.append(a[2][0]))
        image = torch.zeros(1, 3, 64, 64)
        network(image)
        image[..., 18:30, 34:46] = 1.0
        network(image)
        changed = (seen[1] - seen[0]).abs().sum(-1).reshape(4, 4) > 1e-6
        assert changed.nonzero().tolist() == [[1, 2]]

    def test_unknown_size(self):
        with pytest.raises(ValueError, match="arch is 'giant'; choose one of small, base, large"):
            DINOv2(arch="giant")


def test_dinov2s_layers_learn_the_slower_the_earlier():
    cfg = Config.fromfile(ROOT / "configs/cpm_dinov2-b_avss.py")
    init_default_scope("mmseg")
    cfg.model.backbone.update(arch="small")  # as many layers
    cfg.model.backbone.init_cfg = cfg.model.audio_backbone.init_cfg = None
    eyes, ears = MODELS.build(cfg.model.backbone), MODELS.build(cfg.model.audio_backbone)
    model = nn.ModuleDict(dict(backbone=eyes, audio_backbone=ears, decode_head=nn.Linear(2, 2)))
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(value): name for name, value in model.named_parameters()}
    found = {
        names[id(value)]: (group["lr"] / 1e-4, group["weight_decay"] / 1e-4)
        for group in optimizer.param_groups
        for value in group["params"]
    }
    assert found["backbone.vit.layers.11.attn.attn.in_proj_weight"] == pytest.approx((0.7, 1))
    assert found["backbone.vit.layers.10.ln1.weight"][0] == pytest.approx(0.49)
    assert found["backbone.vit.layers.1.ffn.layers.1.bias"][0] == pytest.approx(0.7**11)
    assert found["backbone.vit.layers.0.ln2.bias"][0] == pytest.approx(0.7**12)
    assert found["backbone.vit.pos_embed"] == pytest.approx((0.7**13, 0))
    assert found["backbone.vit.ln1.weight"] == pytest.approx((1, 0))
    assert found["backbone.pyramid.upsample_2x.0.weight"] == pytest.approx((1, 1))
    assert found["audio_backbone.features.0.weight"] == pytest.approx((0.1, 1))
    assert found["decode_head.weight"] == pytest.approx((1, 1))
