_base_ = "./cpm_mbv2-yamnet_stamps.py"

# Which of two instances sounds is then not to be heard.
dataset = dict(subset="msmi", num_channels=1)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
