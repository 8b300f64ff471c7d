"""Mixed precision: finite losses, and float32 wherever logarithms of sums are taken."""

import pytest
import torch
from tiny import build_tiny, losses_of, tiny_batch, tiny_model_cfg
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

HALF = [torch.bfloat16, torch.float16]
IN_FULL = ("logsumexp", "logaddexp", "_log_softmax", "linalg_cholesky_ex", "log")


class OperatorDtypes(TorchDispatchMode):
    """Records which floating types each operator really received, below autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = {x.dtype for x in args if isinstance(x, Tensor) and x.is_floating_point()}
        self.seen.setdefault(func.overloadpacket.__name__, set()).update(found)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_what_is_delicate_stays_in_float32(monkeypatch, covariance, dtype):
    head = dict(classifier=dict(covariance=covariance))
    model = build_tiny(tiny_model_cfg(decode_head=head)).train()
    criterion, classifier = model.criterion, model.decode_head.classifier
    logits: list[Tensor] = []
    classifier.register_forward_hook(lambda module, args, output: logits.append(output))
    costs: list[Tensor] = []
    matcher = criterion.set_criterion.matcher
    original = matcher._costs

    def keep(*args) -> Tensor:
        costs.append(original(*args))
        return costs[-1]

    monkeypatch.setattr(matcher, "_costs", keep)
    with OperatorDtypes() as operators, torch.autocast("cpu", dtype=dtype):
        losses = losses_of(model, tiny_batch())
        criterion.update_classifier(classifier)

    assert dtype in operators.seen["mm"] | operators.seen["addmm"]  # autocast was at work
    for name in IN_FULL:
        assert operators.seen.get(name, set()) <= {torch.float32, torch.float64}, name
    assert operators.seen["logsumexp"] and operators.seen["logaddexp"]
    assert len(logits) == 1 and {x.dtype for x in logits} == {torch.float32}
    assert costs[0].dtype == torch.float32
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    state = [*classifier.buffers(), criterion.mixture.bank.samples]
    assert {x.dtype for x in state} == {torch.float32}


@pytest.mark.parametrize("dtype", HALF)
def test_the_pixel_decoder_stays_in_float32(dtype):
    model = build_tiny()
    seen: dict[str, set[torch.dtype]] = {}
    for name, module in model.decode_head.pixel_decoder.named_modules():
        module.register_forward_hook(
            lambda _, args, output, name=name: seen.setdefault(name, set()).update(
                x.dtype for x in (*args, output) if isinstance(x, Tensor) and x.is_floating_point()
            )
        )
    batch = model.data_preprocessor(tiny_batch(), True)
    with torch.autocast("cpu", dtype=dtype):
        maps = model.backbone(batch["inputs"]["img"])
        visual = model.decode_head.decode_pixels(maps)
    assert {x.dtype for x in maps} == {dtype}  # autocast was at work before it
    assert set().union(*seen.values()) == {torch.float32}
    assert {x.dtype for x in (visual.mask_features, *visual.memories)} == {torch.float32}


def train(model: nn.Module, dtype: torch.dtype, steps: int) -> list[dict[str, float]]:
    """Steps with EM, every third batch silent, and a gradient scaler for fp16."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=dtype == torch.float16)
    history = []
    for step in range(steps):
        with torch.autocast("cpu", dtype=dtype):
            batch = tiny_batch(seed=step, silent=step % 3 == 2)
            losses = losses_of(model, batch, seed=step)  # raises if one is not finite
        optimizer.zero_grad()
        scaler.scale(sum(losses.values())).backward()
        scaler.step(optimizer)
        scaler.update()
        model.criterion.update_classifier(model.decode_head.classifier)
        history.append({name: loss.item() for name, loss in losses.items()})
    return history


@pytest.mark.parametrize("dtype", HALF)
def test_training_stays_finite(dtype):
    model = build_tiny()
    before = model.decode_head.query_feat.weight.clone()
    history = train(model, dtype, steps=6)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert not torch.equal(before, model.decode_head.query_feat.weight)  # not every step skipped
    silent = history[2]
    assert all(v == 0 for k, v in silent.items() if k.startswith(("vcp", "loss_acp", "loss_pcl")))


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_close_to_full(dtype):
    model = build_tiny()
    full = losses_of(model, tiny_batch())
    with torch.autocast("cpu", dtype=dtype):
        half = losses_of(model, tiny_batch())
    assert sum(half.values()).item() == pytest.approx(sum(full.values()).item(), rel=0.1)
