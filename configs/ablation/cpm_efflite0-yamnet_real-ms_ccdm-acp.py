# Table 4, row 4.
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(criterion=dict(prompting=dict(vcp_weight=0.0, pcl_weight=0.0)))
