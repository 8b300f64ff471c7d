# The paper's model: ResNet-50 and VGGish, 100 queries, 3 + 9 decoder layers, M = 3, lambda = 0.5.
# `num_classes` comes with the data set's base.
model = dict(
    type="AVSegmentor",
    data_preprocessor=dict(type="AVDataPreprocessor"),
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        # With the norms frozen, a residual that starts at 0 would stay there where no weights are
        # loaded (init_cfg=None).
        zero_init_residual=False,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="weights/resnet50_imagenet.pth"),
    ),
    audio_backbone=dict(
        type="VGGish",
        init_cfg=dict(type="Pretrained", checkpoint="weights/vggish_audioset.pth"),
    ),
    decode_head=dict(
        type="CPMHead",
        in_channels=[256, 512, 1024, 2048],
        classifier=dict(type="GMMClassifier", num_components=3),
        embed_dims=256,
        num_queries=100,
        num_encoder_layers=6,
        feedforward_channels=2048,
        num_audio_layers=3,
        num_visual_layers=9,
    ),
    criterion=dict(
        type="CPMCriterion",
        mixture=dict(),
        prompting=dict(acp_weight=1.0, vcp_weight=1.0, pcl_weight=1.0),
        prompt_weight=0.5,
    ),
)
