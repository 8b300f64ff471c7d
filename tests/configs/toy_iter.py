"""An iteration-based run of the toy model with every hook of the training room."""

default_scope = "mmseg"
custom_imports = dict(imports=["projects.cpm_avs", "projects.cpm_avs.training", "toy"])
model = dict(type="ToyModel")
train_dataloader = dict(
    dataset=dict(type="ToyDataset", length=10),
    sampler=dict(type="InfiniteDrawSampler"),
    batch_size=4,
    num_workers=0,
)
val_dataloader = dict(
    dataset=dict(type="ToyDataset", length=4),
    sampler=dict(type="DefaultSampler", shuffle=False),
    batch_size=1,
)
val_evaluator = dict(type="ToyMetric")
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-2))
param_scheduler = [dict(type="PolyLR", power=0.9, by_epoch=False, end=24)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=24, val_interval=6)
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=1),
    checkpoint=dict(
        type="ExactCheckpointHook",
        by_epoch=False,
        interval=8,
        max_keep_ckpts=3,
        save_best="score",
        rule="greater",
    ),
)
custom_hooks = [
    dict(type="RandomStateHook"),
    dict(type="EMUpdateHook", interval=5),
    dict(type="StabilityHook", interval=20),
    dict(type="SkipReportHook", interval=12),
]
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
log_processor = dict(by_epoch=False)
randomness = dict(seed=3)
