# Nothing else is trained: the weights of the base config are drawn more steadily along a clip.
_base_ = "cpm_mbv2-yamnet_stamps.py"

model = dict(smoothing=dict(seconds=0.2, margin=0.1))
