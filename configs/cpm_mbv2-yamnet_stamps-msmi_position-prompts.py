_base_ = "./cpm_mbv2-yamnet_stamps-msmi_position.py"

model = dict(criterion=dict(prompting=dict(own_places=True)))
