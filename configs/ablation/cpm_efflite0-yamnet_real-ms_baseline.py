# Table 4, row 1: a softmax classifier and no prompts (AVSegFormer*).
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(
    decode_head=dict(classifier=dict(_delete_=True, type="LinearClassifier")),
    criterion=dict(mixture=None, prompting=None),
)
