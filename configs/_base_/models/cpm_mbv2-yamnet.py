# A small model for two CPU cores, with backbones whose weights `tools/prepare_weights.py` can get.
# `num_classes` comes with the data set's base.
model = dict(
    type="AVSegmentor",
    data_preprocessor=dict(type="AVDataPreprocessor"),
    backbone=dict(
        type="MobileNetV2",
        strides=(1, 2, 2, 2, 1, 2, 1),
        dilations=(1, 1, 1, 1, 1, 1, 1),
        out_indices=(1, 2, 4, 6),
        norm_eval=True,
        # In place PyTorch copies what goes in first, since going backwards needs it.
        act_cfg=dict(type="ReLU6", inplace=False),
        init_cfg=dict(type="Pretrained", checkpoint="weights/mobilenetv2_imagenet.pth"),
    ),
    audio_backbone=dict(
        type="YAMNet",
        # The first six layers, to stride 8, stay as AudioSet made them: trained along, they forget.
        frozen_stages=6,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="weights/yamnet_audioset.pth"),
    ),
    decode_head=dict(
        type="CPMHead",
        in_channels=[24, 32, 96, 320],
        classifier=dict(type="GMMClassifier", num_components=3),
        embed_dims=128,
        num_queries=20,
        num_encoder_layers=1,
        feedforward_channels=512,
        num_audio_layers=2,
        num_visual_layers=3,
    ),
    criterion=dict(
        type="CPMCriterion",
        # Masks have 24 x 24 cells at 96 px: all of them are compared, nothing is sampled.
        set_loss=dict(points=dict(type="grid")),
        mixture=dict(),
        prompting=dict(acp_weight=1.0, vcp_weight=1.0, pcl_weight=1.0),
        prompt_weight=0.5,
    ),
)
