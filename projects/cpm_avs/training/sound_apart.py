"""Two optimisers for one model: one for the audio backbone, one for the rest."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.optim import OptimWrapperDict
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn

from .parameter_groups import MergedGroupsConstructor

AUDIO_BACKBONE = "audio_backbone"


class OptimizersOfOneLoss(OptimWrapperDict):
    """Optimisers that learn from the same loss: it goes backwards once, and each takes a step."""

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Go backwards and take all steps."""
        loss.backward()
        for wrapper in self.values():
            wrapper.step(**(step_kwargs or {}))
            wrapper.zero_grad(**(zero_kwargs or {}))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Nothing: gradients come together in every step, in full precision."""
        yield


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SoundApartConstructor:
    """The config's optimiser for all but the audio backbone, and another one for that.

    Gives an ``OptimWrapperDict`` of ``visual`` and ``sound``, for which ``param_scheduler`` has a
    list each. Clipping, if any, is of each one's gradients.

    Args:
        optim_wrapper_cfg: Of an ``OptimWrapper``; others, which scale the loss or put steps off,
            would do so twice.
        paramwise_cfg: ``sound_optimizer``, the other optimiser, and MMEngine's rules for the
            parameters of the first.
    """

    def __init__(
        self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any] | None = None
    ) -> None:
        rules = dict(paramwise_cfg or {})
        if "sound_optimizer" not in rules:
            raise ValueError(
                "optim_wrapper.paramwise_cfg has no sound_optimizer, which "
                f"{type(self).__name__} gives the audio backbone"
            )
        kind = optim_wrapper_cfg.get("type", "OptimWrapper")
        if kind != "OptimWrapper" or optim_wrapper_cfg.get("accumulative_counts", 1) != 1:
            raise ValueError(
                f"optim_wrapper is an {kind} with accumulative_counts="
                f"{optim_wrapper_cfg.get('accumulative_counts', 1)}; two optimisers of one loss "
                "take an OptimWrapper without: leave out --amp and accumulative_counts"
            )
        other = dict(optim_wrapper_cfg, optimizer=rules.pop("sound_optimizer"))
        self.visual = MergedGroupsConstructor(dict(optim_wrapper_cfg), rules)
        self.sound = MergedGroupsConstructor(other)

    def __call__(self, model: nn.Module) -> OptimizersOfOneLoss:
        """Both, for a model that is not wrapped or is wrapped for several GPUs."""
        model = getattr(model, "module", model)
        rest = nn.ModuleDict(
            {name: part for name, part in model.named_children() if name != AUDIO_BACKBONE}
        )
        sound = nn.ModuleDict({AUDIO_BACKBONE: model.get_submodule(AUDIO_BACKBONE)})
        return OptimizersOfOneLoss(visual=self.visual(rest), sound=self.sound(sound))
