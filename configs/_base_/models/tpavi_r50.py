# TPAVI (ECCV 2022): ResNet-50, all of VGGish frozen, four levels of attention to the sounds.
# `num_classes` comes with the data set's base.
model = dict(
    type="ClipSegmentor",
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
        type="TPAVIHead", in_channels=[256, 512, 1024, 2048], audio_channels=128, embed_dims=256
    ),
    criterion=dict(type="TPAVICriterion"),
)
