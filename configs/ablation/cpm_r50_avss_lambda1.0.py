# Fig. 6, lambda = 1.0.
_base_ = "../cpm_r50_avss.py"

model = dict(criterion=dict(prompt_weight=1.0))
