"""The same by epochs: 3 iterations each."""

_base_ = "toy_iter.py"

train_dataloader = dict(sampler=dict(type="EpochDrawSampler"))
param_scheduler = [dict(type="PolyLR", power=0.9, by_epoch=True, end=8, convert_to_iter_based=True)]
train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=8, val_interval=2)
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=3))
custom_hooks = [
    dict(type="RandomStateHook"),
    dict(type="EMUpdateHook", interval=5),
    dict(type="StabilityHook"),
    dict(type="SkipReportHook"),
]
log_processor = dict(by_epoch=True)
