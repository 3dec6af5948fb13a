"""Writes testdata/import: narrow weights as every source of `fcn import` has them, and the logits PyTorch gives for them.

Needs: torch==2.11.0 safetensors==0.8.0 numpy==2.4.6, and for the checkpoints tensorflow-cpu==2.21.0. From the
repository's root, with a Python that has the former and one that has the latter:

    python reference/import_golden.py torch [testdata/import]
    python reference/import_golden.py tensorflow [testdata/import]

The networks are written here from the published definitions (torchvision's models/vgg.py, pytorch-fcn's models/,
Pytorch-UNet's unet/) and share nothing with the Rust ones. ImageNet's files have no score layers: theirs are an FCN-32s with SAME padding whose
score layer hands on the channels of fc7 as they are. Value i of the photograph is (7 i i + 13 i) mod 251. Stored is every
31st logit. Pytorch-UNet's network sees the upper left 32 x 48 pixels: for sides that 16 does not divide it pads the
enlarged maps, and the one of this project the image.

With `full`, and a folder, one file of each source is written in full width (528 MB each), with the logits for it. In these
the score layer hands on the first 255 channels of fc7. Then, for each file:

    python reference/import_golden.py torch /tmp/full full
    /usr/bin/time -v fcn import /tmp/full/vgg16.pth --out /tmp/full/w.safetensors --input-convention torchvision
    cargo run --release -p fcn-core --example import_logits -- /tmp/full/w.safetensors /tmp/full/expected.safetensors vgg16.pth
"""

import os
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np

CHANNELS, FC6, FC7, CLASSES, IMAGENET = (3, 4, 4, 4, 3), 3, 4, 2, 5
FULL = ((64, 128, 256, 512, 512), 4096, 4096, 21, 1000)
DEPTHS = (2, 2, 3, 3, 3)
ROWS, COLUMNS, STRIDE = 40, 52, 31
UNET_CHANNELS, UNET_SIZE = (8, 8, 8, 8, 16), (32, 48)
SLIM_MEAN = np.array([123.68, 116.78, 103.94], np.float32)
CAFFE_MEAN_BGR = np.array([104.00698793, 116.66876762, 122.67891434])


def photograph(rows=ROWS, columns=COLUMNS):
    i = np.arange(rows * columns * 3, dtype=np.int64)
    return ((7 * i * i + 13 * i) % 251).reshape(rows, columns, 3)


def draw(name, shape, spread=1.0, centre=0.0):
    """Values that depend on the name alone, so that both frameworks write the same ones."""
    seed = int.from_bytes(name.encode()[-8:].ljust(8), "little") + len(name)
    value = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return value * np.float32(spread) + np.float32(centre)


def kernel(name, out, inp, taps):
    # A few channels die easily; a little more weight keeps them alive, and would make many explode.
    return draw(name, (out, inp, taps, taps), (2 / (inp * taps * taps)) ** 0.5, 0.02 if inp < 8 else 0)


def trunk():
    """(layer, weight OIHW, bias) of the thirteen convolutions, fc6, fc7 and ImageNet's fc8 as convolutions."""
    inp = 3
    for stage, (count, out) in enumerate(zip(DEPTHS, CHANNELS), 1):
        for i in range(1, count + 1):
            name = f"conv{stage}_{i}"
            yield name, kernel(name, out, inp, 3), draw(name + "b", out, 0.1, 0.2)
            inp = out
    for name, out, inp, taps in (("fc6", FC6, inp, 7), ("fc7", FC7, FC6, 1), ("fc8", IMAGENET, FC7, 1)):
        yield name, kernel(name, out, inp, taps), draw(name + "b", out, 0.1, 0.2)


# ---- TensorFlow


def tensorflow(out):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tensors = {"global_step": np.array(370000, np.int64), "vgg_16/mean_rgb": SLIM_MEAN}
    for layer, weight, bias in trunk():
        scope = f"vgg_16/{layer}" if layer.startswith("fc") else f"vgg_16/{layer[:5]}/{layer}"
        tensors[f"{scope}/weights"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
        tensors[f"{scope}/biases"] = bias
    tensors["vgg_16/conv1/conv1_1/biases/Adam_1"] = np.ones(CHANNELS[0], np.float32)
    names, values = list(tensors), list(tensors.values())
    tf.raw_ops.Save(filename=str(out / "vgg_16.ckpt"), tensor_names=names, data=values)
    tf.raw_ops.SaveV2(
        prefix=str(out / "vgg_16_v2.ckpt"), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


# ---- PyTorch


def pytorch(out, full=False):
    import torch
    from safetensors.torch import save_file
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(2)
    half = (lambda x: x.float()) if full else (lambda x: x.half())

    class Vgg(nn.Module):
        """torchvision.models.vgg16 or vgg16_bn, narrow; `logits` is it as a fully convolutional network."""

        def __init__(self, norm):
            super().__init__()
            layers, inp = [], 3
            for count, width in zip(DEPTHS, CHANNELS):
                for _ in range(count):
                    layers += [nn.Conv2d(inp, width, 3, padding=1)] + [nn.BatchNorm2d(width)] * norm + [nn.ReLU()]
                    inp = width
                layers.append(nn.MaxPool2d(2, 2))
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(
                nn.Linear(inp * 49, FC6), nn.ReLU(), nn.Dropout(), nn.Linear(FC6, FC7), nn.ReLU(), nn.Dropout(),
                nn.Linear(FC7, IMAGENET),
            )
            with torch.no_grad():
                convs = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
                for module, (_, weight, bias) in zip(convs, trunk()):
                    module.weight.copy_(torch.from_numpy(weight).reshape(module.weight.shape))
                    module.bias.copy_(torch.from_numpy(bias))
                for i, module in enumerate(m for m in self.modules() if isinstance(m, nn.BatchNorm2d)):
                    width = module.num_features
                    module.weight.copy_(torch.from_numpy(draw(f"scale{i}", width, 0.1, 1.0)))
                    module.bias.copy_(torch.from_numpy(draw(f"shift{i}", width, 0.1, 0.2)))
                    module.running_mean.copy_(torch.from_numpy(draw(f"mean{i}", width, 0.1)))
                    module.running_var.copy_(torch.from_numpy(draw(f"var{i}", width, 0.05, 1.0)).abs())
                    module.num_batches_tracked.fill_(7)

        def logits(self, x):
            rows, columns = x.shape[2:]
            down, across = -rows % 32, -columns % 32
            top, left = down // 2, across // 2
            x = self.features(F.pad(x, (left, across - left, top, down - top)))
            fc6, fc7 = self.classifier[0], self.classifier[3]
            x = F.relu(F.conv2d(x, fc6.weight.reshape(FC6, -1, 7, 7), fc6.bias, padding=3))
            x = F.relu(F.conv2d(x, fc7.weight.reshape(FC7, FC6, 1, 1), fc7.bias))
            x = x[:, :255]
            up = bilinear(64).expand(x.shape[1], 1, 64, 64)
            x = F.conv_transpose2d(x, up.to(x.dtype), stride=32, padding=16, groups=x.shape[1])
            return x[:, :, top:top + rows, left:left + columns]

    def bilinear(taps):
        factor = (taps + 1) // 2
        centre = factor - 1 if taps % 2 else factor - 0.5
        line = 1 - (torch.arange(taps) - centre).abs() / factor
        return line[:, None] * line[None, :]

    class Fcn(nn.Module):
        """pytorch-fcn's FCN32s, FCN16s, FCN8s and FCN8sAtOnce."""

        def __init__(self, variant, at_once=False):
            super().__init__()
            # One class for the 32s, whose kernel is by far the largest tensor here.
            CLASSES = 1 if variant == "32s" and not full else globals()["CLASSES"]
            self.variant, self.factors = variant, (0.01, 0.0001) if at_once else (1, 1)
            for layer, weight, bias in trunk():
                if layer == "fc8":
                    continue
                out, inp, taps, _ = weight.shape
                padding = 100 if layer == "conv1_1" else 1 if layer.startswith("conv") else 0
                module = nn.Conv2d(inp, out, taps, padding=padding)
                setattr(self, layer, fill(module, weight, bias))
            inputs = {"score_fr": FC7, "score_pool4": CHANNELS[3], "score_pool3": CHANNELS[2]}
            for name in {"32s": ["score_fr"], "16s": ["score_fr", "score_pool4"], "8s": list(inputs)}[variant]:
                # At once the pools arrive scaled: weights as large as theirs would be learnt for them.
                spread = 1 / {"score_pool4": self.factors[0], "score_pool3": self.factors[1]}.get(name, 1)
                weight = draw(name, (CLASSES, inputs[name], 1, 1), 0.3 * spread)
                setattr(self, name, fill(nn.Conv2d(inputs[name], CLASSES, 1), weight, draw(name + "b", CLASSES, 0.1)))
            strides = {"32s": {"upscore": 32}, "16s": {"upscore2": 2, "upscore16": 16},
                       "8s": {"upscore2": 2, "upscore_pool4": 2, "upscore8": 8}}[variant]
            for name, stride in strides.items():
                module = nn.ConvTranspose2d(CLASSES, CLASSES, 2 * stride, stride=stride, bias=False)
                with torch.no_grad():
                    module.weight.copy_(torch.from_numpy(draw(name, tuple(module.weight.shape), 0.01)))
                    for k in range(CLASSES):
                        module.weight[k, k] += bilinear(2 * stride)
                setattr(self, name, module)

        def forward(self, x):
            size, pools = x.shape[2:], []
            for stage, count in enumerate(DEPTHS, 1):
                for i in range(1, count + 1):
                    x = F.relu(getattr(self, f"conv{stage}_{i}")(x))
                x = F.max_pool2d(x, 2, stride=2, ceil_mode=True)
                pools.append(x)
            h = self.score_fr(F.relu(self.fc7(F.relu(self.fc6(x)))))
            cut = lambda t, at, like: t[:, :, at:at + like[0], at:at + like[1]]
            if self.variant == "32s":
                return cut(self.upscore(h), 19, size)
            h = self.upscore2(h)
            h = h + cut(self.score_pool4(pools[3] * self.factors[0]), 5, h.shape[2:])
            if self.variant == "16s":
                return cut(self.upscore16(h), 27, size)
            h = self.upscore_pool4(h)
            h = h + cut(self.score_pool3(pools[2] * self.factors[1]), 9, h.shape[2:])
            return cut(self.upscore8(h), 31, size)

    class DoubleConv(nn.Module):
        """Twice a 3 x 3 convolution, batch normalisation and ReLU."""

        def __init__(self, inp, out):
            super().__init__()
            layers = []
            for channels in (inp, out):
                layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            self.double_conv = nn.Sequential(*layers)

        def forward(self, x):
            return self.double_conv(x)

    class Unet(nn.Module):
        """Pytorch-UNet's UNet(n_channels=3, n_classes=2, bilinear=False), narrow."""

        def __init__(self):
            super().__init__()
            widths = UNET_CHANNELS
            self.inc = DoubleConv(3, widths[0])
            for level in range(1, 5):
                down = nn.Module()
                down.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(widths[level - 1], widths[level]))
                setattr(self, f"down{level}", down)
            for index, level in enumerate(reversed(range(4)), 1):
                up = nn.Module()
                up.up = nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2)
                up.conv = DoubleConv(2 * widths[level], widths[level])
                setattr(self, f"up{index}", up)
            self.outc = nn.Module()
            self.outc.conv = nn.Conv2d(widths[0], CLASSES, 1)
            with torch.no_grad():
                for name, value in self.state_dict().items():
                    shape = tuple(value.shape)
                    if name.endswith("running_var"):
                        value.copy_(torch.from_numpy(draw(name, shape, 0.05, 1.0)).abs())
                    elif len(shape) == 4:
                        fan = shape[0] if ".up." in name else int(np.prod(shape[1:]))
                        value.copy_(torch.from_numpy(draw(name, shape, (2 / fan) ** 0.5)))
                    elif len(shape) == 1:
                        scale = ".double_conv." in name and name.endswith(".weight")
                        value.copy_(torch.from_numpy(draw(name, shape, 0.1, 1.0 if scale else 0.1)))

        def forward(self, x):
            x, maps = self.inc(x), []
            for down in (self.down1, self.down2, self.down3, self.down4):
                maps.append(x)
                x = down.maxpool_conv(x)
            for up in (self.up1, self.up2, self.up3, self.up4):
                x = up.conv(torch.cat([maps.pop(), up.up(x)], 1))
            return self.outc.conv(x)

        def logits(self, x):
            return self(x[:, :, : UNET_SIZE[0], : UNET_SIZE[1]])

    def fill(module, weight, bias):
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weight))
            module.bias.copy_(torch.from_numpy(bias))
        return module

    def prepared(convention):
        rgb = photograph().astype(np.float64)
        if convention == "torchvision":
            x = (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        elif convention == "unit":
            x = rgb / 255
        elif convention == "caffe":
            x = rgb[:, :, ::-1] - CAFFE_MEAN_BGR
        else:
            x = rgb - SLIM_MEAN.astype(np.float64)
        return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]

    expected = OrderedDict()

    def remember(name, model, state, convention):
        """Logits with the values that are in the file, in double precision."""
        model.load_state_dict(state)
        model.double().eval()
        with torch.no_grad():
            logits = (model.logits if hasattr(model, "logits") else model)(prepared(convention))
        expected[name] = logits.flatten()[::STRIDE].float().contiguous()
        print(f"{name}: logits {logits.min():.3f} to {logits.max():.3f}, spread {logits.std():.3f}")

    def converted(state, convert):
        return OrderedDict((k, convert(v) if v.is_floating_point() else v) for k, v in state.items())

    plain, norm = Vgg(False).state_dict(), Vgg(True).state_dict()
    legacy = {"_use_new_zipfile_serialization": False}
    torch.save(plain, out / "vgg16.pth")
    remember("vgg16.pth", Vgg(False), plain, "torchvision")
    remember("vgg_16.ckpt", Vgg(False), plain, "slim")
    state = converted(plain, half)
    torch.save(state, out / "vgg16-legacy.pth", **legacy)
    remember("vgg16-legacy.pth", Vgg(False), state, "torchvision")
    state = converted(plain, lambda x: x if full else x.bfloat16())
    save_file(state, out / "vgg16.safetensors")
    remember("vgg16.safetensors", Vgg(False), state, "torchvision")
    state = converted(norm, half)
    torch.save(state, out / "vgg16_bn.pth", **legacy)
    remember("vgg16_bn.pth", Vgg(True), state, "torchvision")
    for variant in () if full else ("32s", "16s"):
        state = converted(Fcn(variant).state_dict(), half)
        torch.save(state, out / f"fcn{variant}.pth", **legacy)
        remember(f"fcn{variant}.pth", Fcn(variant), state, "caffe")
    state = converted(Fcn("8s").state_dict(), half)
    torch.save(state, out / "fcn8s.pth")
    remember("fcn8s.pth", Fcn("8s"), state, "caffe")
    if full:
        save_file(expected, out / "expected.safetensors")
        return
    state = converted(Fcn("8s", True).state_dict(), half)
    checkpoint = {"epoch": 3, "iteration": 4000, "arch": "FCN8sAtOnce", "optim_state_dict": {"state": {}},
                  "model_state_dict": state, "best_mean_iu": np.float64(0.625)}
    torch.save(checkpoint, out / "checkpoint.pth.tar", **legacy)
    remember("checkpoint.pth.tar", Fcn("8s", True), state, "caffe")
    # As its trainer saves it: the values of the masks lie among the tensors.
    state = converted(Unet().state_dict(), half)
    torch.save(OrderedDict([*state.items(), ("mask_values", [0, 255])]), out / "unet.pth")
    remember("unet.pth", Unet(), state, "unit")
    save_file(expected, out / "expected.safetensors")


def main():
    global CHANNELS, FC6, FC7, CLASSES, IMAGENET
    framework, full = sys.argv[1], "full" in sys.argv
    paths = [argument for argument in sys.argv[2:] if argument != "full"]
    if full:
        CHANNELS, FC6, FC7, CLASSES, IMAGENET = FULL
    out = Path(paths[0] if paths else "testdata/import")
    out.mkdir(parents=True, exist_ok=True)
    tensorflow(out) if framework == "tensorflow" else pytorch(out, full)


main()
