# Table 5, "Point Rep.": a softmax classifier and one learned prompt a class.
_base_ = "../cpm_efflite0-yamnet_real-ms.py"

model = dict(
    decode_head=dict(classifier=dict(_delete_=True, type="LinearClassifier")),
    criterion=dict(mixture=None, prompting=dict(prompt_type="point")),
)
