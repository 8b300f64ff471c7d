# Fig. 6, lambda = 1.0.
_base_ = "../cpm_mbv2-yamnet_stamps.py"

model = dict(criterion=dict(prompt_weight=1.0))
