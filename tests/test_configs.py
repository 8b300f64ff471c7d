"""Every config: a tiny copy trains and predicts, and a leaf changes only what its name says."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any
from unittest.mock import ANY

import pytest
from config_leaves import ABLATION, CONFIGS, MAIN, load
from mmengine.registry import FUNCTIONS, init_default_scope
from mmengine.visualization import Visualizer
from mmseg.registry import DATASETS, HOOKS, MODELS
from tiny import tiny_batch
from tiny_config import COMPOSED, check_step_and_prediction, frames_of, shrink

from projects.cpm_avs.ablation.rows import TABLE_4, TABLE_5
from projects.cpm_avs.datasets.seeding import seeded

pytestmark = pytest.mark.usefixtures("bases_read_once")

MISSING = "(missing)"
CLASSIFIER = "model.decode_head.classifier"
CRITERION = "model.criterion"
POINT = {
    f"{CLASSIFIER}.type": "LinearClassifier",
    f"{CLASSIFIER}.num_components": MISSING,
    f"{CRITERION}.mixture": None,
}


def weights(**changed: float) -> dict[str, Any]:
    return {f"{CRITERION}.prompting.{name}_weight": value for name, value in changed.items()}


def of_data(**changed: Any) -> dict[str, Any]:
    """Changes of all three loaders' data sets."""
    loaders = [f"{name}_dataloader.dataset" for name in ("train", "val", "test")]
    return {f"{loader}.{key}": value for loader in loaders for key, value in changed.items()}


# Rows of the ablation: all that differs from the config they are named after.
ROWS: dict[str, dict[str, Any]] = {
    "baseline": POINT | {f"{CRITERION}.prompting": None},
    "ccdm": {f"{CRITERION}.prompting": None},
    "ccdm-vcp": weights(acp=0.0, pcl=0.0),
    "ccdm-acp": weights(vcp=0.0, pcl=0.0),
    "ccdm-acp-vcp": weights(pcl=0.0),
    "point": POINT | {f"{CRITERION}.prompting.prompt_type": "point"},
    "max-pooling": {f"{CRITERION}.prompting.pooling": "max"},
    **{f"m{count}": {f"{CLASSIFIER}.num_components": count} for count in (1, 5, 7)},
    **{f"lambda{x}": {f"{CRITERION}.prompt_weight": x} for x in (0.1, 0.3, 0.7, 1.0)},
}
OF_RESNET = (
    "depth", "num_stages", "out_indices", "norm_cfg", "norm_eval", "zero_init_residual", "style"
)  # fmt: skip
# Leaf, what it is compared with, and all that differs.
SIBLINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("cpm_r50_avss-224", "cpm_r50_avss"): of_data(pipeline=ANY),
    ("cpm_r50_avss_negatives", "cpm_r50_avss"): {"train_dataloader.dataset.pipeline": ANY},
    ("cpm_r50_s4-224", "cpm_r50_avss-224"): of_data(type="AVSBenchS4Dataset", data_root=ANY)
    | {
        "model.decode_head.num_classes": 2,
        # Without the coverage score: binary masks have no classes to cover.
        "val_evaluator": ANY,
        "test_evaluator": ANY,
    },
    ("cpm_r50_ms3-224", "cpm_r50_s4-224"): of_data(type="AVSBenchMS3Dataset", data_root=ANY)
    | {
        "train_dataloader.dataset.frames_per_clip": "all",
        "test_evaluator.expected_clips.total": 64,
    },
    ("cpm_r50_vpo-ss", "cpm_r50_avss"): of_data(
        type="VPODataset", data_root=ANY, subset="vpo-ss", pipeline=ANY
    )
    | {
        "model.decode_head.num_classes": 22,
        "model.audio_backbone.type": "AudioResNet",
        "model.audio_backbone.depth": 18,
        "model.audio_backbone.in_channels": 2,
        "model.audio_backbone.init_cfg.checkpoint": ANY,
        "sync_bn": "torch",
        "optim_wrapper.paramwise_cfg.custom_keys.audio_backbone.lr_mult": 1.0,
        "train_dataloader.dataset.frames_per_clip": MISSING,  # an item is a picture
        "val_dataloader.dataset.split": "test",
        "default_hooks.checkpoint.save_best": None,
        "test_evaluator": ANY,  # VPO has no published number of clips to compare with
    },
    ("cpm_r50_vpo-ms", "cpm_r50_vpo-ss"): of_data(subset="vpo-ms"),
    ("cpm_r50_vpo-msmi", "cpm_r50_vpo-ss"): of_data(subset="vpo-msmi"),
    ("cpm_mbv2-yamnet_stamps-ss", "cpm_mbv2-yamnet_stamps"): of_data(subset="ss"),
    ("cpm_mbv2-yamnet_stamps-msmi", "cpm_mbv2-yamnet_stamps"): of_data(
        subset="msmi", num_channels=2
    )
    | {"model.audio_backbone.in_channels": 2, "model.audio_backbone.frozen_stages": -1},
    ("cpm_mbv2-yamnet_stamps-msmi_mono", "cpm_mbv2-yamnet_stamps"): of_data(
        subset="msmi", num_channels=1
    ),
    ("cpm_mbv2-yamnet_stamps-msmi_position", "cpm_mbv2-yamnet_stamps-msmi"): {
        "model.decode_head.stereo_position": {"type": "StereoPosition"},
        "model.audio_backbone.in_channels": MISSING,
        "model.audio_backbone.frozen_stages": 6,
    },
    ("cpm_mbv2-yamnet_stamps-msmi_position-prompts", "cpm_mbv2-yamnet_stamps-msmi_position"): {
        "model.criterion.prompting.own_places": True
    },
    **{
        (f"{position}-phase", position): {
            "model.data_preprocessor.cross_spectrum": True,
            "model.decode_head.stereo_position.type": "PhasePosition",
        }
        for position in ("cpm_mbv2-yamnet_stamps-msmi_position", "cpm_r50_vpo-msmi_position")
    },
    ("cpm_r50_vpo-msmi_position", "cpm_r50_vpo-msmi"): {
        "model.decode_head.stereo_position": {"type": "StereoPosition"},
        "model.audio_backbone.in_channels": 1,
    },
    ("cpm_mbv2-yamnet_stamps_negatives", "cpm_mbv2-yamnet_stamps"): {
        "train_dataloader.dataset.pipeline": [
            dict(type="RandomNegativeSound", load=dict(type="ComposeScene"), prob=0.25),
            dict(type="PackAVSInputs"),
        ]
    },
    ("cpm_mbv2-yamnet_stamps_smooth", "cpm_mbv2-yamnet_stamps"): {
        "model.smoothing": dict(seconds=0.2, margin=0.1)
    },
    ("cpm_mbv2-yamnet_stamps_time", "cpm_mbv2-yamnet_stamps"): {
        "model.decode_head.time": dict(type="ClipAttention", window=8),
        "load_from": "data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth",
        "optim_wrapper.optimizer.lr": 3e-4,
        "train_cfg.max_iters": 300,
        **{
            f"{name}_dataloader.{key}": value
            for name in ("train", "val", "test")
            for key, value in dict(batch_size=2, collate_fn=ANY).items()
        },
        **of_data(type="ClipDataset", dataset=ANY),
        # They moved inside.
        **of_data(
            **dict.fromkeys(("image_size", "num_scenes", "pipeline", "split", "subset"), MISSING)
        ),
        **{f"{name}_dataloader.dataset.test_mode": MISSING for name in ("val", "test")},
    },
    ("cpm_efflite0-yamnet_real-ms", "cpm_efflite0-yamnet_real"): {
        "model.backbone.frozen_stages": 7,
        "model.mask_classifier": None,
        "model.least_heard": 0.0,
        "model.no_object_odds": 1.0,
        **of_data(image_size=128, subset="ms", num_sounding=[2], plain_prob=0.0),
        "train_dataloader.dataset.silent_prob": 0.1,
        "train_dataloader.dataset.offscreen_prob": 0.1,
        "train_dataloader.batch_size": 64,
        "optim_wrapper.optimizer.lr": 1.2e-3,
        "train_cfg.max_iters": 680,
        "train_cfg.val_interval": 170,
        "default_hooks.checkpoint.interval": 170,
    },
    ("cpm_efflite0-yamnet_real", "cpm_mbv2-yamnet_real"): {
        "model.backbone.type": "EfficientNetLite",
        "model.backbone.arch": "lite0",
        "model.backbone.strides": MISSING,
        "model.backbone.dilations": MISSING,
        "model.backbone.act_cfg": MISSING,
        "model.backbone.out_indices": MISSING,  # those of MobileNetV2 are its default
        "model.backbone.init_cfg.checkpoint": "weights/efficientnet-lite0_imagenet.pth",
        "model.data_preprocessor.mean": [127.0] * 3,
        "model.data_preprocessor.std": [128.0] * 3,
        "model.decode_head.in_channels": [24, 40, 112, 320],
        "model.no_object_odds": 6.0,
        "model.mask_classifier": dict(
            type="MaskPooledClassifier",
            in_channels=320,
            source_classes=ANY,
            init_cfg=dict(
                type="Pretrained", checkpoint="weights/efficientnet-lite0-classifier_imagenet.pth"
            ),
        ),
    },
    ("cpm_efflite2-yamnet_real", "cpm_efflite0-yamnet_real"): {
        "model.backbone.arch": "lite2",
        "model.backbone.init_cfg.checkpoint": "weights/efficientnet-lite2_imagenet.pth",
        "model.decode_head.in_channels": [24, 48, 120, 352],
        "model.mask_classifier.in_channels": 352,
        "model.mask_classifier.init_cfg.checkpoint": "weights/"
        "efficientnet-lite2-classifier_imagenet.pth",
    },
}
PVTV2_B5 = {
    "model.backbone.type": "mmdet.PyramidVisionTransformerV2",
    **{f"model.backbone.{key}": MISSING for key in OF_RESNET},
    "model.backbone.embed_dims": 64,
    "model.backbone.num_layers": [3, 6, 40, 3],
    "model.backbone.mlp_ratios": (4, 4, 4, 4),
    "model.backbone.init_cfg.checkpoint": "weights/pvtv2-b5_imagenet.pth",
    "model.decode_head.in_channels": [64, 128, 320, 512],
}
SWIN_B = {
    "model.backbone.type": "SwinTransformer",
    **{f"model.backbone.{key}": MISSING for key in (*OF_RESNET, "init_cfg")},
    "model.backbone.embed_dims": 128,
    "model.backbone.depths": [2, 2, 18, 2],
    "model.backbone.num_heads": [4, 8, 16, 32],
    "model.backbone.window_size": 12,
    "model.backbone.drop_path_rate": 0.3,
    "model.decode_head.in_channels": [128, 256, 512, 1024],
    "load_from": "weights/mask2former-swin-b.pth",
}
RULES = "optim_wrapper.paramwise_cfg.custom_keys"
DINOV2_B = {
    "model.backbone.type": "DINOv2",
    **{f"model.backbone.{key}": MISSING for key in OF_RESNET},
    "model.backbone.arch": "base",
    "model.backbone.init_cfg.checkpoint": "weights/dinov2-b_lvd142m.pth",
    "model.decode_head.in_channels": [768] * 4,
    **{
        f"{RULES}.backbone.{name}": ANY
        for name in (
            *(f"vit.layers.{layer}." for layer in range(12)),
            "vit.cls_token", "vit.pos_embed", "vit.patch_embed", "vit.ln1", "pyramid",
        )
    },
}  # fmt: skip
SIBLINGS["cpm_r50-cnn14_avss", "cpm_r50_avss"] = {
    "model.audio_backbone.type": "Cnn14",
    "model.audio_backbone.norm_eval": True,
    "model.audio_backbone.init_cfg.checkpoint": "weights/cnn14_audioset.pth",
}
SIBLINGS["cpm_r50-htsat_avss", "cpm_r50_avss"] = {
    "model.audio_backbone.type": "HTSAT",
    "model.audio_backbone.init_cfg.checkpoint": "weights/htsat_audioset.pth",
}
STAGE_1 = {
    **of_data(type="SoundingDataset", dataset=ANY, split=MISSING, pipeline=MISSING),
    **{f"{split}_dataloader.dataset.test_mode": MISSING for split in ("val", "test")},
    "model.decode_head.num_classes": 2,
    # Without the coverage score.
    "val_evaluator": ANY,
    "test_evaluator": ANY,
}
SIBLINGS["cpm_r50_avss-stage1", "cpm_r50_avss"] = {
    **STAGE_1,
    **of_data(data_root=MISSING),
    "train_dataloader.dataset.frames_per_clip": MISSING,
}
SIBLINGS["cpm_r50_avss-stage2", "cpm_r50_avss"] = {
    "load_from": "work_dirs/cpm_r50_avss-stage1/epoch_100.pth"
}
SIBLINGS["cpm_mbv2-yamnet_stamps-stage1", "cpm_mbv2-yamnet_stamps"] = {
    **STAGE_1,
    **of_data(subset=MISSING, image_size=MISSING, num_scenes=MISSING),
}
SIBLINGS["cpm_mbv2-yamnet_stamps-stage2", "cpm_mbv2-yamnet_stamps"] = {
    "load_from": "work_dirs/cpm_mbv2-yamnet_stamps-stage1/iter_600.pth"
}
for name, changed in (("pvtv2-b5", PVTV2_B5), ("swin-b", SWIN_B), ("dinov2-b", DINOV2_B)):
    for size in ("", "-224"):
        SIBLINGS[f"cpm_{name}_avss{size}", f"cpm_r50_avss{size}"] = changed
# What a run reads; other top-level names are only variables of the data sets' bases.
READ = (
    "model", "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg",
    "test_cfg", "optim_wrapper", "param_scheduler", "val_evaluator", "test_evaluator",
    "auto_scale_lr", "default_hooks", "custom_hooks", "env_cfg", "log_processor", "visualizer",
    "vis_backends", "default_scope", "custom_imports", "log_level", "load_from", "resume",
    "randomness", "sync_bn",
)  # fmt: skip


def changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[tuple]:
    """Dotted keys that differ, with their new values."""
    for key in sorted({*old, *new}):
        before, after = old.get(key, MISSING), new.get(key, MISSING)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from changes(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", after


def differences(leaf: str, base: str) -> dict[str, Any]:
    whole = (load(name).to_dict() for name in (base, leaf))
    return dict(changes(*({key: one.get(key) for key in READ} for one in whole)))


class TestLeaves:
    def test_every_row_is_there(self):
        bases = ("cpm_mbv2-yamnet_stamps", "cpm_r50_avss")
        wanted = {f"{base}_{row}" for base in bases for row in ROWS}
        tables = {ending for ending in (TABLE_4 | TABLE_5).values() if ending}
        wanted |= {f"cpm_efflite0-yamnet_real-ms_{row}" for row in tables}
        assert wanted == set(ABLATION)

    def test_every_main_config_is_compared(self):
        compared = {leaf for leaf, _ in SIBLINGS}
        starts = {"cpm_r50_avss", "cpm_r50_stamps", "cpm_mbv2-yamnet_stamps"}
        starts |= {"cpm_mbv2-yamnet_real", "cpm_efflite0-yamnet_real-visible"}
        assert compared | starts == set(MAIN) and not compared & starts

    def test_nothing_else_is_read(self):
        for name in MAIN:
            unknown = set(load(name)) - set(READ)
            assert unknown <= {
                "num_classes", "audio_channels", "dataset", "no_decay", "backbone", "protocols",
                "load_visual", "load_window", "load_second", "load_clip", "load_mix", "pack",
                "crop_size", "scale_range", "random_crop", "random_crop_224", "resize_224",
                "middle_224", "augment", "pad", "pad_224",
                "clip", "collate_fn", "frames",
                "img_scale", "train_loader", "test_loader", "duplicates", "imagenet_classes",
                "pvtv2_b5",
                *(
                    f"{split}_pipeline{end}"
                    for split in ("train", "test")
                    for end in ("", "_224", "_mix", "_224_cavp", "_clips")
                ),
            }  # fmt: skip

    @pytest.mark.parametrize("name", ABLATION)
    def test_a_row_changes_what_it_is_named_after(self, name):
        base, row = name.rsplit("_", 1)
        assert differences(name, base) == ROWS[row]

    @pytest.mark.parametrize(("leaf", "base"), SIBLINGS)
    def test_siblings_differ_in_what_their_names_say(self, leaf, base):
        assert differences(leaf, base) == SIBLINGS[leaf, base]

    def test_the_papers_model_on_stamps_is_the_papers_model(self):
        paper, stamps, small = map(
            load, ("cpm_r50_avss", "cpm_r50_stamps", "cpm_mbv2-yamnet_stamps")
        )
        assert dict(changes(paper.model, stamps.model)) == {"decode_head.num_classes": 25}
        different = differences("cpm_r50_stamps", "cpm_mbv2-yamnet_stamps")
        assert {key.split(".")[0] for key in different} == {"model"}
        assert stamps.train_dataloader == small.train_dataloader

    def test_every_rule_of_the_optimiser_finds_its_parameters(self):
        position = "cpm_mbv2-yamnet_stamps-msmi_position"
        for name in ("cpm_r50_avss", "cpm_mbv2-yamnet_stamps_point", position):
            cfg = shrink(load(name), narrow=True)
            model = MODELS.build(cfg.model)
            rules = cfg.optim_wrapper.paramwise_cfg.custom_keys
            found = {key for key in rules for name, _ in model.named_parameters() if key in name}
            other = {"log_scale"} if name.endswith("point") else {"prompter.points"}
            other |= set() if name == position else {"silence_embed"}
            assert set(rules) - found == other  # the other kind of classifier and prompt

    def test_every_rate_is_for_a_batch_of_16(self):
        assert all(load(name).auto_scale_lr.base_batch_size == 16 for name in (*MAIN, *ABLATION))

    def test_the_papers_numbers(self):
        """Appendix A: batch 16 on 8 GPUs, AdamW, 1e-4, poly 0.9, 100 epochs; N 100, M 3."""
        cfg = load("cpm_r50_avss")
        assert 8 * cfg.train_dataloader.batch_size == 16
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 1e-4)
        assert [s.type for s in cfg.param_scheduler] == ["LinearLR", "PolyLR"]
        assert cfg.param_scheduler[1].power == 0.9 and "end" not in cfg.param_scheduler[1]
        assert cfg.train_cfg.max_epochs == 100
        head = cfg.model.decode_head
        assert (head.num_queries, head.embed_dims, head.classifier.num_components) == (100, 256, 3)
        assert (head.num_audio_layers, head.num_visual_layers) == (3, 9)
        assert cfg.model.criterion.prompt_weight == 0.5


@cache
def made_batch(name: str) -> dict[str, Any]:
    """Composed scenes, or made tensors where the data would have to be downloaded."""
    cfg = shrink(load(name), narrow=False)
    dataset = cfg.train_dataloader.dataset
    if frames_of(dataset).type not in COMPOSED:
        return tiny_batch(
            num_classes=cfg.model.decode_head.num_classes, channels=cfg.audio_channels
        )
    # With these seeds the two scenes have no class in common, so that their sounds can be mixed.
    seed = 1 if dataset.type == "StampsDataset" else 3
    frames_of(dataset).seed = seed
    made = DATASETS.build(dataset)
    collate = FUNCTIONS.get(
        cfg.train_dataloader.get("collate_fn", dict(type="pseudo_collate"))["type"]
    )
    with seeded(0):  # negative sounds, where a config has them: with this seed for neither scene
        return collate([made[k] for k in range(len(made))])


@pytest.fixture(autouse=True)
def _as_the_tools_run(monkeypatch):
    """From the root, from where the configs name their data."""
    monkeypatch.chdir(CONFIGS.parent)
    init_default_scope("mmseg")


@pytest.mark.parametrize("name", MAIN)
def test_main_configs_train_and_predict(name):
    # The ears of most are those of one, which has them whole.
    ears, those = (load(one).model.audio_backbone for one in (name, "cpm_r50_avss"))
    cfg = shrink(load(name), narrow=ears == those and name != "cpm_r50_avss")
    check_step_and_prediction(cfg, deepcopy(made_batch(name)))
    Visualizer.get_instance("test_configs")  # the hook that draws asks for one
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = DATASETS.build(loader.dataset | dict(lazy_init=True))
        assert len(dataset.metainfo["classes"]) == cfg.model.decode_head.num_classes


@pytest.mark.parametrize("name", ABLATION)
def test_ablation_rows_train_and_predict(name):
    base = name.rsplit("_", 1)[0]
    check_step_and_prediction(shrink(load(name), narrow=True), deepcopy(made_batch(base)))
