"""An optimiser with one group of parameters for each setting, not one for each parameter."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from logging import WARNING
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

#: Likeness from which on a part of the model is taken for what was meant.
_A_SLIP = 0.8


def merge_groups(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join the groups whose settings agree, in the order in which the settings first come.

    Args:
        groups: Of an optimiser: ``params``, and any settings beside.
    """
    merged: list[dict[str, Any]] = []
    for group in groups:
        settings = {key: value for key, value in group.items() if key != "params"}
        for known in merged:
            if settings == {key: value for key, value in known.items() if key != "params"}:
                known["params"].extend(group["params"])
                break
        else:
            merged.append(dict(settings, params=list(group["params"])))
    return merged


def tell_of_idle_rules(rules: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    """Warn of a rule for a learning rate that MMEngine would apply to nothing, without a word.

    It is misspelt, or left over from a model that has such parameters. Those that spare parameters
    from decay stand in lists for models of many kinds.

    Args:
        rules: ``custom_keys``: parts of parameters' names to settings.
        names: Of all parameters.
    """
    for rule, settings in rules.items():
        if settings.keys() <= {"decay_mult"} or any(rule in name for name in names):
            continue
        levels = range(1, rule.count(".") + 2)
        parts = {".".join(name.split(".")[:level]) for name in names for level in levels}
        near = get_close_matches(rule, parts, n=1, cutoff=_A_SLIP)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print_log(
            f"optim_wrapper.paramwise_cfg.custom_keys: no parameter has {rule!r} in its name, so "
            f"that its rule changes nothing{hint}",
            "current",
            WARNING,
        )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's, whose rules for single parameters give each parameter a group of its own.

    An optimiser takes one step for each group: of 340 groups a fused one launches 340 kernels, of
    4 groups a handful. Every parameter keeps its settings.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        if not prefix:
            names = [name for name, _ in module.named_parameters()]
            tell_of_idle_rules(self.paramwise_cfg.get("custom_keys", {}), names)
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # all modules of the model are through
            params[:] = merge_groups(params)
