"""Config and checkpoint to a model that predicts; nothing of the training part is imported."""

import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..config_files import ROOT, read_config_file
from ..model_fit import check_backbones, check_config_classes, check_sound, class_names
from ..safe_checkpoint import (
    check_fit,
    check_number_of_classes,
    class_names_of,
    inference_weights_of,
    load_safely,
)
from .preparation import Preparation

BUILT_IN = "cpm_efflite0-yamnet_real"
_TRAINING = "cpm_avs.training"


def load_config(config: str | Path | Config | None) -> Config:
    """A Config, a file, or the name of a file in ``configs/``; None is the built-in model's.

    What a config imports for training is left out, and so is the optimiser, whose constructor is
    among that.
    """
    if isinstance(config, Config):
        return config
    loaded = read_config_file(config or BUILT_IN, leave_out=_TRAINING)
    loaded._cfg_dict.pop("optim_wrapper", None)
    return loaded


def find_checkpoint(config: str | Path | Config | None, checkpoint: str | Path | None) -> Path:
    """The checkpoint named, or the one that comes with a config."""
    if checkpoint is not None:
        return Path(checkpoint)
    source = config.filename if isinstance(config, Config) else config
    stem = Path(source or BUILT_IN).name.removesuffix(".py")
    folder = ROOT / "data" / "checkpoints"
    # The config's own name, with or without the digits of tools/publish_model.py.
    named = re.compile(rf"{re.escape(stem)}(-[0-9a-f]{{8}})?\.pth")
    found = [path for path in sorted(folder.glob("*.pth")) if named.fullmatch(path.name)]
    if not found:
        raise ValueError(
            f"no checkpoint comes with {stem!r}; name one (--checkpoint FILE, or checkpoint=), "
            "which `bash tools/quickstart.sh` or tools/train.py writes"
        )
    return found[0]


def find_device(device: str | torch.device | None) -> torch.device:
    """The device named; None is the GPU where there is one, else the CPU.

    Raises:
        ValueError: Torch knows no such device, or has none here.
    """
    gpu = torch.cuda.is_available()
    try:
        found = torch.device(device or ("cuda" if gpu else "cpu"))
        torch.zeros(1, device=found).cpu()  # 'meta' has no values to give back
    except (RuntimeError, AssertionError) as error:
        known = "'cpu' or 'cuda:0' and so on" if gpu else "'cpu': torch sees no GPU"
        raise ValueError(f"device {str(device)!r} can't be used here; give {known}") from error
    return found


def build_bare(config: Config) -> BaseModel:
    """The config's model for inference, with the random weights of its layers.

    Raises:
        ConfigError: Its head does not fit its backbone or the data's classes, or it hears another
            number of channels than the data has.
    """
    init_default_scope(config.get("default_scope", "mmseg"))
    check_config_classes(config)
    settings = config.model.copy()
    settings["criterion"] = None
    model = MODELS.build(settings)
    check_backbones(model)
    check_sound(model, Preparation.from_config(config).channels, "test_dataloader.dataset")
    return model


def build_model(
    config: Config, checkpoint: str | Path, device: str | torch.device
) -> tuple[BaseModel, tuple[str, ...]]:
    """A model for inference with its weights, and the names of its classes.

    Raises:
        ValueError: The checkpoint does not fit the config, and the message says where; or the
            device can't be used.
    """
    model = build_bare(config)
    content = load_safely(checkpoint)
    state = inference_weights_of(content, checkpoint)
    names = class_names_of(content, checkpoint)
    check_number_of_classes(names, config.model, checkpoint)
    check_fit(model, state, checkpoint)
    model.load_state_dict(state, strict=True)
    return model.to(find_device(device)).eval(), names or _config_classes(config)


def _config_classes(config: Config) -> tuple[str, ...]:
    """Class names of the config's test set, for a checkpoint that does not carry them."""
    for key in ("test_dataloader", "val_dataloader", "train_dataloader"):
        names = class_names((config.get(key) or {}).get("dataset"))
        if names:
            return names
    count = config.model.decode_head.num_classes
    return ("background", *(f"class {label}" for label in range(1, count)))
