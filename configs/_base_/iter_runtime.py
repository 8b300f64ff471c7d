# The default runtime, counted in iterations; 50 of them are the epoch of STS.
_base_ = "./default_runtime.py"

default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=150),
    em_update=dict(begin=100),
    stability=dict(interval=50),
    skip_report=dict(interval=150),
)
log_processor = dict(by_epoch=False)
# Another seed: --cfg-options randomness.seed=1
randomness = dict(seed=0)
