"""Checks what `fcn export` writes with onnx, onnxruntime, PyTorch, torchvision and safetensors, on real photographs.

Needs: torch==2.11.0 torchvision==0.26.0 onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0.
From the repository's root, with a folder of JPEG photographs (PASCAL VOC's, say):

    python reference/check_export.py target/release/fcn VOC2012/JPEGImages [--full]

Narrow networks of every variant, backbone and geometry, upsampling fixed and learnt; with --full instead FCN-8s at full width.
Per network: the checker of onnx; logits of onnxruntime against the definition in reference/parity.py; softmax, masks and
(up to a constant a pixel, which softmax drops) logits against `fcn predict`; the same with the preprocessing in the graph;
then the state dicts, loaded strictly into torchvision's classes and into classes with the layers of pytorch-fcn. Prints
the largest differences, relative to the largest magnitude, and fails above 1e-4 or at a differing mask.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import parity

LIMIT = 1e-4
# Width, height.
SIZES = [(500, 375), (333, 251), (97, 161), (224, 224), (33, 65)]
CONVENTIONS = [
    dict(channels="RGB", scale=1 / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    dict(channels="BGR", scale=1.0, mean=[104.00699, 116.66877, 122.67892], std=[58.0, 57.0, 58.5]),
]
failures = []


def check(what, found):
    if not found <= LIMIT:
        failures.append(f"{what}: {found:.1e}")
    return found


def relative(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()


def run(*words):
    started = time.perf_counter()
    subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def photographs(source, folder):
    folder.mkdir()
    for name, size in zip(sorted(source.glob("*.jpg")), SIZES):
        Image.open(name).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(folder / f"{size[0]}x{size[1]}.png")
    return sorted(folder.glob("*.png"))


def weights(variant, backbone, learnt):
    values = parity.initial(parity.table(variant, backbone))
    for name, value in values.items():
        if name.startswith("upscore") and not learnt:
            value.zero_()
            for k in range(parity.CLASSES):
                value[k, k] = torch.from_numpy(parity.bilinear(value.shape[2]))
        if name.startswith("score") and name.endswith("weight"):
            value *= 3
    return values


def level(values, case, x):
    """Moves the scores of each class to a mean of zero, so that no class wins everywhere."""
    variant, _, geometry, _ = case
    bias = {"32s": "score_fr.bias", "16s": "score_pool4.bias", "8s": "score_pool3.bias"}[variant]
    with torch.no_grad():
        values[bias] -= parity.forward(values, torch.from_numpy(x), variant, geometry).mean(dim=(0, 2, 3))


def normalised(rgb, convention):
    x = rgb.astype(np.float32) if convention["channels"] == "RGB" else rgb[..., ::-1].astype(np.float32)
    x = (x * np.float32(convention["scale"]) - np.float32(convention["mean"])) / np.float32(convention["std"])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


class PytorchFcn(nn.Module):
    """The layers of pytorch-fcn's FCN32s, FCN16s and FCN8s, by name."""

    def __init__(self, variant):
        super().__init__()
        for name, shape in parity.table(variant, "vgg16"):
            layer, role = name.split(".")
            if role == "weight" and layer.startswith("upscore"):
                setattr(self, layer, nn.ConvTranspose2d(shape[0], shape[1], shape[2], shape[2] // 2, bias=False))
            elif role == "weight":
                padding = 100 if layer == "conv1_1" else 1 if layer.startswith("conv") else 0
                setattr(self, layer, nn.Conv2d(shape[1], shape[0], shape[2], padding=padding))
        self.variant = variant

    def forward(self, x):
        rows, columns, pools = *x.shape[2:], []
        for stage, (count, _) in enumerate(parity.STAGES):
            for i in range(count):
                x = torch.relu(getattr(self, f"conv{stage + 1}_{i + 1}")(x))
            x = nn.functional.max_pool2d(x, 2, 2, ceil_mode=True)
            pools.append(x)
        x = self.score_fr(torch.relu(self.fc7(torch.relu(self.fc6(x)))))
        for name, _, skip, crop in parity.DECODERS[self.variant]:
            x = getattr(self, name)(x)
            if skip:
                score = getattr(self, skip[0])(pools[skip[1]])
                x = x + score[:, :, crop:crop + x.shape[2], crop:crop + x.shape[3]]
        return x[:, :, crop:crop + rows, crop:crop + columns]


def classifier(backbone):
    """torchvision's class, its channels replaced where the network is narrow."""
    layers, inp = [], 3
    for count, channels in parity.STAGES:
        layers += [parity.scaled(channels)] * count + ["M"]
    features = torchvision.models.vgg.make_layers(layers, batch_norm=backbone == "vgg16-bn")
    model = torchvision.models.VGG(features, num_classes=parity.CLASSES, init_weights=False)
    hidden, last = parity.scaled(4096), parity.scaled(512)
    model.classifier[0] = nn.Linear(last * 49, hidden)
    model.classifier[3] = nn.Linear(hidden, hidden)
    model.classifier[6] = nn.Linear(hidden, parity.CLASSES)
    return model.eval()


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_onnx(fcn, folder, file, values, case, convention, pictures):
    variant, backbone, geometry, learnt = case
    plain, embedded = folder / "plain.onnx", folder / "embedded.onnx"
    opset = 17 + list(parity.DECODERS).index(variant) * 2 + (backbone == "vgg16")
    seconds = run(fcn, "export", "--weights", file, "--out", plain, "--force", "--softmax", "--argmax")
    run(fcn, "export", "--weights", file, "--out", embedded, "--force", "--softmax", "--embed-preprocessing", "--opset", opset)
    for path in (plain, embedded):
        onnx.checker.check_model(str(path), full_check=True)
    masks = folder / "masks"
    run(fcn, "predict", *pictures, "--weights", file, "--out", masks, "--save-probabilities", "--no-overlay", "-q")
    plain, embedded = session(plain), session(embedded)
    meta = plain.get_modelmeta().custom_metadata_map
    assert meta["variant"] == variant and json.loads(meta["preprocessing"])["channels"] == convention["channels"], meta
    assert len(json.loads(meta["classes"])) == len(json.loads(meta["palette"])) == parity.CLASSES
    worst = {"pytorch": 0.0, "probabilities": 0.0, "logits": 0.0, "embedded": 0.0, "differing pixels": 0}
    differing, classes = 0, set()
    for picture in pictures:
        rgb = np.asarray(Image.open(picture))
        x = normalised(rgb, convention)
        logits, probabilities, mask = plain.run(["logits", "probabilities", "mask"], {"image": x})
        with torch.no_grad():
            expected = parity.forward(values, torch.from_numpy(x), variant, geometry).numpy()
        worst["pytorch"] = max(worst["pytorch"], relative(logits, expected))
        ours = np.load(masks / f"{picture.stem}.npy")[None]
        worst["probabilities"] = max(worst["probabilities"], relative(probabilities, ours))
        # Where no probability is so small that its logarithm is coarse.
        sure = (ours > 1e-30).all(axis=1, keepdims=True)
        centred = np.log(np.maximum(ours.astype(np.float64), 1e-30))
        centred -= centred.mean(axis=1, keepdims=True)
        shifted = logits - logits.mean(axis=1, keepdims=True)
        worst["logits"] = max(worst["logits"], np.abs((centred - shifted) * sure).max() / np.abs(logits).max())
        in_graph, mask_in_graph = embedded.run(["probabilities", "mask"], {"image": rgb[None]})
        worst["embedded"] = max(worst["embedded"], relative(in_graph, ours))
        ids = np.asarray(Image.open(masks / f"{picture.stem}.png"))
        # Two scores that are as near to each other as the two programs may be in any order.
        best = np.sort(logits, axis=1)[0]
        tied = best[-1] - best[-2] <= LIMIT * np.abs(logits).max()
        for found in (mask, mask_in_graph):
            assert found.dtype == np.uint8 and found.shape == (1, *ids.shape)
            differing += np.count_nonzero((found[0] != ids) & ~tied)
        worst["differing pixels"] += np.count_nonzero(mask[0] != ids)
        classes |= set(np.unique(ids))
    for what in ("pytorch", "probabilities", "logits", "embedded"):
        check(f"{case} {what}", worst[what])
    if differing:
        failures.append(f"{case}: {differing} pixels of masks differ")
    assert len(classes) > 1, "masks of one class tell nothing"
    pair = np.concatenate([normalised(np.asarray(Image.open(pictures[0])), convention)] * 2)
    assert plain.run(["mask"], {"image": pair})[0].shape[0] == 2
    return worst, seconds


def check_state_dicts(fcn, folder, file, values, case, convention, picture):
    variant, backbone, geometry, _ = case
    found = {}
    names = "torchvision" if geometry == "same" else "pytorch-fcn"
    for ending in ("pth", "safetensors"):
        out = folder / f"state.{ending}"
        run(fcn, "export", "--weights", file, "--out", out, "--to", names, "--force")
        # mmap needs the alignment that PyTorch's own files have.
        state = torch.load(out, weights_only=True, mmap=True) if ending == "pth" else load_file(out)
        with torch.no_grad():
            if names == "pytorch-fcn":
                model = PytorchFcn(variant)
                model.load_state_dict(state, strict=True)
                x = torch.from_numpy(normalised(np.asarray(Image.open(picture)), convention))
                expected, logits = parity.forward(values, x, variant, geometry), model(x)
            else:
                model = classifier(backbone)
                model.load_state_dict(state, strict=True)
                image = Image.open(picture).resize((224, 224))
                x = torch.from_numpy(normalised(np.asarray(image), convention))
                # fc6 sees the whole image in the middle of 7 x 7.
                logits = model(x)
                expected = parity.forward(values, x, variant, geometry, until_score=True)[:, :, 3, 3]
        key = f"{names}.{ending}"
        found[key] = check(f"{case} {key}", relative(logits.numpy(), expected.numpy()))
    return found


def one(fcn, folder, case, convention, pictures):
    variant, backbone, geometry, learnt = case
    values = weights(variant, backbone, learnt)
    level(values, case, normalised(np.asarray(Image.open(pictures[0])), convention))
    file = folder / "weights.safetensors"
    metadata = dict(
        variant=variant,
        backbone=backbone,
        width=str(parity.WIDTH),
        geometry=geometry,
        classes=json.dumps([f"class {k}" for k in range(parity.CLASSES)]),
        palette=json.dumps([[k, 2 * k, 3 * k] for k in range(parity.CLASSES)]),
        preprocessing=json.dumps(convention),
    )
    save_file(values, file, metadata)
    worst, seconds = check_onnx(fcn, folder, file, values, case, convention, pictures)
    dicts = check_state_dicts(fcn, folder, file, values, case, convention, pictures[-1])
    print(f"width {parity.WIDTH:g}", *case[:3], "learnt" if learnt else "bilinear", convention["channels"], "|",
          *(f"{k} {v:.1e}" if isinstance(v, float) else f"{k} {v}" for k, v in {**worst, **dicts}.items()),
          f"| {file.stat().st_size >> 20} MiB exported in {seconds:.1f} s", flush=True)


def main():
    fcn, source = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        pictures = photographs(source, folder / "pictures")
        if "--full" in sys.argv:
            parity.WIDTH, parity.CLASSES = 1.0, 21
            one(fcn, folder, ("8s", "vgg16", "same", False), CONVENTIONS[1], pictures)
            one(fcn, folder, ("8s", "vgg16", "caffe", False), CONVENTIONS[1], pictures)
        else:
            cases = itertools.product(parity.DECODERS, ("vgg16", "vgg16-bn"), ("same", "caffe"), (False, True))
            for index, case in enumerate(cases):
                one(fcn, folder, case, CONVENTIONS[index // 2 % 2], pictures)
    print("\n".join(failures) or "all within the limit")
    sys.exit(bool(failures))


main()
