"""Queries that look back over a clip: the formula, what they see, and where they start."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tiny import (
    NUM_QUERIES,
    WIDTH,
    build_tiny,
    clip_batch,
    losses_of,
    predictions_of,
    tiny_batch,
    tiny_model_cfg,
    with_one_step_maps,
)

from projects.cpm_avs.inference.export import ExportableModel, example_inputs, export_program
from projects.cpm_avs.inference.predictor import FrameMemory, Predictor
from projects.cpm_avs.models.cpm.clip_attention import ClipAttention, TimeAttention, frames_ago
from projects.cpm_avs.structures import ClipFrames

WINDOW = 3
TIME = dict(type="ClipAttention", window=WINDOW)


def timed_model(*, moved: bool = True, **overrides):
    """The tiny model with time; ``moved``: its last projections have left their 0."""
    model = build_tiny(tiny_model_cfg(decode_head=dict(time=TIME), **overrides))
    if moved:
        torch.manual_seed(1)
        for layer in model.decode_head.time.layers:
            torch.nn.init.normal_(layer.out_proj.weight, std=0.5)
            torch.nn.init.normal_(layer.time_bias)
    return model.eval()


def follow(model, batch, sizes, past=None):
    """Predictions of a clip that is given in parts, and what is kept after each."""
    data = model.data_preprocessor(deepcopy(batch), False)
    scores, kept, first = [], [], 0
    for size in sizes:
        part = slice(first, first + size)
        inputs = {name: values[part] for name, values in data["inputs"].items()}
        with torch.no_grad():
            samples, past = model.follow(inputs, data["data_samples"][part], past)
        scores += [sample.pred_scores.data for sample in samples]
        kept.append(sum(one.numel() for one in past.queries))
        first += size
    return scores, kept


def test_frames_ago_by_hand():
    ago = frames_ago((3, 2), 1, WINDOW, torch.device("cpu"))
    # Keys: a frame of the past, the first clip's three, the second clip's two; 3 is "not seen".
    assert ago.tolist() == [
        [1, 0, 3, 3, 3, 3],
        [2, 1, 0, 3, 3, 3],
        [3, 2, 1, 0, 3, 3],
        [3, 3, 3, 3, 0, 3],
        [3, 3, 3, 3, 1, 0],
    ]


def test_attention_by_hand():
    """One head, width 2: equal keys, so that the weights are the softmax of the bias alone."""
    layer = TimeAttention(embed_dims=2, num_heads=1, window=2)
    with torch.no_grad():
        layer.in_proj.weight.copy_(torch.tensor([[0.0, 0], [0, 0], [0, 0], [0, 0], [1, 0], [0, 1]]))
        layer.in_proj.bias.zero_()
        layer.out_proj.weight.copy_(torch.eye(2))
        layer.time_bias.copy_(torch.tensor([[np.log(3), 0.0]]))  # itself, and the frame before
    # Normed: (1, -1), (-1, 1), (1, -1), but for the norm's epsilon.
    query = torch.tensor([[[3.0, 1]], [[0.0, 2]], [[7.0, 5]]])
    found = layer(query, query[:0], (3,)) - query
    # 3/4 of itself and 1/4 of the one before; the first frame sees itself alone.
    expected = torch.tensor([[[1.0, -1]], [[-0.5, 0.5]], [[0.5, -0.5]]])
    assert torch.allclose(found, expected, atol=1e-4)


def test_attention_as_a_loop_over_frames_and_heads():
    torch.manual_seed(0)
    heads, width, frames = 2, 8, 5
    layer = TimeAttention(embed_dims=width, num_heads=heads, window=WINDOW)
    torch.nn.init.normal_(layer.out_proj.weight)
    torch.nn.init.normal_(layer.time_bias)
    query = torch.randn(frames, 4, width)
    found = layer(query, query[:0], (frames,))
    q, k, v = layer.in_proj(layer.norm(query)).chunk(3, -1)
    for t in range(frames):
        seen = range(max(0, t - WINDOW + 1), t + 1)
        for n in range(4):
            parts = []
            for head in range(heads):
                part = slice(head * 4, head * 4 + 4)
                logits = torch.stack(
                    [q[t, n, part] @ k[s, n, part] / 2 + layer.time_bias[head, t - s] for s in seen]
                )
                parts.append(logits.softmax(0) @ torch.stack([v[s, n, part] for s in seen]))
            expected = query[t, n] + layer.out_proj(torch.cat(parts))
            assert torch.allclose(found[t, n], expected, atol=1e-5)


def test_a_trained_model_starts_unchanged():
    plain = build_tiny().eval()
    timed = timed_model(moved=False)
    missing = timed.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(key.startswith("decode_head.decoder.time.") for key in missing.missing_keys)
    batch = clip_batch(4)
    for one, other in zip(predictions_of(plain, batch), predictions_of(timed, batch), strict=True):
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
    parts = losses_of(plain, batch), losses_of(timed, batch)
    assert parts[0].keys() == parts[1].keys()
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])


def test_a_frame_is_answered_by_the_past_alone_and_by_its_own_clip():
    model = timed_model()
    batch = clip_batch(6, length=3)
    before = [one.seg_logits.data for one in predictions_of(model, batch)]
    changed = deepcopy(batch)
    changed["inputs"]["img"][4] = 255 - changed["inputs"]["img"][4]
    changed["inputs"]["waveform"][4] = changed["inputs"]["waveform"][4].flip(-1) * 0.1
    after = [one.seg_logits.data for one in predictions_of(model, changed)]
    alike = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert alike == [True, True, True, True, False, False]
    alone = predictions_of(model, tiny_batch(6))  # every frame a clip of its own
    assert not torch.allclose(alone[2].seg_logits.data, before[2], atol=1e-4)
    assert torch.allclose(alone[0].seg_logits.data, before[0], atol=1e-5)


@pytest.mark.parametrize("sizes", [[1] * 9, [4, 1, 4]])
def test_a_stream_is_the_whole_clip(sizes):
    model = timed_model()
    batch = clip_batch(9)
    whole = [one.seg_logits.data.amax(0, keepdim=True) for one in predictions_of(model, batch)]
    parts, kept = follow(model, batch, sizes)
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    # What is kept: at two places N queries of at most T - 1 frames.
    frames = np.minimum(np.cumsum(sizes), WINDOW - 1)
    assert kept == (2 * frames * NUM_QUERIES * WIDTH).tolist()


def test_a_predictor_remembers_each_clip_by_itself():
    model = timed_model(criterion=None)
    predictor = Predictor(model, torch.device("cpu"), precision="fp32", recorded=False)
    batch = clip_batch(4)
    whole = [one.seg_logits.data.amax(0, keepdim=True) for one in predictions_of(model, batch)]
    memories = FrameMemory(), FrameMemory()  # of two clips that are seen in turns
    for number in range(4):
        for memory in memories:
            inputs = {name: [values[number]] for name, values in batch["inputs"].items()}
            samples = [deepcopy(batch["data_samples"][number])]
            (found,) = predictor(dict(inputs=inputs, data_samples=samples), memory)
            assert torch.allclose(found.pred_scores.data, whole[number], atol=1e-5)
            assert [len(one) for one in memory.past.queries] == [min(number + 1, WINDOW - 1)] * 2
    with pytest.raises(ValueError, match="leave recorded"):
        Predictor(model, torch.device("cpu"), precision="fp32", recorded=True)


def test_frames_further_back_than_two_windows_are_forgotten():
    model = timed_model()
    batch = clip_batch(9)
    forgotten = 2 * (WINDOW - 1)
    late = dict(
        inputs={name: values[-forgotten - 1 :] for name, values in batch["inputs"].items()},
        data_samples=batch["data_samples"][-forgotten - 1 :],
    )
    whole, _ = follow(model, batch, [9])
    part, _ = follow(model, late, [forgotten + 1])
    assert torch.allclose(whole[-1], part[-1], atol=1e-5)
    assert not torch.allclose(whole[-2], part[-2], atol=1e-5)


def test_prompts_pass_and_queries_keep_their_numbers():
    torch.manual_seed(0)
    time = ClipAttention(embed_dims=8, num_queries=3, num_heads=2, window=2)
    torch.nn.init.normal_(time.layers[0].out_proj.weight)
    query = torch.randn(4, 5, 8)
    clips = ClipFrames((4,))
    looked, own = time(0, query, clips)
    assert torch.equal(looked[:, 3:], query[:, 3:]) and torch.equal(own, query[:, :3])
    # Permuting the queries alike in all frames permutes the answers.
    order = torch.tensor([2, 0, 1, 3, 4])
    assert torch.allclose(time(0, query[:, order], clips)[0], looked[:, order], atol=1e-6)
    # In one frame alone it does not: a query is one through all frames by its number.
    mixed = torch.cat([query[:1, order], query[1:]])
    assert not torch.allclose(time(0, mixed, clips)[0][1], looked[1], atol=1e-3)
    with pytest.raises(ValueError, match=r"time\.window is 1"):
        ClipAttention(embed_dims=8, num_queries=3, num_heads=2, window=1)


def test_a_step_moves_what_looks_back():
    model = timed_model(moved=False).train()
    optimizer = torch.optim.SGD(model.decode_head.time.parameters(), lr=0.1)
    batch = clip_batch(4)
    for _ in range(2):  # the first one moves the last projection away from 0
        optimizer.zero_grad()
        sum(losses_of(model, batch).values()).backward()
        optimizer.step()
    for layer in model.decode_head.time.layers:
        for name, parameter in layer.named_parameters():
            assert parameter.grad.any(), name


def test_frames_without_a_label_are_looked_at_and_count_for_nothing():
    model = timed_model().train()
    batch = clip_batch(4)
    bare = deepcopy(batch)
    for index in (0, 2):
        sample = SegDataSample(metainfo=bare["data_samples"][index].metainfo)
        bare["data_samples"][index] = sample
    pushed = []
    model.criterion.mixture.collect = lambda points, labels: pushed.append(len(labels))
    losses = losses_of(model, bare)
    assert pushed == [2 * NUM_QUERIES]
    assert all(value.isfinite() for value in losses.values())

    # What an unlabelled frame shows reaches the losses through the others alone: with every frame a
    # clip of its own it makes no difference to those of the queries.
    def matched_losses(data):
        for sample in data["data_samples"]:
            sample.set_metainfo(dict(clip_length=1))
        prompted = ("vcp", "loss_acp", "loss_pcl")
        losses = losses_of(model, data)
        return {name: loss for name, loss in losses.items() if not name.startswith(prompted)}

    other = deepcopy(bare)
    other["inputs"]["img"][2] = 255 - other["inputs"]["img"][2]
    one, two = matched_losses(bare), matched_losses(other)
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    with pytest.raises(ValueError, match="no frame of the batch has a label"):
        for sample in bare["data_samples"]:
            sample._data_fields.discard("gt_sem_seg")
            if hasattr(sample, "_gt_sem_seg"):
                del sample._gt_sem_seg
        losses_of(model, bare)


def test_the_window_is_exported():
    """At a fixed size, in seconds; ``test_stereo_position.py`` has a window of any size."""
    model = with_one_step_maps(timed_model(criterion=None))
    shape = dict(size=(64, 64), channels=1, num_samples=5120)
    program = export_program(model, **shape, dynamic=False)
    inputs = example_inputs(**shape, count=WINDOW)
    with torch.no_grad():
        expected = ExportableModel(model)(*inputs)
        assert torch.allclose(program.module()(*inputs), expected, atol=1e-5)
    assert len(expected) == WINDOW
    # The newest frame's answer is that of a stream that began with the window.
    samples = [
        SegDataSample(metainfo=dict(ori_shape=(64, 64), img_shape=(64, 64))) for _ in range(WINDOW)
    ]
    images, sounds = inputs
    batch = dict(
        inputs=dict(img=[*images.flip(1).round().byte()], waveform=[*sounds]), data_samples=samples
    )
    streamed, _ = follow(model, batch, [1] * WINDOW)
    rounded = images.round().byte().float()
    with torch.no_grad():
        newest = ExportableModel(model)(rounded, sounds)[-1]
    assert torch.allclose(newest.amax(0, keepdim=True), streamed[-1], atol=1e-4)


def test_no_label_is_no_background():
    """A frame without a label is not one that shows nothing."""
    model = timed_model().train()
    bare = clip_batch(2)
    empty = deepcopy(bare)
    mask = torch.zeros_like(empty["data_samples"][0].gt_sem_seg.data)
    empty["data_samples"][0].gt_sem_seg = PixelData(data=mask)
    bare["data_samples"][0] = SegDataSample(metainfo=bare["data_samples"][0].metainfo)
    assert losses_of(model, bare)["loss_focal"] != losses_of(model, empty)["loss_focal"]
