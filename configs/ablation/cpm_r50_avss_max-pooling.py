# Appendix A.1: masked max pooling in PCL.
_base_ = "../cpm_r50_avss.py"

model = dict(criterion=dict(prompting=dict(pooling="max")))
