# As `no_val_runtime.py`: the test set, which training is watched on, chooses no checkpoint.
_base_ = "./baseline_runtime.py"

default_hooks = dict(checkpoint=dict(save_best=None))
