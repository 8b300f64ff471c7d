# Table 5, M = 7.
_base_ = "../cpm_r50_avss.py"

model = dict(decode_head=dict(classifier=dict(num_components=7)))
