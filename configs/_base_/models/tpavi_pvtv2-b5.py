# TPAVI with PVTv2-B5.
_base_ = ["./tpavi_r50.py", "../backbones/pvtv2-b5.py"]

model = dict(backbone=_base_.pvtv2_b5, decode_head=dict(in_channels=[64, 128, 320, 512]))
