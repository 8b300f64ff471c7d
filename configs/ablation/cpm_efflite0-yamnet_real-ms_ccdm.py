# Table 4, row 2: the Gaussian mixtures classify, and nothing is prompted.
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(criterion=dict(prompting=None))
