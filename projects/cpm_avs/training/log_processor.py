"""The line that training prints: its losses, summed over the decoder's layers."""

import datetime
import re
import resource
from collections import defaultdict
from collections.abc import Mapping

from mmengine.runner import LogProcessor, Runner
from mmseg.registry import LOG_PROCESSORS

# "Iter(train) [ 50/600]" or "Epoch(train)  [3][ 50/270]"
_HEAD = re.compile(r".*?\[ *\d+/\d+\]")
_LAYER = re.compile(r"d\d+\.")


def loss_terms(losses: Mapping[str, float]) -> dict[str, float]:
    """The terms of the objective, each summed over the decoder's layers.

    Args:
        losses: Name -> value. ``d3.loss_cls`` is the term ``cls`` of layer 3, and all that begins
            with ``vcp.`` is the term ``vcp``; names without ``loss_`` are none.

    Returns:
        dict: Term -> sum, in the order in which the terms first come.
    """
    terms: dict[str, float] = defaultdict(float)
    for name, value in losses.items():
        path, found, last = _LAYER.sub("", name).rpartition("loss_")
        if found:
            terms[path.partition(".")[0] or last] += value
    return dict(terms)


@LOG_PROCESSORS.register_module()
class AVSLogProcessor(LogProcessor):
    """MMEngine's, but for the line of a training iteration.

    Printed are iteration, rate, time left, seconds an iteration, memory, loss and its terms. JSON
    and TensorBoard get every loss of every layer as well, and the terms as ``terms/NAME``.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        tag, text = super().get_log_after_iter(runner, batch_idx, mode)
        head = _HEAD.match(text)
        if mode != "train" or head is None:
            return tag, text
        # Without CUDA the whole process's, in MiB, as MMEngine counts a GPU's.
        tag.setdefault("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        terms = loss_terms(tag)
        tag.update({f"terms/{name}": value for name, value in terms.items()})

        parts = [head.group()]
        parts += [f"{key}: {tag[key]:.2e}" for key in tag if key == "lr" or key.endswith(".lr")]
        if "eta" in runner.message_hub.runtime_info:
            left = datetime.timedelta(seconds=int(runner.message_hub.get_info("eta")))
            parts.append(f"eta: {left}")
        if "time" in tag:
            parts.append(f"time: {tag['time']:.2f} s")
        parts.append(f"memory: {tag['memory']} MiB")
        digits = self.num_digits - 1
        losses = {"loss": tag["loss"], **terms} if "loss" in tag else terms
        parts += [f"{name}: {value:.{digits}f}" for name, value in losses.items()]
        return tag, "  ".join(parts)
