"""YAMNet with its classifier: only there to check that converted weights still hear."""

import torch
from torch import Tensor, nn

from ..models.audio_backbones.yamnet import LAYERS, build_layers, log_mel
from ..models.spectrogram import mel_filters, stft_magnitude

PATCH_FRAMES = 96
PATCH_HOP = 48
NUM_CLASSES = 521
DOG = 69  # index in yamnet_class_map.csv


class YAMNetTagger(nn.Module):
    """The whole of YAMNet. Its keys are those of the converted weights."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = build_layers(1, dict(type="BN", eps=1e-4), len(LAYERS))
        self.classifier = nn.Linear(1024, NUM_CLASSES)
        self.register_buffer("filters", mel_filters(), persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Scores in [0, 1], (patches, 521), for a mono waveform (L,) at 16 kHz, L >= 15360."""
        mel = log_mel(stft_magnitude(waveform), self.filters)
        x = mel.unfold(0, PATCH_FRAMES, PATCH_HOP).transpose(1, 2)[:, None]
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean((2, 3))).sigmoid()
