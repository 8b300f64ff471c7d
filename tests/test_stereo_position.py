"""Where stereo sound comes from: the code, the crop and flip it goes through, what reads it."""

import math
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from tiny import (
    FRAMES,
    SAMPLES,
    WIDTH,
    build_tiny,
    losses_of,
    predictions_of,
    stereo_cfg,
    tiny_batch,
    tiny_model_cfg,
    with_one_step_maps,
)
from tiny_config import shrink

from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.export import (
    ExportableModel,
    example_inputs,
    export_onnx,
    export_program,
)
from projects.cpm_avs.inference.mono_sound import telling_of_mono
from projects.cpm_avs.inference.recorded import record
from projects.cpm_avs.media.audio_functional import pan_stereo
from projects.cpm_avs.models.cpm.av_decoder import keys_and_values, with_columns
from projects.cpm_avs.models.cpm.place_functional import horizontal_code, in_view, panning
from projects.cpm_avs.models.cpm.positions import column_codes, sine_encoding
from projects.cpm_avs.models.cpm.sound_localizer import SoundLocalizer
from projects.cpm_avs.models.cpm.stereo_position import StereoPosition
from projects.cpm_avs.models.data_preprocessor import AVDataPreprocessor
from projects.cpm_avs.models.spectrogram import stft_magnitude
from projects.cpm_avs.structures import VisualFeatures
from projects.cpm_avs.training.prompting.prompt_places import known_places, place_codes

KINDS = ("StereoPosition", "PhasePosition")


def stereo_model(kind, **head):
    """For inference; what starts at 0 is moved away from there."""
    cfg = stereo_cfg(kind, criterion=None)
    cfg["decode_head"].update(head)
    model = build_tiny(cfg).eval()
    if kind == "PhasePosition":
        torch.nn.init.normal_(model.decode_head.stereo_position.delay_project.weight)
    return model


@pytest.fixture(scope="module")
def model():
    return stereo_model("StereoPosition")


@pytest.fixture(scope="module", params=KINDS)
def of_each_kind(request):
    return stereo_model(request.param)


def panned(*places: float) -> torch.Tensor:
    """Noise, a sound for each place, (B, 2, L)."""
    rng = np.random.default_rng(0)
    sounds = [pan_stereo(rng.normal(0, 0.1, (1, SAMPLES)).astype(np.float32), x) for x in places]
    return torch.from_numpy(np.stack(sounds))


class TestCode:
    def test_a_quarter_from_the_left_by_hand(self):
        """The angle is pi / 2, and of the second pair, with 10000 ** (2 / 4) = 100, pi / 200."""
        expected = [1.0, 0.0, math.sin(math.pi / 200), math.cos(math.pi / 200)]
        torch.testing.assert_close(horizontal_code(torch.tensor(0.25), 4), torch.tensor(expected))

    @pytest.mark.parametrize("width", [3, 12])
    def test_it_is_the_pictures_at_the_right_edge_of_each_column(self, width):
        ours = horizontal_code(torch.arange(1, width + 1) / width, WIDTH // 2)
        device = torch.device("cpu")
        image = sine_encoding(5, width, WIDTH, device, torch.float32)[0].unflatten(0, (5, width))
        for row in image:  # MMDetection divides by width + 1e-6
            torch.testing.assert_close(row[:, WIDTH // 2 :], ours, atol=1e-5, rtol=0)

    def test_columns_have_the_codes_of_their_centres(self):
        codes = column_codes(4, 8, torch.device("cpu"), torch.float32)
        torch.testing.assert_close(codes[:, 1], horizontal_code(torch.tensor(0.375), 8))
        features = torch.randn(2, 16, 3, 4)
        both = with_columns(VisualFeatures(features, ())).mask_features
        assert torch.equal(both[:, :16], features)
        assert all(torch.equal(both[b, 16:, i], codes) for b in range(2) for i in range(3))


class TestPanning:
    def test_a_panned_sound_is_heard_at_its_place_in_every_cell(self):
        x, heard = panning(stft_magnitude(panned(0.0, 0.3, 1.0)), (2, 16))
        expected = torch.tensor([0.0, 0.3, 1.0])[:, None, None].expand(3, 2, 16)
        torch.testing.assert_close(x, expected, atol=1e-4, rtol=0)
        assert heard.all()

    def test_two_sources_in_different_bins_have_two_places(self):
        low, high = 62.5 * 30, 62.5 * 100  # Hz, the centres of bins 60 and 200
        time = np.arange(SAMPLES) / 16000
        tones = [np.sin(2 * np.pi * f * time)[None].astype(np.float32) for f in (low, high)]
        sound = pan_stereo(tones[0], 0.2) + pan_stereo(tones[1], 0.9)
        x, _ = panning(stft_magnitude(torch.from_numpy(sound)[None]), (2, 16))
        torch.testing.assert_close(x[0, :, 3], torch.full((2,), 0.2), atol=0.01, rtol=0)
        torch.testing.assert_close(x[0, :, 12], torch.full((2,), 0.9), atol=0.01, rtol=0)

    def test_loud_bins_count_more(self):
        """Weights 4 and 1 at places 0.25 and 1: (4 * 0.25 + 1 * 1) / 5 = 0.4."""
        specgram = torch.tensor([[[3.0, 0.0]], [[1.0, 1.0]]])[None]  # (1, 2, 1, 2)
        x, heard = panning(specgram, (1, 1))
        torch.testing.assert_close(x, torch.tensor([[[0.4]]]))
        assert heard.all()

    def test_silence_has_no_place(self):
        specgram = torch.zeros(1, 2, FRAMES, 256)
        specgram[:, 1, 16:, :] = 0.1
        specgram[:, :, :16, 16:32] = 1e-4  # as the rounding of 16 bits
        x, heard = panning(specgram, (2, 16))
        assert not heard[0, 0].any() and heard[0, 1].all() and x.isfinite().all()
        assert (x[0, 1] == 1).all()


class TestView:
    def test_padding_and_crops_by_hand(self):
        x = torch.tensor([[0.0, 0.5], [0.5, 1.0]])
        view = torch.tensor([[0.0, 0.75], [-0.25, 1.25]])
        torch.testing.assert_close(in_view(x, view), torch.tensor([[0, 0.375], [0.5, 1.25]]))
        assert in_view(x, None) is x

    def test_the_preprocessor_tells_it_of_stereo_sound(self):
        batch = tiny_batch(size=[(64, 48), (64, 64)], channels=2)
        batch["data_samples"][1].set_metainfo(dict(frame_span=(-16.0, 80.0)))
        for training in (True, False):
            data = AVDataPreprocessor()(deepcopy(batch), training)
            assert data["inputs"]["view"].tolist() == [[0, 0.75], [-0.25, 1.25]]
        assert "view" not in AVDataPreprocessor()(tiny_batch(), False)["inputs"]

    @pytest.mark.parametrize("flip", [0.0, 1.0])
    def test_a_source_stays_with_its_object(self, flip):
        """A white column of the frame, and the place of its sound, through crop, flip and pad."""
        init_default_scope("mmseg")
        steps = [
            dict(type="RandomScaledCrop", crop_size=(64, 64)),
            dict(type="AVSRandomFlip", prob=flip),
            dict(type="Pad", size=(96, 64)),  # width first
            dict(type="PackAVSInputs"),
        ]
        seen = 0
        for seed in range(12):
            np.random.seed(seed)
            image = np.zeros((40, 100, 3), np.uint8)
            column = int(np.random.randint(5, 95))
            image[:, column] = 255
            place = (column + 0.5) / 100
            results = dict(
                img=image,
                img_shape=(40, 100),
                ori_shape=(40, 100),
                seg_fields=[],
                sound_positions=[(1, place)],
                waveform=pan_stereo(np.ones((1, SAMPLES), np.float32), place),
            )
            for step in steps:
                results = TRANSFORMS.build(step)(results)
            sample = results["data_samples"]
            batch = dict(
                inputs={key: [value] for key, value in results["inputs"].items()},
                data_samples=[sample],
            )
            view = AVDataPreprocessor()(batch, False)["inputs"]["view"]
            ears = results["inputs"]["waveform"][:, 0]
            heard = in_view((ears[1] / ears.sum())[None], view)
            (known,) = sample.metainfo["sound_positions"]
            torch.testing.assert_close(in_view(torch.tensor([known[1]]), view), heard)
            light = results["inputs"]["img"].float().mean((0, 1))
            if light.max() > 40:  # the crop shows it
                middle = (light * (torch.arange(96) + 0.5)).sum() / light.sum() / 96
                assert abs(middle - heard) < 0.02
                seen += 1
        assert seen > 3


class TestModule:
    def test_silence_has_a_code_of_its_own(self):
        module = StereoPosition(embed_dims=WIDTH)
        torch.nn.init.normal_(module.silence_embed)
        specgram = torch.zeros(2, 2, FRAMES, 256)
        specgram[1] = torch.tensor([3.0, 1.0])[:, None, None]
        view = torch.tensor([[0.0, 1.0], [0.5, 1.0]])
        code = module(specgram, (2, 16), view)
        assert code.shape == (2, WIDTH // 2, 2, 16)
        assert (code[0] == module.silence_embed[:, None, None]).all()
        expected = horizontal_code(torch.tensor(0.625), WIDTH // 2)  # 0.5 + 0.25 / 2
        torch.testing.assert_close(code[1], expected[:, None, None].expand(-1, 2, 16))

    def test_what_it_can_not_do_is_refused(self, model):
        with pytest.raises(ValueError, match="in two channels, and the data's sound has 1"):
            model.extract_audio(torch.rand(1, 1, FRAMES, 256))
        with pytest.raises(ValueError, match="embed_dims is 12"):
            StereoPosition(embed_dims=12)

    @torch.no_grad()
    def test_semantics_are_those_of_the_mean(self, model):
        specgram = stft_magnitude(panned(0.2, 0.8))
        audio = model.extract_audio(specgram)
        mono = model.audio_decoder(model.sound_levels(specgram.mean(1, keepdim=True)))
        assert torch.equal(audio.memory, mono.memory) and mono.position is None
        # Swapped channels sound alike from the mirrored place.
        other = model.extract_audio(specgram.flip(1))
        torch.testing.assert_close(other.memory, audio.memory)
        torch.testing.assert_close(other.position, audio.position.flip(0), atol=1e-4, rtol=0)

    def test_keys_have_time_and_frequency_and_then_the_place(self):
        memory, place = torch.randn(2, WIDTH, 2, 3), torch.randn(2, WIDTH // 2, 2, 3)
        keys, values = keys_and_values(memory, place=place)
        half = WIDTH // 2
        cell = sine_encoding(2, 3, half, memory.device, memory.dtype)
        torch.testing.assert_close((keys - values)[..., :half], cell.expand(2, -1, -1))
        torch.testing.assert_close((keys - values)[..., half:], place.flatten(2).mT)
        assert torch.equal(values, memory.flatten(2).mT)


class TestLocalizer:
    def test_a_query_is_where_the_one_token_is_that_it_hears(self):
        localizer = SoundLocalizer(embed_dims=8)
        query, key, code = torch.randn(1, 2, 8), torch.randn(1, 3, 8), torch.randn(1, 3, 4)
        mask = torch.tensor([[False, True, False], [True, True, True]])[None, None]
        found = localizer(query, key, code, mask)
        torch.testing.assert_close(found[0, 0], code[0, 1])
        scores = localizer.query(query[0, 1]) @ localizer.key(key[0]).T / math.sqrt(8)
        torch.testing.assert_close(found[0, 1], scores.softmax(-1) @ code[0])

    @torch.no_grad()
    def test_masks_are_drawn_by_what_and_by_where(self, model):
        model = deepcopy(model)
        inputs = model.data_preprocessor(tiny_batch(channels=2), False)["inputs"]
        half, localizer = WIDTH // 2, model.decode_head.decoder.localizer
        output = model.encode_decode(inputs, [])
        assert output.mask_embeddings.shape[-1] == WIDTH + half
        assert not output.mask_embeddings[..., WIDTH:].any()  # at first places draw nothing
        torch.nn.init.eye_(localizer.mask_embed.weight)
        left, right = (
            model.encode_decode(dict(inputs, specgram=stft_magnitude(panned(x, x))), [])
            for x in (0.1, 0.9)
        )
        difference = (right.masks(0) - left.masks(0)).mean((0, 1, 2))
        assert difference[:4].mean() < 0 < difference[-4:].mean()

    @torch.no_grad()
    def test_where_it_sounds_moves_the_queries(self, model):
        inputs = model.data_preprocessor(tiny_batch(channels=2), False)["inputs"]
        sounds = [stft_magnitude(panned(x, x)) for x in (0.1, 0.9)]
        left, right = (model.encode_decode(dict(inputs, specgram=one), []) for one in sounds)
        assert not torch.allclose(left.cls_logits[-1], right.cls_logits[-1], atol=1e-4)


class TestPrompts:
    def test_codes_of_places_by_hand(self):
        labels = torch.tensor([[1, 2], [4, 0]])
        places = [[(2, 0.25), (1, 0.5), (2, 0.75)], []]
        view = torch.tensor([[0.0, 0.5], [0.0, 1.0]])
        codes = place_codes(labels, places, view, 4)
        at = {x: horizontal_code(torch.tensor(x), 4) for x in (0.125, 0.25, 0.375)}
        torch.testing.assert_close(codes[0, 0], at[0.25])
        torch.testing.assert_close(codes[0, 1], (at[0.125] + at[0.375]) / 2)
        assert not codes[1].any()

    def test_data_without_places_is_refused(self):
        known = SegDataSample(metainfo=dict(sound_positions=[]))
        assert known_places([known]) == [[]]
        with pytest.raises(ValueError, match="own_places=False"):
            known_places([known, SegDataSample()])

    def test_prompts_are_where_their_objects_are(self):
        losses = []
        for place in (0.2, 0.2, 0.8):
            batch = tiny_batch(channels=2)
            for index, sample in enumerate(batch["data_samples"]):
                sample.set_metainfo(dict(sound_positions=[(1 + index, place)]))
            cfg = stereo_cfg(criterion=dict(prompting=dict(own_places=True)))
            losses.append(losses_of(build_tiny(cfg), batch))
        first, same, other = losses
        for name, loss in first.items():
            assert loss.isfinite() and torch.equal(loss, same[name])
            if name != "loss_pcl":  # of the region that a mask marks, which need not be another one
                own = name.startswith(("vcp", "loss_acp"))
                assert torch.equal(loss, other[name]) != own, name

    def test_places_need_to_know_what_of_the_frame_a_picture_shows(self):
        batch = tiny_batch()
        for sample in batch["data_samples"]:
            sample.set_metainfo(dict(sound_positions=[(1, 0.5)]))
        mono = build_tiny(tiny_model_cfg(criterion=dict(prompting=dict(own_places=True))))
        with pytest.raises(ValueError, match=r"mono sound.*channels=2"):
            losses_of(mono, batch)


@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision(kind):
    model = build_tiny(stereo_cfg(kind))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(model, tiny_batch(channels=2))
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert model.decode_head.decoder.localizer.query.weight.grad.isfinite().all()


def test_a_recorded_network_sees_and_hears_the_same(of_each_kind):
    batch = tiny_batch(size=[(50, 70), (50, 70)], channels=2)
    found = record(of_each_kind).best_step(deepcopy(batch))
    for one, other in zip(found, predictions_of(of_each_kind, batch), strict=True):
        best = other.seg_logits.data.amax(0, keepdim=True)
        torch.testing.assert_close(one.pred_scores.data, best, rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_is_exported_is_what_predicts(of_each_kind):
    batch = tiny_batch(1, channels=2)
    sound = panned(0.8)
    sound[:, 1] = sound[:, 1].roll(3)  # later at the right: there is a phase between the two
    batch["inputs"]["waveform"] = [sound[0]]
    given = ExportableModel(of_each_kind)(batch["inputs"]["img"][0][None].flip(1), sound)
    expected = predictions_of(of_each_kind, batch)[0].seg_logits.data
    torch.testing.assert_close(given[0], expected, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def looking_back():
    """Of one layer that looks at the picture: the fewer, the sooner a graph is there."""
    time = dict(type="ClipAttention", window=2)
    model = stereo_model("PhasePosition", time=time, num_visual_layers=1)
    for layer in model.decode_head.time.layers:
        torch.nn.init.normal_(layer.out_proj.weight, std=0.5)
    return with_one_step_maps(model)


@pytest.mark.slow
@torch.no_grad()
def test_a_graph_of_any_size_hears_places_and_looks_back(looking_back):
    program = export_program(looking_back, size=(64, 64), channels=2, num_samples=SAMPLES)
    img, _ = example_inputs(size=(64, 96), channels=2, num_samples=SAMPLES, count=2)
    graph = program.module()
    scores = [graph(img, panned(x, 0.9)) for x in (0.2, 0.9)]
    torch.testing.assert_close(scores[1], ExportableModel(looking_back)(img, panned(0.9, 0.9)))
    assert not torch.allclose(scores[0][0], scores[1][0], atol=1e-4)
    assert not torch.allclose(scores[0][1], scores[1][1], atol=1e-4)  # it has heard the one before


@pytest.mark.slow
@torch.no_grad()
def test_an_onnx_graph_hears_places_and_looks_back(looking_back, tmp_path):
    """At a fixed size; ``test_export.py`` has ONNX at another one."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    sizes = dict(size=(64, 96), channels=2, num_samples=SAMPLES)
    program = export_program(looking_back, **sizes, dynamic=False)
    export_onnx(program, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    img, _ = example_inputs(**sizes, count=2)
    sounds = panned(0.9, 0.2)
    expected = ExportableModel(looking_back)(img, sounds)
    given = session.run(None, dict(img=img.numpy(), waveform=sounds.numpy()))[0]
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_a_mono_sound_is_told_of(model):
    quiet, same = np.zeros((2, 4), np.float32), np.ones((2, 4), np.float32)
    apart = np.array([[1.0], [0.5]], np.float32)
    with pytest.warns(UserWarning, match=r"clip: the sound is mono.*from the middle"):
        assert list(telling_of_mono(iter([quiet, same, apart]), "clip", model)) == [
            pytest.approx(quiet), pytest.approx(same), pytest.approx(apart)
        ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(telling_of_mono(iter([quiet, apart, same]), "clip", model))
        mono = build_tiny(tiny_model_cfg(criterion=None))
        list(telling_of_mono(iter([same[:1]]), "clip", mono))


@pytest.mark.filterwarnings("ignore:clip")
def test_the_inferencer_hears_places(tmp_path):
    root = Path(__file__).resolve().parents[1]
    path = root / "configs/cpm_mbv2-yamnet_stamps-msmi_position-phase.py"
    cfg = shrink(Config.fromfile(path), narrow=True)
    cfg.dump(tmp_path / "small.py")
    torch.save(build_tiny(cfg.model).state_dict(), tmp_path / "small.pth")
    inferencer = AVSInferencer(tmp_path / "small.py", tmp_path / "small.pth", device="cpu")
    heard = []
    inferencer.model.extract_audio, extract = (
        lambda *args: heard.append(args) or extract(*args),
        inferencer.model.extract_audio,
    )
    picture = np.zeros((48, 80, 3), np.uint8)  # scaled to 64 x 107, and padded to 128
    inferencer((picture, panned(0.25)[0].numpy()))
    with pytest.warns(UserWarning, match="the sound is mono"):
        inferencer((picture, panned(0.5)[0].mean(0).numpy()))
    for (specgram, view, cross), expected in zip(heard, (0.25, 0.5), strict=True):
        x, _ = panning(specgram, (1, 1))
        assert x.item() == pytest.approx(expected, abs=1e-3)
        assert view.tolist() == [[0, pytest.approx(107 / 128)]]
        # One sound in both channels, though not as loud: no phase lies between them.
        torch.testing.assert_close(cross[:, 0], specgram.prod(1), atol=1e-3, rtol=1e-4)
