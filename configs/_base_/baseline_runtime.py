# The default runtime without the hooks of mixtures, matching and audio prompting, which methods to
# compare with do not have.
_base_ = "./default_runtime.py"

_hooks = _base_.default_hooks
default_hooks = dict(
    _delete_=True,
    timer=_hooks.timer,
    logger=_hooks.logger,
    param_scheduler=_hooks.param_scheduler,
    checkpoint=_hooks.checkpoint,
    sampler_seed=_hooks.sampler_seed,
    random_state=_hooks.random_state,
    finite_loss=_hooks.finite_loss,
    skip_report=_hooks.skip_report,
    visualization=_hooks.visualization,
)
