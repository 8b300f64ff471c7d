# AVSegFormer (AAAI 2024): ResNet-50, all of VGGish frozen, 300 queries, six layers of each kind.
# `num_classes` comes with the data set's base.
model = dict(
    type="DenseSegmentor",
    data_preprocessor=dict(type="AVDataPreprocessor"),
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        zero_init_residual=False,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="weights/resnet50_imagenet.pth"),
    ),
    audio_backbone=dict(
        type="VGGishEmbedding",
        init_cfg=dict(type="Pretrained", checkpoint="weights/vggish-dense_audioset.pth"),
    ),
    decode_head=dict(
        type="AVSegFormerHead", in_channels=[256, 512, 1024, 2048], audio_channels=128
    ),
    criterion=dict(type="AVSegFormerCriterion"),
)
