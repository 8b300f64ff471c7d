# Table 4, row 5.
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(criterion=dict(prompting=dict(pcl_weight=0.0)))
