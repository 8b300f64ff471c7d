"""TPAVI's schedule: Adam at a constant rate, nothing frozen but the sound, four clips a batch."""

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, fused=True))
param_scheduler = []
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=15, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# Clips. `--cfg-options auto_scale_lr.enable=True` scales lr with another batch size.
auto_scale_lr = dict(enable=False, base_batch_size=4)
