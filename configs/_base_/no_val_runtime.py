# The default runtime for data without a set for validation: the test set, which training is watched
# on, must not choose the best checkpoint, so none is.
_base_ = "./default_runtime.py"

default_hooks = dict(checkpoint=dict(save_best=None))
