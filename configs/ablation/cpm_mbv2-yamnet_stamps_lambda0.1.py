# Fig. 6, lambda = 0.1.
_base_ = "../cpm_mbv2-yamnet_stamps.py"

model = dict(criterion=dict(prompt_weight=0.1))
