#!/usr/bin/python3
"""Files of PyTorch for the tests of import, with what PyTorch computes.

    torch_nets.py fixtures DIR          the small files that are kept in tests/onnx/fixtures
    torch_nets.py models DIR            a resnet8 as .pth, and graphs in operator sets 13 to 17
    torch_nets.py results DIR IMAGES    features and logits of images (n x 3 x 32 x 32 floats)
    torch_nets.py loads FILE.pth FILE.safetensors   the same tensors; load_state_dict takes them

Needs PyTorch (Debian: python3-torch)."""
import json
import struct
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional as F
from torch.onnx import TrainingMode


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class Residual(nn.Module):
    """The CIFAR ResNet of the paper, one block a stage."""

    def __init__(self, base, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, base, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.layer1 = nn.Sequential(Block(base, base, 1))
        self.layer2 = nn.Sequential(Block(base, 2 * base, 2))
        self.layer3 = nn.Sequential(Block(2 * base, 4 * base, 2))
        self.fc = nn.Linear(4 * base, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        f = F.adaptive_avg_pool2d(x, 1)
        f = f.view(f.size(0), -1)
        return self.fc(f), f


class Shuffled(nn.Module):
    """Halves, depthwise convolutions, a shuffle, pools, limits, a second head that is not needed."""

    def __init__(self, width, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.norm = nn.BatchNorm2d(width, eps=1e-3)
        self.depthwise = nn.Conv2d(width // 2, width // 2, 3, 1, 1, groups=width // 2, bias=False)
        self.bn = nn.BatchNorm2d(width // 2)
        self.point = nn.Conv2d(width, 2 * width, 1)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(2 * width, classes)
        self.other = nn.Linear(2 * width, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu6(self.norm(self.stem(x))), 3, 2, 1)
        a, b = x.chunk(2, 1)
        x = torch.cat((a, self.bn(self.depthwise(b))), 1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        x = torch.cat((x[:, : c // 4], x[:, c // 4 :]), 1)
        x = F.hardtanh(self.point(x), -1, 2)
        f = self.drop(x.mean([2, 3]))
        return self.last(f), self.other(f)


class Gated(nn.Module):
    """Normalises by itself; a gate by channel; windows over padding; a product and a sum; probabilities."""

    def __init__(self, width, classes):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.8, 1.25]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, width, 3, 1, 1)
        self.squeeze = nn.Conv2d(width, 2, 1)
        self.excite = nn.Conv2d(2, width, 1)
        self.weight = nn.Parameter(torch.randn(width, classes))
        self.bias = nn.Parameter(torch.randn(classes))

    def forward(self, x):
        x = F.relu(self.conv((x - self.mean) / self.std)) * 0.5
        x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        x = F.avg_pool2d(x, 3, 2, 1)
        x = F.avg_pool2d(x, 2, 2, 0, count_include_pad=False)
        f = torch.flatten(F.adaptive_avg_pool2d(F.pad(x, (1, 0, 0, 1)), 1), 1)
        return F.softmax(torch.matmul(f, self.weight) + self.bias, 1)


class Odd(nn.Module):
    """What the others lack: equal parts, dimensions that come and go, a repeated value, dropout, and
    layers whose parameters are alike, which exporters write only once."""

    def __init__(self, width, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)
        self.last = nn.Linear(width, classes)
        self.noisy = False

    def forward(self, x):
        x = self.bn2(F.relu(self.bn1(self.conv(x))))
        a, b = torch.split(x, 2, 1)
        x = torch.cat((b, a), 1) - a.mean([2, 3], keepdim=True)[:, 1:].expand(x.size())
        f = F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2).unsqueeze(1).squeeze(1)
        return self.last(F.dropout(f, 0.5, self.noisy))


NETS = {"residual": Residual, "shuffled": Shuffled, "gated": Gated, "odd": Odd}
WIDTHS = {"residual": 2, "shuffled": 4, "gated": 4, "odd": 4}  # of the fixtures


def make(name, width, classes):
    """A network whose running statistics are not those of a new one."""
    torch.manual_seed(3)
    net = NETS[name](width, classes)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d) and name != "odd":
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.2, 0.2)
            nn.init.uniform_(m.running_mean, -0.2, 0.2)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    return net.eval()


def results(net, x):
    """Logits and features, by name; features are what enters the last product."""
    seen = {}
    last = net.fc if isinstance(net, Residual) else None if isinstance(net, Gated) else net.last
    if last is not None:
        last.register_forward_hook(lambda m, given, out: seen.update(feat=given[0], logits=out))
    with torch.no_grad():
        out = net(x)
    if last is None:
        # The graph ends with a softmax, so the product's result is known only up to a constant.
        return {"out.softmax": out}
    return {"out.logits": seen["logits"], "out.feat": seen["feat"]}


def export(net, x, path, opset, fold=False, training=False, dynamic=True):
    mode = TrainingMode.TRAINING if training else TrainingMode.EVAL if fold else TrainingMode.PRESERVE
    names = {Gated: ["probabilities"], Odd: ["logits"]}.get(type(net), ["logits", "second"])
    axes = {n: {0: "batch"} for n in ["input"] + names} if dynamic else None
    torch.onnx.export(net, x, path, opset_version=opset, training=mode, do_constant_folding=fold,
                      input_names=["input"], output_names=names, dynamic_axes=axes)


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, t in sorted(tensors.items()):
        data = t.detach().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    kinds = {"F32": "<f4", "I64": "<i8"}
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    return {
        k: torch.from_numpy(
            numpy.frombuffer(data, kinds[v["dtype"]], offset=8 + n + v["data_offsets"][0],
                             count=(v["data_offsets"][1] - v["data_offsets"][0]) // int(kinds[v["dtype"]][-1]))
            .reshape(v["shape"]).copy())
        for k, v in header.items()
    }


def fixtures(folder):
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for name in NETS:
        net = make(name, WIDTHS[name], 3)
        write_safetensors(f"{folder}/{name}.safetensors", {"in.x": x, **results(net, x)})
        for opset in 13, 17:
            export(net, x[:1], f"{folder}/{name}-{opset}.onnx", opset, fold=name == "gated")
    net = make("odd", WIDTHS["odd"], 3)
    net.noisy = True
    export(net, x[:1], f"{folder}/odd-static.onnx", 13, dynamic=False)
    net = make("residual", WIDTHS["residual"], 3)
    export(net, x[:2], f"{folder}/residual-folded.onnx", 13, fold=True, dynamic=False)
    for opset in 13, 15:
        net = make("residual", WIDTHS["residual"], 3).train()
        export(net, x[:2], f"{folder}/training-{opset}.onnx", opset, training=True)
    # Exporting has moved the running statistics once.
    write_safetensors(f"{folder}/training.safetensors", {"in.x": x, **results(net.eval(), x)})

    whole = torch.arange(24, dtype=torch.float32).view(2, 3, 4) - 7.5
    state = {
        "plain": whole,
        "turned": whole.permute(2, 0, 1),
        "part": whole[1, :, 1:3],
        "parameter": nn.Parameter(whole[0]),
        "double": whole.double() / 3,
        "half": whole[0].half(),
        "brain": whole[0].bfloat16(),
        "count": torch.tensor(12345678901),
        "flags": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 4),
    }
    torch.save(state, f"{folder}/bare.pth")
    torch.save({"epoch": 3, "best_acc": numpy.float64(12.5), "best": torch.tensor(1.5), "curve": [1.0, None, -3],
                "optimizer_state_dict": {"state": {0: {"momentum_buffer": whole}}, "param_groups": [{"lr": 0.1}]},
                "model_state_dict": {f"module.{k}": v for k, v in state.items()}},
               f"{folder}/wrapped.pth", pickle_protocol=4)
    torch.save({"state_dict": torch.nn.Linear(2, 2)}, f"{folder}/object.pth")
    torch.save({"w": whole}, f"{folder}/old.pth", _use_new_zipfile_serialization=False)


def models(folder):
    x = torch.zeros(1, 3, 32, 32)
    for name in "residual", "shuffled":
        for opset in range(13, 18):
            export(make(name, 16, 10), x, f"{folder}/{name}-{opset}.onnx", opset, fold=opset % 2 == 0)
    torch.save({"model": make("residual", 16, 10).state_dict()}, f"{folder}/resnet8.pth")


def write_results(folder, images):
    x = torch.from_numpy(numpy.fromfile(images, "<f4").reshape(-1, 3, 32, 32).copy())
    for name in "residual", "shuffled":
        for key, value in results(make(name, 16, 10), x).items():
            value.numpy().astype("<f4").tofile(f"{folder}/{name}.{key[4:]}")


def loads(pth, safetensors):
    want = torch.load(pth)["model"]
    got = read_safetensors(safetensors)
    net = Residual(16, 10)
    net.load_state_dict(got, strict=True)
    assert sorted(want) == sorted(got), "other names"
    for name, t in want.items():
        assert torch.equal(t, got[name]), f"{name} differs"


if __name__ == "__main__":
    {"fixtures": fixtures, "models": models, "results": write_results, "loads": loads}[sys.argv[1]](*sys.argv[2:])
