# The paper's model with Swin-B for ResNet-50. No init_cfg: what sees starts from a Mask2Former, the
# decoder included (`load_from` of the leaves).
_base_ = "./cpm_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="SwinTransformer",
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        drop_path_rate=0.3,  # as in Mask2Former
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
)
