"""Makes files of weights as others publish them: their key names, random numbers."""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from projects.cpm_avs.models.audio_backbones.yamnet import LAYERS

NORM_NAMES = ("weight", "bias", "running_mean", "running_var")

State = dict[str, torch.Tensor]


def norm(name: str, width: int) -> State:
    """An old batch normalisation, which had no num_batches_tracked."""
    return {f"{name}.{x}": torch.rand(width) for x in NORM_NAMES}


def torchvision_resnet(blocks: tuple[int, ...], expansion: int) -> State:
    state = {"conv1.weight": torch.rand(64, 3, 7, 7), **norm("bn1", 64)}
    width_in = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = width * expansion
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            shapes = (
                [(width, width_in, 3), (width, width, 3)]
                if expansion == 1
                else [(width, width_in, 1), (width, width, 3), (out, width, 1)]
            )
            for i, (o, c, k) in enumerate(shapes, start=1):
                state[f"{at}.conv{i}.weight"] = torch.rand(o, c, k, k)
                state |= norm(f"{at}.bn{i}", o)
            if block == 0 and width_in != out:
                state[f"{at}.downsample.0.weight"] = torch.rand(out, width_in, 1, 1)
                state |= norm(f"{at}.downsample.1", out)
            width_in = out
    return state | {"fc.weight": torch.rand(1000, width_in), "fc.bias": torch.rand(1000)}


def pvt_v2(widths: tuple[int, ...], depths: tuple[int, ...], mlp_ratios: tuple[int, ...]) -> State:
    """Key names of whai362/PVT's pvt_v2.py."""
    state: State = {}

    def linear(name: str, out: int, width: int, *kernel: int) -> None:
        state[f"{name}.weight"] = torch.rand(out, width, *kernel)
        state[f"{name}.bias"] = torch.rand(out)

    def layer_norm(name: str, width: int) -> None:
        state.update({f"{name}.weight": torch.rand(width), f"{name}.bias": torch.rand(width)})

    width_in = 3
    for stage, (width, depth, ratio) in enumerate(zip(widths, depths, mlp_ratios, strict=True)):
        kernel = 7 if stage == 0 else 3
        linear(f"patch_embed{stage + 1}.proj", width, width_in, kernel, kernel)
        layer_norm(f"patch_embed{stage + 1}.norm", width)
        for block in range(depth):
            at = f"block{stage + 1}.{block}"
            layer_norm(f"{at}.norm1", width)
            linear(f"{at}.attn.q", width, width)
            linear(f"{at}.attn.kv", 2 * width, width)
            linear(f"{at}.attn.proj", width, width)
            if (reduction := (8, 4, 2, 1)[stage]) > 1:
                linear(f"{at}.attn.sr", width, width, reduction, reduction)
                layer_norm(f"{at}.attn.norm", width)
            layer_norm(f"{at}.norm2", width)
            linear(f"{at}.mlp.fc1", width * ratio, width)
            linear(f"{at}.mlp.dwconv.dwconv", width * ratio, 1, 3, 3)
            linear(f"{at}.mlp.fc2", width, width * ratio)
        layer_norm(f"norm{stage + 1}", width)
        width_in = width
    linear("head", 1000, width_in)
    return state


def timm_resnet50s() -> State:
    """ResNet-50 whose first convolution is three, and whose stem has 128 channels."""
    state = torchvision_resnet((3, 4, 6, 3), 4)
    del state["conv1.weight"]
    for index, (out, width) in {0: (64, 3), 3: (64, 64), 6: (128, 64)}.items():
        state[f"conv1.{index}.weight"] = torch.rand(out, width, 3, 3)
    state |= norm("conv1.1", 64) | norm("conv1.4", 64) | norm("bn1", 128)
    state["layer1.0.conv1.weight"] = torch.rand(64, 128, 1, 1)
    state["layer1.0.downsample.0.weight"] = torch.rand(256, 128, 1, 1)
    return state


def torchvggish(*, dense: bool = False) -> State:
    """``dense``: its layers behind the convolutions have their real sizes, 280 MB."""
    widths = {
        0: (64, 1),
        3: (128, 64),
        6: (256, 128),
        8: (256, 256),
        11: (512, 256),
        13: (512, 512),
    }
    state: State = {}
    for index, (out, width) in widths.items():
        state[f"features.{index}.weight"] = torch.rand(out, width, 3, 3)
        state[f"features.{index}.bias"] = torch.rand(out)
    sizes = (
        {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}
        if dense
        else dict.fromkeys((0, 2, 4), (2, 2))
    )
    for index, (out, width) in sizes.items():
        state[f"embeddings.{index}.weight"] = torch.rand(out, width)
        state[f"embeddings.{index}.bias"] = torch.rand(out)
    return state


def keras_yamnet() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    number = 0

    def add(**variables: tuple[int, ...]) -> None:
        nonlocal number
        for name, shape in variables.items():
            key = f"a/_yamnet/layer_with_weights-{number}/{name}/.ATTRIBUTES/VARIABLE_VALUE"
            arrays[key] = generator.random(shape, dtype=np.float32) / 100 + (name[-4:] == "ance")
        number += 1

    def add_norm(width: int) -> None:
        add(beta=(width,), moving_mean=(width,), moving_variance=(width,))

    width = LAYERS[0][1]
    add(kernel=(3, 3, 1, width))
    add_norm(width)
    for _, out in LAYERS[1:]:
        add(depthwise_kernel=(3, 3, width, 1))
        add_norm(width)
        add(kernel=(1, 1, width, out))
        add_norm(out)
        width = out
    add(kernel=(width, 521), bias=(521,))
    arrays["keras_api/metrics/0/total/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros((), np.float32)
    return arrays


class TonylinsBlock(nn.Module):
    def __init__(self, width: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(width, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def tonylins_mobilenet() -> nn.Sequential:
    """The authors' ``features`` without the last 1x1 convolution, with lively statistics."""
    layers: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
    ]
    width = 32
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for expansion, out, count, stride in [*rows, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for index in range(count):
            layers.append(TonylinsBlock(width, out, stride if index == 0 else 1, expansion))
            width = out
    return lively(nn.Sequential(*layers))


def lively(network: nn.Module) -> nn.Module:
    """In evaluation mode; what it is shown reaches its end, changed by statistics."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.0)
    return network.eval()


def tensorflow_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Stride 1 or 2: one less where a stride meets an even side, the smaller half in front."""
    pad: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        total = kernel - 2 if stride == 2 and side % 2 == 0 else kernel - 1
        pad += [total // 2, total - total // 2]
    return F.pad(x, pad)


class LiteBlock(nn.Module):
    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(width, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._depthwise_conv = nn.Conv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3)
        self._project_conv = nn.Conv2d(hidden, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=1e-3)
        self.kernel, self.stride, self.residual = kernel, stride, stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._depthwise_conv(tensorflow_same(y, self.kernel, self.stride))
        y = self._bn2(self._project_conv(F.relu6(self._bn1(y))))
        return x + y if self.residual else y


class EfficientNetLite2(nn.Module):
    """The names of ml-illustrated/EfficientNet-Lite-PyTorch, written out for lite2."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList()
        width = 32
        rows = [(1, 3, 1, 1, 16), (3, 3, 2, 6, 24), (3, 5, 2, 6, 48), (4, 3, 2, 6, 88)]
        for count, kernel, stride, expansion, out in [
            *rows, (4, 5, 1, 6, 120), (5, 5, 2, 6, 208), (1, 3, 1, 6, 352),
        ]:  # fmt: skip
            for index in range(count):
                block = LiteBlock(width, out, kernel, stride if index == 0 else 1, expansion)
                self._blocks.append(block)
                width = out
        self._conv_head = nn.Conv2d(352, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """After each block."""
        x = F.relu6(self._bn0(self._conv_stem(tensorflow_same(image, 3, 2))))
        return [x := block(x) for block in self._blocks]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self._bn1(self._conv_head(self.maps(image)[-1])))
        return self._fc(x.mean((2, 3)))


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def block(entries: list[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    """A block of LevelDB's table: keys prefix-compressed, one restart point, type and checksum."""
    body, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value))
        body += key[shared:] + value
        before = key
    return body + struct.pack("<II", 0, 1) + bytes([kind]) + b"\0\0\0\0"


def write_bundle(prefix: Path, arrays: dict[str, np.ndarray], *, kind: int = 0) -> None:
    data = b""
    entries = [(b"", b"\x08\x01")]
    for name in sorted(arrays):
        array = arrays[name]
        dims = b"".join(
            b"\x12" + varint(len(varint(d)) + 1) + b"\x08" + varint(d) for d in array.shape
        )
        dtype = {"float32": 1, "int64": 9}[str(array.dtype)]
        value = b"\x08" + varint(dtype) + b"\x12" + varint(len(dims)) + dims
        value += (b"\x20" + varint(len(data)) if data else b"") + b"\x28" + varint(array.nbytes)
        entries.append((name.encode(), value + b"\x35" + b"\1\2\3\4"))
        data += array.tobytes()
    table, handles = b"", []
    for part in (entries[:2], entries[2:]):
        written = block(part, kind)
        handles.append((part[-1][0], varint(len(table)) + varint(len(written) - 5)))
        table += written
    meta = len(table)
    table += block([])
    index = block(handles)
    footer = varint(meta) + varint(8) + varint(len(table)) + varint(len(index) - 5)
    table += index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{prefix}.index").write_bytes(table)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
