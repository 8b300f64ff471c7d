"""What every run shares: registration, hooks, logs, visualisation."""

default_scope = "mmseg"
custom_imports = dict(imports=["cpm_avs", "cpm_avs.training"], allow_failed_imports=False)

# On a machine without CUDA the tools take gloo instead of nccl (`launch/processes.py`).
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)

# Epoch-based by default; `iter_runtime.py` counts in iterations.
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="ExactCheckpointHook",
        by_epoch=True,
        interval=1,
        max_keep_ckpts=3,
        save_best="dataset/mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    random_state=dict(type="RandomStateHook"),
    em_update=dict(type="EMUpdateHook", interval=5, begin=500),
    stability=dict(type="StabilityHook"),
    acp_quality=dict(type="ACPQualityHook"),
    finite_loss=dict(type="FiniteLossHook"),
    skip_report=dict(type="SkipReportHook"),
    visualization=dict(type="AVSVisualizationHook"),
)

vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="AVSLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="AVSLogProcessor", by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
