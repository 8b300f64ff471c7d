"""AVSegFormer: AdamW at a constant rate, at first without the image backbone; 2 clips a batch."""

optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-5, weight_decay=0.01, fused=True)
)
param_scheduler = []
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=30, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
custom_hooks = [dict(type="FreezeHook", part="backbone", epochs=5)]
find_unused_parameters = True  # what is frozen gets no gradient

# Clips. `--cfg-options auto_scale_lr.enable=True` scales lr with another batch size.
auto_scale_lr = dict(enable=False, base_batch_size=2)
