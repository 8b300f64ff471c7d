"""Pieces that the benchmarks' bases are put together from; no value stands twice."""

protocols = ["dataset", "avsbench"]

# Reading. A frame of AVSBench hears 0.96 s, an image of VPO 3 s.
load_visual = [dict(type="LoadAVSFrame"), dict(type="LoadAVSMask")]
load_window = dict(type="LoadAudioWindow", num_samples=15360, channels=1)
load_second = dict(load_window, num_samples=16000)
load_mix = dict(type="LoadSoundMix", num_samples=48000, channels=2)
pack = dict(type="PackAVSInputs")

# Training at the frames' own size: random scale and crop. The 224 protocol scales about 224x224
# instead, as COMBO does, and its scores are those at 224x224.
crop_size = (512, 512)
scale_range = (0.5, 2.0)
random_crop = [dict(type="RandomScaledCrop", crop_size=crop_size, scale_range=scale_range)]
resize_224 = dict(type="ResizeForProtocol", scale=(224, 224))
random_crop_224 = [dict(random_crop[0], crop_size=(224, 224), base_size=(224, 224))]
augment = [dict(type="AVSRandomFlip", prob=0.5), dict(type="PhotoMetricDistortion")]
# All crops of one size, so that cuDNN tunes once; padded with the mean colour (BGR).
pad = dict(type="Pad", size=crop_size, pad_val=dict(img=(104, 116, 124), seg=255))
pad_224 = dict(pad, size=(224, 224))

train_pipeline = [*load_visual, load_window, *random_crop, *augment, pad, pack]
test_pipeline = [*load_visual, load_window, pack]
train_pipeline_224 = [*load_visual, load_window, *random_crop_224, *augment, pad_224, pack]
test_pipeline_224 = [*load_visual, load_window, resize_224, pack]
# As TPAVI has them: with the sound of torchvggish, and squeezed, where training on
# AVSBench-semantic crops the middle.
load_clip = [*load_visual, dict(type="LoadVGGishExample")]
middle_224 = [
    dict(type="Resize", scale=(4096, 224), keep_ratio=True, backend="pillow"),
    dict(type="CenterCrop", crop_size=(224, 224)),
]
train_pipeline_clips = [*load_clip, *middle_224, pack]
test_pipeline_clips = [*load_clip, resize_224, pack]
train_pipeline_mix = [*load_visual, load_mix, *random_crop, *augment, pad, pack]
test_pipeline_mix = [*load_visual, load_mix, pack]

# CAVP's in the 224 protocol: a second of sound, and pictures that are squeezed, not cropped.
train_pipeline_224_cavp = [*load_visual, load_second, resize_224, augment[0], pack]
test_pipeline_224_cavp = [*load_visual, load_second, resize_224, pack]

# 8 GPUs x 2 samples: the paper's batch of 16. Tests go frame by frame.
train_loader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="EpochDrawSampler"),
)
test_loader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
