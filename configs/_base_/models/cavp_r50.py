# CAVP (CVPR 2024): DeepLabV3+ on a ResNet-50 whose stem is three convolutions, and VGGish with its
# dense layers. `num_classes` comes with the data set's base.
model = dict(
    type="DenseSegmentor",
    data_preprocessor=dict(type="AVDataPreprocessor"),
    backbone=dict(
        type="ResNetV1c",
        depth=50,
        stem_channels=128,
        strides=(1, 2, 2, 1),
        # Of the blocks of stage 4, which `dilations` leaves to it.
        multi_grid=(2, 4, 8),
        contract_dilation=True,
        init_cfg=dict(type="Pretrained", checkpoint="weights/resnet50s_imagenet.pth"),
    ),
    audio_backbone=dict(
        type="CAVPVGGish",
        init_cfg=dict(type="Pretrained", checkpoint="weights/vggish-dense_audioset.pth"),
    ),
    decode_head=dict(type="CAVPHead", in_channels=[256, 512, 1024, 2048]),
    criterion=dict(type="CAVPCriterion"),
)
# Norms learn the statistics of the whole batch, which the authors have on one GPU or two.
sync_bn = "torch"
