"""One photograph through FCN-8s in PyTorch, from a cold start: the peer of `fcn predict` for one image.

Needs: torch==2.11.0 safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0

    /usr/bin/time -v python reference/predict_once.py WEIGHTS.safetensors PHOTO OUT.png [--threads 2]

WEIGHTS is a file of this project (variant 8s, backbone vgg16, geometry same). Does what `fcn predict` does for one
photograph: read, normalise, frame to a multiple of 32, network, crop, index mask, overlay. Prints the seconds of each part;
the whole process, imports included, is what /usr/bin/time says.
"""

import time

START = time.perf_counter()

import argparse
import json

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch.nn import functional as F

STAGES = [2, 2, 3, 3, 3]


def forward(w, x):
    conv = lambda x, name, padding=0: F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)
    up = lambda x, name, stride: F.conv_transpose2d(x, w[f"{name}.weight"], stride=stride, padding=stride // 2)
    pools = []
    for stage, count in enumerate(STAGES, 1):
        for i in range(1, count + 1):
            x = F.relu_(conv(x, f"conv{stage}_{i}", 1))
        x = F.max_pool2d(x, 2)
        pools.append(x)
    x = F.relu_(conv(F.relu_(conv(x, "fc6", 3)), "fc7"))
    x = up(conv(x, "score_fr"), "upscore2", 2) + conv(pools[3], "score_pool4")
    return up(up(x, "upscore_pool4", 2) + conv(pools[2], "score_pool3"), "upscore8", 8)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weights")
    p.add_argument("photo")
    p.add_argument("out")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    times = {"imports": time.perf_counter() - START}

    def lap(name):
        times[name] = time.perf_counter() - START - sum(times.values())

    with safe_open(a.weights, "pt") as f:
        meta = f.metadata()
        weights = {name: f.get_tensor(name) for name in f.keys()}
    how = json.loads(meta["preprocessing"])
    lap("weights")
    photo = np.asarray(Image.open(a.photo).convert("RGB"))
    rgb = photo if how["channels"] == "RGB" else photo[..., ::-1]
    x = (rgb * np.float32(how["scale"]) - np.float32(how["mean"])) / np.float32(how["std"])
    x = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))
    h, w = photo.shape[:2]
    rows, columns = -h % 32, -w % 32
    x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    lap("photograph")
    with torch.inference_mode():
        logits = forward(weights, x)[..., rows // 2 : rows // 2 + h, columns // 2 : columns // 2 + w]
        ids = logits.argmax(1)[0].to(torch.uint8).numpy()
    lap("network")
    palette = np.array(json.loads(meta["palette"]), np.uint8)
    mask = Image.fromarray(ids, "P")
    mask.putpalette(palette.flatten().tolist())
    mask.save(a.out)
    Image.fromarray(((photo.astype(np.uint16) + palette[ids]) // 2).astype(np.uint8)).save(a.out + "_overlay.jpg", quality=90)
    lap("pictures")
    times["in all"] = time.perf_counter() - START
    print(json.dumps(times))


main()
