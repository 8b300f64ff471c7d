"""A model whose network is recorded once for each shape of its input, and then replayed.

On a GPU the time of one picture is that of launching some 2,000 kernels; a CUDA graph launches them
at once, those that normalise the picture and take the sound's spectrum among them. On the CPU,
which has nothing to record, the same network runs as it is.

Shorthand: B batch, A audio channels, L samples, H W image size.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..models.base_segmentor import BaseAVSegmentor
from ..models.data_preprocessor import stacked_sounds
from ..models.resizing import resizer

#: Shapes that are kept; the one that was not asked for the longest makes room.
_MOST_SHAPES = 8
_WARM_UP = 3  # runs in which libraries choose their kernels and take their memory

Size = tuple[int, int]


class Prediction(NamedTuple):
    """What a graph writes, over and over.

    Attributes:
        scores: The largest of each pixel, (B, 1, H, W) at the original size.
        labels: Their classes, (B, 1, H, W).
        heard: See ``BaseAVSegmentor.heard``.
    """

    scores: Tensor
    labels: Tensor
    heard: Tensor


class Shape(NamedTuple):
    """What a graph is recorded for; all but ``pictures`` must be the same to use it."""

    pictures: int
    img: tuple[torch.Size, torch.dtype]
    waveform: torch.Size
    original: Size
    dtype: torch.dtype | None


Network = Callable[[Tensor, Tensor], Prediction]  # of pictures and sounds


class RecordedSegmentor(nn.Module):
    """Predicts what a segmentor predicts, with its very parameters.

    Pictures of one size go together; those of a batch that differ go one by one, so that none is
    padded to the size of another. Each size and number of pictures is recorded at its first use.
    Fewer pictures than were recorded of a size, such as the last ones of a clip, are filled up, but
    for a model whose pictures see one another.

    Args:
        model: At inference; what is recorded reads its parameters where they are, so that weights
            loaded later count and a model moved to another device does not.
    """

    def __init__(self, model: BaseAVSegmentor) -> None:
        super().__init__()
        self.model = model
        self._shapes: OrderedDict[Shape, Network] = OrderedDict()

    @torch.inference_mode()
    def best_step(self, data: dict[str, Any]) -> list[SegDataSample]:
        """As ``best_step`` of the model; ``data_samples`` with the original sizes must be there."""
        samples, pictures = data["data_samples"], data["inputs"]["img"]
        sizes = {
            (one.shape, tuple(sample.ori_shape))
            for one, sample in zip(pictures, samples, strict=True)
        }
        if len(sizes) > 1:
            parts = (_part(data, index) for index in range(len(samples)))
            return [sample for part in parts for sample in self.best_step(part)]
        given = torch.stack(list(pictures)), stacked_sounds(data["inputs"]["waveform"])
        found = self._run(given, tuple(samples[0].ori_shape[:2]))
        for index, sample in enumerate(samples):
            sample.pred_scores = PixelData(data=found.scores[index])
            sample.pred_sem_seg = PixelData(data=found.labels[index])
        self.model.note_heard(found.heard, samples)
        return samples

    def network(self, img: Tensor, waveform: Tensor, *, original: Size) -> Prediction:
        """A prediction whose shapes depend on those of its input alone.

        Args:
            img: (B, 3, H, W) uint8.
            waveform: (B, A, L) in [-1, 1].
            original: Height and width of the result.
        """
        inputs = self.model.data_preprocessor.network_inputs(img, waveform)
        output = self.model.encode_decode(inputs, [])
        resize = resizer(inputs["img"].shape[-2:], img.shape[-2:], original)
        # One by one: the claims of all queries at full size are the largest thing there is.
        best = [self.model.draw_best_static(one, resize) for one in self.model.per_picture(output)]
        scores, labels = (torch.stack(maps) for maps in zip(*best, strict=True))
        return Prediction(scores, labels, self.model.heard(output))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _run(self, given: Sequence[Tensor], original: Size) -> Prediction:
        wanted, shape = len(given[0]), self._fitting(*given, original=original)
        if shape not in self._shapes:
            while len(self._shapes) >= _MOST_SHAPES:
                self._shapes.popitem(last=False)
            self._shapes[shape] = self._recorded(shape, given)
        self._shapes.move_to_end(shape)
        if missing := shape.pictures - wanted:
            given = [torch.cat([one, one[-1:].expand(missing, *one.shape[1:])]) for one in given]
        found = self._shapes[shape](*given)
        # The next replay writes over it.
        return Prediction(*(one[:wanted].clone() for one in found))

    def _fitting(self, img: Tensor, waveform: Tensor, *, original: Size) -> Shape:
        """Of the recorded shapes that these fit into the smallest, or their own."""
        device = self._device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        pictures = img.shape[1:], img.dtype
        own = Shape(len(img), pictures, waveform.shape[1:], original, dtype)
        if self.model.clip_length > 1:
            return own
        larger = [
            one for one in self._shapes if one[1:] == own[1:] and one.pictures >= own.pictures
        ]
        return min(larger, key=lambda one: one.pictures, default=own)

    def _recorded(self, shape: Shape, given: Sequence[Tensor]) -> Network:
        network = partial(self.network, original=shape.original)
        if self._device.type != "cuda":
            return network
        return record_graph(network, [one.to(self._device, copy=True) for one in given])


def record_graph(network: Network, inputs: Sequence[Tensor]) -> Network:
    """A CUDA graph of a network, which gives the same tensors each time.

    Args:
        network: What is recorded.
        inputs: On the GPU; later ones, wherever they are, are copied into these.
    """
    # A weight in half precision that autocast keeps would be freed with it, under the graph's feet.
    enabled, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with torch.autocast("cuda", dtype=dtype, enabled=enabled, cache_enabled=False):
        device = inputs[0].device
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                network(*inputs)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = network(*inputs)

    def replay(*latest: Tensor) -> Prediction:
        for one, other in zip(inputs, latest, strict=True):
            one.copy_(other)
        graph.replay()
        return found

    return replay


def _part(data: dict[str, Any], index: int) -> dict[str, Any]:
    inputs = {name: [values[index]] for name, values in data["inputs"].items()}
    return dict(data, inputs=inputs, data_samples=[data["data_samples"][index]])


def record(model: BaseAVSegmentor) -> RecordedSegmentor:
    """A model for fast predictions; ``model`` is left as it is, and put to evaluation."""
    return RecordedSegmentor(model.eval()).eval()
