"""A model as a folder or a repository of the Hugging Face hub: plain data, nothing that is run.

``config.json`` holds what inference needs of a config, ``model.safetensors`` the weights without
the training part, and ``README.md`` is the model card (``model_card.py``).
"""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config_files import ConfigError, refuse_paths_to_code
from ..files import check_file, write_whole
from ..safe_checkpoint import inference_weights_of, load_safely
from ..safetensors_format import safetensors_of
from .model_card import model_card
from .model_loading import build_model
from .preparation import innermost_test_set

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
#: What names other files or modules, and so could make a downloaded file run code.
_LEADS_ELSEWHERE = ("_base_", "custom_imports")
# Of the data set: how a frame and its sound are prepared; where it lies is nobody's business.
_KEPT_OF_DATA = ("type", "metainfo", "pipeline", "image_size", "num_samples", "num_channels")
_KEPT_META = ("dataset_meta", "epoch", "iter")


def fetch_folder(name: str | Path, revision: str | None = None) -> Path:
    """The folder of a model: one that is here, or a hub's repository, downloaded once.

    Args:
        name: A folder, or ``OWNER/MODEL``.
        revision: Branch, tag or commit of the repository.

    Raises:
        ValueError: There is neither such a folder nor, as far as one can see, such a repository.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or len(folder.parts) != 2 or folder.parts[0] in (".", ".."):
        raise ValueError(f"{name}: there is no such folder, and a hub's model is OWNER/MODEL")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{name}: there is no such folder; to get it from the hub: pip install huggingface_hub"
        ) from error
    try:
        files = [CONFIG, WEIGHTS, CARD]
        return Path(snapshot_download(str(name), revision=revision, allow_patterns=files))
    except Exception as error:  # whatever the client, the network or the hub may say
        told = " ".join(str(error).split())
        raise ValueError(
            f"{name}: no such folder, and the hub does not give it ({told}). Download it on a "
            "machine that reaches the hub, and give the folder"
        ) from error


def read_folder(folder: Path) -> tuple[Config, Path]:
    """Config and weights of a model's folder.

    Raises:
        ConfigError: The config is missing, damaged, or names code.
    """
    path = folder / CONFIG
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: it can't be read ({error}); `cpm-avs hub-folder` writes such a folder"
        ) from error
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise ConfigError(f"{path}: it has no settings of a model")
    for key in _LEADS_ELSEWHERE:
        if key in settings:
            raise ConfigError(f"{path}: it has {key}, which leads to code; a model's may not")
    refuse_paths_to_code(path, settings)
    return Config(settings, filename=str(path)), folder / WEIGHTS


def write_folder(
    folder: str | Path,
    config: Config,
    checkpoint: str | Path,
    *,
    name: str,
    metrics: dict[str, Any] | None = None,
) -> Path:
    """Write a model as the hub has it; ``hf upload OWNER/MODEL FOLDER`` hands it in.

    Args:
        folder: Made where it is not there.
        config: The model's.
        checkpoint: Its weights; the training part is left out.
        name: What the card calls it.
        metrics: Contents of a test's ``metrics.json``, for the card.

    Returns:
        Path: The folder.

    Raises:
        ValueError: The weights are not those of the config's model, or ``metrics`` are no scores;
            nothing is written.
    """
    folder = Path(folder)
    for file in (CONFIG, WEIGHTS, CARD):
        check_file(folder / file)
    _, classes = build_model(config, checkpoint, "cpu")  # refuses what does not fit
    content = load_safely(checkpoint)
    weights = inference_weights_of(content, checkpoint)
    meta = content.get("meta") or {}
    settings = inference_settings(config)
    card = model_card(name, settings, metrics, weights, classes)
    write_whole(folder / CONFIG, json.dumps(settings, indent=1) + "\n")
    kept = {key: meta[key] for key in _KEPT_META if key in meta}
    write_whole(folder / WEIGHTS, safetensors_of(weights, kept))
    write_whole(folder / CARD, card)
    return folder


def inference_settings(config: Config) -> dict[str, Any]:
    """What a config says of the model and of preparing its inputs, as plain values."""
    plain = config.to_dict()
    dataset = innermost_test_set(plain)
    data = {key: dataset[key] for key in _KEPT_OF_DATA if key in dataset}
    if "pipeline" not in data and "test_pipeline" in plain:
        data["pipeline"] = plain["test_pipeline"]
    model = {**plain["model"], "criterion": None}
    for part in model.values():
        if isinstance(part, dict):
            part.pop("init_cfg", None)  # a file that training begins with
    settings = dict(
        default_scope=plain.get("default_scope", "mmseg"),
        model=model,
        test_dataloader=dict(dataset=data),
    )
    return json.loads(json.dumps(settings))
