"""CAVP's schedule: SGD for all but the audio backbone, Adam at a constant rate for that."""

# What is behind the backbone learns ten times as fast, but for the layers in which sound and
# picture meet. These alone have decayed norms and biases.
fast = dict(lr_mult=10.0)
fast_undecayed = dict(lr_mult=10.0, decay_mult=0.0)
branches = [f"aspp.branches.{number}" for number in range(4)]
with_norm = [*branches, "aspp.image_pool", "aspp.bottleneck", "reduce"]
with_norm += ["last_convs.0", "last_convs.1"]
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="SoundApartConstructor",
    optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(
        sound_optimizer=dict(type="Adam", lr=1e-3),
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            "decode_head.projector": dict(lr_mult=1.0),
            "decode_head.fusion": dict(lr_mult=1.0),
            **{f"decode_head.{layer}.conv": fast for layer in with_norm},
            **{f"decode_head.{layer}.bn": fast_undecayed for layer in with_norm},
            "decode_head.classifier.weight": fast,
            "decode_head.classifier.bias": fast_undecayed,
        },
    ),
)
param_scheduler = dict(
    visual=[dict(type="PolyLR", power=0.9, by_epoch=True, convert_to_iter_based=True)],
    sound=[],
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=80, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# One GPU with 16 samples, or 8 with 2. `--cfg-options auto_scale_lr.enable=True` scales both
# optimisers' rates with another batch size.
auto_scale_lr = dict(enable=False, base_batch_size=16)
