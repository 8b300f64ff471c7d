# Appendix A.1: masked max pooling in PCL.
_base_ = "../cpm_mbv2-yamnet_stamps.py"

model = dict(criterion=dict(prompting=dict(pooling="max")))
