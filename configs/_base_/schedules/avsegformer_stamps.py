"""AVSegFormer's schedule cut to the iterations of `schedule_stamps.py`; nothing is frozen."""

_base_ = "avsegformer.py"

train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=600, val_interval=150)
custom_hooks = []
find_unused_parameters = False
auto_scale_lr = dict(base_batch_size=16)
