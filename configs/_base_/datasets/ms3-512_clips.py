"""MS3 in whole clips at 512x512, which is what AVSegFormer's published code trains and tests at."""

_base_ = "ms3-224_clips.py"

pipeline = [*_base_.load_clip, dict(type="ResizeForProtocol", scale=(512, 512)), _base_.pack]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
