# The runtime of methods to compare with, counted in iterations.
_base_ = "./baseline_runtime.py"

default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=150),
    skip_report=dict(interval=150),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
