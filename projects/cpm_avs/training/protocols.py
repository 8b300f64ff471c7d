"""What training asks of a model, so that it need not know the concrete classes."""

from typing import Literal, Protocol

from torch import Tensor, nn

from ..structures import (
    AudioFeatures,
    ClipFrames,
    DecoderOutput,
    GaussianState,
    Prompts,
    VisualFeatures,
)


class GenerativeClassifier(Protocol):
    """A classifier that has mixtures; see ``GMMClassifier``."""

    @property
    def state(self) -> GaussianState: ...

    def normalize(self, embeddings: Tensor) -> Tensor: ...

    def to_query(self, points: Tensor) -> Tensor: ...

    def load_state(self, state: GaussianState) -> None: ...


class PromptableHead(Protocol):
    """A head that decodes prompts beside its queries; see ``CPMHead``."""

    num_queries: int

    @property
    def classifier(self) -> GenerativeClassifier: ...

    def __call__(
        self,
        visual: VisualFeatures,
        audio: AudioFeatures,
        prompts: Prompts | None = None,
        clips: ClipFrames | None = None,
    ) -> DecoderOutput: ...


class SpectrogramPreprocessor(Protocol):
    """See ``AVDataPreprocessor``."""

    drop_bin: Literal["nyquist", "dc"]

    def __call__(self, data: dict, training: bool) -> dict: ...


class PromptableModel(Protocol):
    """A segmentor whose parts can be called one by one; see ``AVSegmentor``."""

    audio_backbone: nn.Module
    decode_head: PromptableHead
    data_preprocessor: SpectrogramPreprocessor

    def extract_visual(self, img: Tensor) -> VisualFeatures: ...

    def extract_audio(
        self, specgram: Tensor, view: Tensor | None = None, cross: Tensor | None = None
    ) -> AudioFeatures: ...
