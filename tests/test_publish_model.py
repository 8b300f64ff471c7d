"""A published checkpoint: what is in it, what it is called, and that it predicts the same."""

import hashlib
from pathlib import Path

import pytest
import torch
from tiny import build_tiny, losses_of, predictions_of, same_predictions, tiny_batch, tiny_model_cfg
from torch import nn
from typed_tools import tool

from projects.cpm_avs.launch import plain_errors
from projects.cpm_avs.safe_checkpoint import load_safely

publish_model = tool("publish_model")


def save(model: nn.Module, path: Path) -> Path:
    optimizer = torch.optim.AdamW(model.parameters())
    sum(losses_of(model, tiny_batch()).values()).backward()
    optimizer.step()
    content = dict(
        meta=dict(
            dataset_meta=dict(classes=("background", "cat", "dog")),
            cfg="work_dir = '/home/me/secret'",
            experiment_name="mine",
            epoch=7,
            iter=42,
        ),
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log_scalars={}),
        random_states=[1, 2],
    )
    torch.save(content, path)
    return path


def test_a_published_model_predicts_the_same_without_its_training_part(tmp_path, capsys):
    model = build_tiny()
    source = save(model, tmp_path / "epoch_7.pth")
    publish_model.main([str(source), str(tmp_path / "new" / "model.pth")])
    [path] = (tmp_path / "new").iterdir()
    assert str(path) in capsys.readouterr().out

    content = load_safely(path)
    assert set(content) == {"meta", "state_dict"}
    assert content["meta"] == dict(
        dataset_meta=dict(classes=("background", "cat", "dog")), epoch=7, iter=42
    )
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_size < source.stat().st_size / 2
    bare = build_tiny(tiny_model_cfg(criterion=None), seed=5)
    bare.load_state_dict(content["state_dict"], strict=True)
    assert same_predictions(*(predictions_of(m, tiny_batch()) for m in (model, bare)))


def test_half_a_model_loads_into_a_whole_one(tmp_path):
    model = build_tiny()
    source = save(model, tmp_path / "a.pth")
    whole, half = (
        publish_model.publish(source, tmp_path / name, half=half)
        for name, half in (("whole.pth", False), ("half.pth", True))
    )
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    bare = build_tiny(tiny_model_cfg(criterion=None), seed=5)
    bare.load_state_dict(load_safely(half)["state_dict"], strict=True)
    weight = "decode_head.query_feat.weight"
    loaded, trained = (m.state_dict()[weight] for m in (bare, model))
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, trained, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("number", "half", "message"),
    [(float("nan"), False, "NaN or infinite: weight"), (7e4, True, "weight reaches 7e.04.*--half")],
)
def test_numbers_that_can_not_be_published_are_named(tmp_path, number, half, message):
    torch.save(dict(weight=torch.tensor([1.0, number])), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"a\.pth: {message}"):
        publish_model.publish(tmp_path / "a.pth", tmp_path / "b.pth", half=half)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pth"]


def test_the_name_ends_in_the_files_own_digest(tmp_path):
    source = tmp_path / "a.pth"
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), source)
    path = publish_model.publish(source, tmp_path / "cpm_r50.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"cpm_r50-{digest[:8]}.pth"
    # Again, from the published file and under its name: the same bytes, the same name.
    assert publish_model.publish(path, path) == path


def test_a_bare_state_dict_is_stripped_too_and_views_are_not_saved_whole(tmp_path):
    large = torch.zeros(100_000)
    torch.save({"a.weight": large, "criterion.bank": torch.ones(2)}, tmp_path / "a.pth")
    published = publish_model.strip(
        {"a.weight": large[:3], "criterion.bank": torch.ones(2)}, "a.pth"
    )
    assert list(published["state_dict"]) == ["a.weight"]
    assert published["state_dict"]["a.weight"].untyped_storage().nbytes() == 12
    path = publish_model.publish(tmp_path / "a.pth", tmp_path / "b.pth")
    assert list(load_safely(path)["state_dict"]) == ["a.weight"]


def test_errors_name_the_file_and_end_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit, match="none.pth: no such checkpoint"), plain_errors():
        publish_model.main([str(tmp_path / "none.pth"), "out.pth"])
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")
    with pytest.raises(SystemExit, match="broken.pth"), plain_errors():
        publish_model.main([str(tmp_path / "broken.pth"), str(tmp_path / "out.pth")])
    torch.save({"model": {"weight": torch.ones(2)}, "epoch": 3}, tmp_path / "foreign.pth")
    with (
        pytest.raises(SystemExit, match="foreign.pth: its 'model' is a dict, not a weight"),
        plain_errors(),
    ):
        publish_model.main([str(tmp_path / "foreign.pth"), str(tmp_path / "out.pth")])
    torch.save({"criterion.bank": torch.ones(2)}, tmp_path / "empty.pth")
    with pytest.raises(SystemExit, match="empty.pth: nothing is left"), plain_errors():
        publish_model.main([str(tmp_path / "empty.pth"), str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit):
        publish_model.main([str(tmp_path / "empty.pth"), "out.pt"])
    assert "ends in .pth" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_the_visual_part_is_all_that_sees(tmp_path):
    model = build_tiny()
    path = publish_model.publish(
        save(model, tmp_path / "a.pth"), tmp_path / "b.pth", start="visual"
    )
    kept = load_safely(path)["state_dict"]
    left = {key.split(".")[0] for key in model.state_dict() if key not in kept}
    assert left == {"criterion", "audio_backbone", "audio_decoder", "decode_head"}
    assert not any("classifier" in key or "audio" in key for key in kept)
    other = build_tiny(seed=5)
    other.load_state_dict(kept, strict=False)
    seen = [
        m.decode_head.decode_pixels(m.backbone(torch.ones(1, 3, 64, 64))) for m in (model, other)
    ]
    assert torch.equal(seen[0].mask_features, seen[1].mask_features)


def test_a_start_that_hears_lacks_the_names_alone(tmp_path):
    model = build_tiny()
    arguments = [str(save(model, tmp_path / "a.pth")), str(tmp_path / "b.pth")]
    publish_model.main([*arguments, "--start", "audio-visual"])
    kept = load_safely(next(tmp_path.glob("b-*.pth")))["state_dict"]
    left = model.state_dict().keys() - kept.keys()
    named = {key for key in model.state_dict() if key.startswith("decode_head.decoder.classifier.")}
    assert named and named <= left
    assert {key.split(".")[0] for key in left - named} == {"criterion"}
