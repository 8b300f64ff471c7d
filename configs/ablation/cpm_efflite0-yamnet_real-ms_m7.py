# Table 5, M = 7.
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(decode_head=dict(classifier=dict(num_components=7)))
