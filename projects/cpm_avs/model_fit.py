"""What must agree before a model meets data: its classes and the data's, its parts' channels."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import combinations
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS
from torch import Tensor, nn

from .config_files import ConfigError

#: Side of a picture that every backbone takes, and strides of the maps that the head reads of it,
#: unless it has ``in_strides``.
_SIDE, _STRIDES = 64, [4, 8, 16, 32]
#: Frames and bins of a spectrogram of 0.96 s.
_SPECTROGRAM = (96, 256)


def check_classes(model: Any, dataset: Any, where: str) -> None:
    """Refuse data with another number of classes than the head has.

    Args:
        model: The segmentor, or its config; one without ``decode_head.num_classes`` is left alone.
        dataset: A built data set; one that does not name its classes is left alone.
        where: The data set's place in the config.

    Raises:
        ConfigError: With both numbers.
    """
    expected = getattr(getattr(model, "decode_head", None), "num_classes", None)
    _compare(expected, (getattr(dataset, "metainfo", None) or {}).get("classes"), where)


def check_order_of_classes(datasets: Mapping[str, Any]) -> None:
    """Refuse data sets of one run that number the same classes differently.

    Args:
        datasets: By their places in the config; those that do not name their classes are left out.

    Raises:
        ConfigError: With the first class that has two numbers.
    """
    found = {
        where: list((getattr(dataset, "metainfo", None) or {}).get("classes") or ())
        for where, dataset in datasets.items()
    }
    for (first, names), (second, others) in combinations(found.items(), 2):
        if names != others and sorted(map(str, names)) == sorted(map(str, others)):
            number = [a == b for a, b in zip(names, others, strict=True)].index(False)
            raise ConfigError(
                f"{first} and {second} have the same classes in another order: class {number} is "
                f"{names[number]!r} in the one and {others[number]!r} in the other, and a model "
                "knows numbers alone; give both the same metainfo.classes"
            )


def check_config_classes(cfg: Config) -> None:
    """As ``check_classes``, for all data of a config, which need not be here.

    Raises:
        ConfigError: With both numbers.
    """
    expected = cfg.model.get("decode_head", {}).get("num_classes")
    for split in ("train", "val", "test"):
        settings = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
        for where, one in _data_sets(settings, f"{split}_dataloader.dataset"):
            _compare(expected, _own_names(one), where)


def class_names(settings: Any) -> tuple[str, ...] | None:
    """Names of the classes that a config's data set has, as far as they are known without data."""
    found = (_own_names(one) for _, one in _data_sets(settings, ""))
    return next((names for names in found if names is not None), None)


def _own_names(settings: dict[str, Any]) -> tuple[str, ...] | None:
    kind, known = _kind(settings)
    settings = {key: value for key, value in settings.items() if key != "type"}
    names = (settings.get("metainfo") or {}).get("classes") or known.get("classes")
    if names is None and isinstance(kind, type) and issubclass(kind, BaseDataset):
        with suppress(ValueError, TypeError, OSError):  # its files, which are not here, say them
            names = kind(**{**settings, "lazy_init": True, "pipeline": []}).metainfo.get("classes")
    return tuple(names) if isinstance(names, (list, tuple)) else None


def _kind(settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class of a data set, and what it says of itself without a file."""
    kind = settings["type"]
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return kind, getattr(kind, "METAINFO", {})


def _data_sets(settings: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings themselves, or those of all that they wrap, with their places."""
    if not isinstance(settings, dict) or "type" not in settings:
        return
    yield where, settings
    if "classes" in _kind(settings)[1]:
        return  # what it may wrap has other names, which the model does not see
    yield from _data_sets(settings.get("dataset"), f"{where}.dataset")
    for place, part in enumerate(settings.get("datasets", ())):
        yield from _data_sets(part, f"{where}.datasets.{place}")


def _compare(expected: int | None, classes: Any, where: str) -> None:
    if expected is not None and classes is not None and len(classes) != expected:
        raise ConfigError(
            f"model.decode_head.num_classes is {expected}, and {where} has {len(classes)} classes "
            f"with background ({', '.join(map(str, classes[:4]))}, ...); give both the same number"
        )


def check_sound(model: Any, channels: int | None, where: str) -> None:
    """Refuse a sound with another number of channels than the audio backbone takes.

    Args:
        model: The segmentor; one without ``audio_backbone.in_channels`` is left alone.
        channels: Of the sound, if they are known.
        where: The data set's place in the config.

    Raises:
        ConfigError: With both numbers.
    """
    in_channels = getattr(getattr(model, "audio_backbone", None), "in_channels", None)
    wanted = getattr(model, "sound_channels", in_channels)
    if wanted is None or channels is None or channels == wanted:
        return
    if wanted != in_channels:
        raise ConfigError(
            "model.decode_head.stereo_position hears places in two channels, and the sound of "
            f"{where} has {channels} channel(s); load it with two, or leave stereo_position out"
        )
    raise ConfigError(
        f"model.audio_backbone.in_channels is {wanted}, and the sound of {where} has "
        f"{channels} channel(s); give both the same number"
    )


def check_rates(rates: Mapping[str, int | None]) -> None:
    """Refuse data sets of one run whose sounds come at different rates.

    Args:
        rates: Hz by the sets' places in the config; None where it is not known.

    Raises:
        ConfigError: With both.
    """
    known = [(where, rate) for where, rate in rates.items() if rate is not None]
    for where, rate in known:
        first, other = known[0]
        if rate != other:
            raise ConfigError(
                f"the sound of {first} is loaded at {other} Hz and that of {where} at {rate} Hz, "
                "which a model hears as other pitches; give the same sample_rate"
            )


def check_backbones(model: Any) -> None:
    """Refuse backbones whose maps the rest of the model can't read.

    They are tried on an empty picture and an empty sound; the model is left as it was.

    Args:
        model: The segmentor; one without the parts is left alone.

    Raises:
        ConfigError: With the channels or strides that were found, and what to set.
    """
    head = getattr(model, "decode_head", None)
    wanted = getattr(head, "in_channels", None)
    if wanted is not None and hasattr(model, "backbone"):
        maps = _maps(model.backbone, (3, _SIDE, _SIDE), "model.backbone")
        _check_maps(maps, list(wanted), getattr(head, "in_strides", _STRIDES))
    wanted = getattr(getattr(model, "audio_backbone", None), "out_channels", None)
    channels = getattr(getattr(model, "audio_backbone", None), "in_channels", None)
    if wanted is not None and channels is not None:
        maps = _maps(model.audio_backbone, (channels, *_SPECTROGRAM), "model.audio_backbone")
        given = [one.shape[1] for one in maps]
        if given != list(wanted):
            raise ConfigError(
                f"model.audio_backbone gives maps of {given} channels, and its out_channels says "
                f"{list(wanted)}; give the class the ones that its forward has"
            )


def _check_maps(maps: list[Tensor], wanted: list[int], wanted_strides: list[int] | None) -> None:
    """Compare channels, and strides where the head does not take any."""
    given = [one.shape[1] for one in maps]
    strides = [_SIDE // one.shape[-1] for one in maps]
    if wanted_strides is not None and strides != wanted_strides:
        raise ConfigError(
            f"model.backbone gives {len(maps)} maps at strides {strides}, and the head reads "
            f"{len(wanted_strides)} at strides {wanted_strides}; set the backbone's out_indices, "
            "strides and dilations so"
        )
    if given != wanted:
        raise ConfigError(
            f"model.decode_head.in_channels is {wanted}, and model.backbone gives maps of {given} "
            f"channels; set model.decode_head.in_channels={str(given).replace(' ', '')}"
        )


@torch.no_grad()
def _maps(backbone: nn.Module, shape: tuple[int, ...], where: str) -> list[Tensor]:
    """What a backbone makes of zeros of this shape, without moving its statistics."""
    modes = {module: module.training for module in backbone.modules()}
    some = next(backbone.parameters(), torch.empty(0))
    backbone.eval()
    try:
        maps = backbone(torch.zeros(1, *shape, device=some.device, dtype=some.dtype))
    except Exception as error:  # whatever a library's layers raise
        told = " ".join(str(error).split()) or type(error).__name__
        size = " x ".join(map(str, shape))
        raise ConfigError(f"{where} can't take {size} numbers: {told}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    if not all(isinstance(one, Tensor) and one.ndim == 4 for one in maps):
        raise ConfigError(f"{where} gives something else than a tuple of maps (B, C, H, W)")
    return list(maps)
