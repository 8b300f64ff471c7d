"""A model whose network is recorded once for each shape of its input, and then replayed.

On a GPU the time of one picture is that of launching some 2,000 kernels; a CUDA graph launches them
at once. On the CPU, which has nothing to record, the network runs as it is.

Shorthand: B batch, A audio channels, T F spectrogram frames and bins, H W image size.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..models import AVSegmentor
from ..models.cpm.gaussian_functional import full_precision
from ..structures import DecoderOutput, VisualFeatures
from .shaped_pixel_decoder import ShapedPixelDecoder

#: Shapes that are kept; the one that was not asked for the longest makes room.
_MOST_SHAPES = 8
_WARM_UP = 3  # runs in which libraries choose their kernels and take their memory

Network = Callable[[Tensor, Tensor], DecoderOutput]


class RecordedSegmentor(nn.Module):
    """Predicts what an ``AVSegmentor`` predicts, with its very parameters.

    Pictures are padded by the model's preprocessor to a multiple of 32; each padded size and number
    of pictures is recorded at its first use. Fewer pictures than were recorded of a size, such as
    the last ones of a clip, are filled up.

    Args:
        model: At inference; what is recorded reads its parameters where they are, so that weights
            loaded later count and a model moved to another device does not.
    """

    def __init__(self, model: AVSegmentor) -> None:
        super().__init__()
        self.model = model
        self.pixel_decoder = ShapedPixelDecoder(model.decode_head.pixel_decoder)
        self._shapes: OrderedDict[tuple, Network] = OrderedDict()

    @torch.inference_mode()
    def test_step(self, data: dict[str, Any]) -> list[SegDataSample]:
        """As the model's own."""
        batch = self.model.data_preprocessor(data, False)
        img, specgram = batch["inputs"]["img"], batch["inputs"]["specgram"]
        samples = batch["data_samples"]
        if not samples:
            raise ValueError("a recorded model needs data_samples, which have the pictures' sizes")
        output = self._run(img, specgram)
        return self.model.merge_predictions(output, tuple(img.shape[-2:]), samples)

    def network(self, img: Tensor, specgram: Tensor) -> DecoderOutput:
        """What of a prediction has one shape: images (B, 3, H, W), spectrograms (B, A, T, F)."""
        maps = self.model.backbone(img)
        with torch.autocast(img.device.type, enabled=False):
            mask_features, memories = self.pixel_decoder([full_precision(one) for one in maps])
        visual = VisualFeatures(mask_features, tuple(memories))
        return self.model.decode_head(visual, self.model.extract_audio(specgram))

    def _run(self, img: Tensor, specgram: Tensor) -> DecoderOutput:
        wanted = len(img)
        key = self._fitting(img, specgram)
        if key not in self._shapes:
            while len(self._shapes) >= _MOST_SHAPES:
                self._shapes.popitem(last=False)
            self._shapes[key] = self._recorded(img, specgram)
        self._shapes.move_to_end(key)
        missing = key[0] - wanted
        if missing:
            img = torch.cat([img, img[-1:].expand(missing, -1, -1, -1)])
            specgram = torch.cat([specgram, specgram[-1:].expand(missing, -1, -1, -1)])
        return self._shapes[key](img, specgram)

    def _fitting(self, img: Tensor, specgram: Tensor) -> tuple:
        """Of the recorded shapes that these fit into the smallest, or their own.

        Precision belongs to it: a graph replays the one that it was recorded in.
        """
        device = img.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        rest = (img.shape[1:], specgram.shape[1:], dtype)
        larger = [key for key in self._shapes if key[1:] == rest and key[0] >= len(img)]
        return min(larger, key=lambda key: key[0], default=(len(img), *rest))

    def _recorded(self, img: Tensor, specgram: Tensor) -> Network:
        if not img.is_cuda:
            return self.network
        inputs = (img.clone(), specgram.clone())
        device = img.device.type
        # A cast weight that autocast keeps would be freed with it, under the graph's feet.
        enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        with torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False):
            stream = torch.cuda.Stream(img.device)
            stream.wait_stream(torch.cuda.current_stream(img.device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self.network(*inputs)
            torch.cuda.current_stream(img.device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = self.network(*inputs)

        def replay(img: Tensor, specgram: Tensor) -> DecoderOutput:
            inputs[0].copy_(img)
            inputs[1].copy_(specgram)
            graph.replay()
            return output

        return replay


def record(model: AVSegmentor) -> RecordedSegmentor:
    """A model for fast predictions; ``model`` is left as it is, and put to evaluation."""
    return RecordedSegmentor(model.eval()).eval()
