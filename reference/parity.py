"""Writes testdata/parity: what PyTorch makes of the project's networks, for all variants, backbones and geometries of
an FCN, and for U-Net with batch normalisation and without.

Needs: torch==2.11.0 numpy==2.4.6. From the repository's root:

    python reference/parity.py [testdata/parity [what the names begin with]]

A second definition of the networks, from the papers and the published models, sharing no code with the Rust one.
Weights, images, labels and dropout masks are not stored: both sides draw them with the generator of
crates/segdata/src/rng.rs. Stored are, computed in double precision: the logits of inference (every 11th), and of
training with dropout 0.5 the mean loss, all gradients, and after ten steps each of SGD and Adam the losses and the
change of all parameters (evenly spaced samples of each). Prints how far PyTorch's own single precision is from that.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

STAGES = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]
DECODERS = {
    "32s": [("upscore", 32, None, 19)],
    "16s": [("upscore2", 2, ("score_pool4", 3), 5), ("upscore16", 16, None, 27)],
    "8s": [("upscore2", 2, ("score_pool4", 3), 5), ("upscore_pool4", 2, ("score_pool3", 2), 9), ("upscore8", 8, None, 31)],
}
WIDTH, CLASSES, IMAGES, ROWS, COLUMNS, VOID = 1 / 32, 4, 4, 37, 45, 255
SEED, DROPOUT, STEPS = 1, 0.5, 10
# With larger steps the deep layers' normalisation over few values makes rounding grow to per cents, PyTorch's own too.
PLAIN_RATE, NORMALISED_RATE = 1e-3, 1e-4
LEVELS = [64, 128, 256, 512, 1024]
LOGIT_STRIDE, GRADIENT_SAMPLES, CHANGE_SAMPLES = 11, 48, 24
# Purposes of crates/segdata/src/rng.rs.
PURPOSE_DROPOUT, PURPOSE_BENCH = 4, 7

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@np.errstate(over="ignore")
def uniform(n, purpose, *key):
    """`n` draws in [0, 1) of the stream (SEED, purpose, key)."""
    state = mix(np.uint64(SEED) + GAMMA)
    for part in (purpose, *key):
        state = mix((state + GAMMA) ^ mix(np.uint64(part) + GAMMA))
    bits = mix(state + GAMMA * np.arange(1, n + 1, dtype=np.uint64))
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(1 / (1 << 24))


def between(low, high, n, *key):
    low, high = np.float32(low), np.float32(high)
    return low + (high - low) * uniform(n, PURPOSE_BENCH, *key)


def scaled(channels):
    return max(8, round(channels * WIDTH))


def bilinear(taps):
    factor = (taps + 1) // 2
    centre = factor - 1 if taps % 2 else factor - 0.5
    line = 1 - abs(np.arange(taps) - centre) / factor
    return line[:, None] * line[None, :]


def convolution(entries, name, out, inp, taps, norm):
    entries.append((f"{name}.weight", (out, inp, taps, taps)))
    roles = ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"] if norm else ["bias"]
    entries.extend((f"{name}.{role}", (out,)) for role in roles)


def table(variant, backbone):
    """(name, shape) of every parameter, in the order of the weights file."""
    entries = []
    norm, inp = backbone == "vgg16-bn", 3
    for stage, (count, channels) in enumerate(STAGES):
        for i in range(count):
            convolution(entries, f"conv{stage + 1}_{i + 1}", scaled(channels), inp, 3, norm)
            inp = scaled(channels)
    convolution(entries, "fc6", scaled(4096), inp, 7, norm)
    convolution(entries, "fc7", scaled(4096), scaled(4096), 1, norm)
    convolution(entries, "score_fr", CLASSES, scaled(4096), 1, False)
    for name, stride, skip, _ in DECODERS[variant]:
        entries.append((f"{name}.weight", (CLASSES, CLASSES, 2 * stride, 2 * stride)))
        if skip:
            convolution(entries, skip[0], CLASSES, scaled(STAGES[skip[1]][1]), 1, False)
    return entries


def unet_blocks():
    """Names of the two convolutions of each level going down and of each going up, and of the up-convolutions."""
    lowest = len(LEVELS) - 1
    down = [(f"conv_d{level}a-b", f"conv_d{level}b-c") for level in range(lowest + 1)]
    up = [
        (f"upconv_{f'd{lowest}c' if level + 1 == lowest else f'u{level + 1}d'}_u{level}a", f"conv_u{level}b-c", f"conv_u{level}c-d")
        for level in reversed(range(lowest))
    ]
    return down, up


def unet_table(norm):
    """As `table`, of Ronneberger et al. 2015 with the names of the published Caffe model."""
    entries, inp, (down, up) = [], 3, unet_blocks()
    for (first, second), channels in zip(down, LEVELS):
        convolution(entries, first, scaled(channels), inp, 3, norm)
        convolution(entries, second, scaled(channels), scaled(channels), 3, norm)
        inp = scaled(channels)
    for (enlarge, first, second), channels in zip(up, reversed(LEVELS[:-1])):
        out = scaled(channels)
        entries.extend([(f"{enlarge}.weight", (inp, out, 2, 2)), (f"{enlarge}.bias", (out,))])
        convolution(entries, first, out, 2 * out, 3, norm)
        convolution(entries, second, out, out, 3, norm)
        inp = out
    convolution(entries, "score", CLASSES, inp, 1, False)
    return entries


def initial(entries):
    values = {}
    for index, (name, shape) in enumerate(entries):
        n = int(np.prod(shape))
        if name.startswith("upscore"):
            kernel = np.zeros(shape, np.float32)
            for k in range(CLASSES):
                kernel[k, k] = bilinear(shape[2])
            value = kernel + between(-0.05, 0.05, n, index).reshape(shape)
        elif len(shape) == 4:
            limit = np.float32(np.sqrt(6 / np.prod(shape[1:])))
            value = between(-limit, limit, n, index)
        else:
            low, high = (0.75, 1.25) if name.endswith(("norm.weight", "running_var")) else (-0.125, 0.125)
            value = between(low, high, n, index)
        values[name] = torch.from_numpy(value.reshape(shape).astype(np.float32))
    return values


def convolved(p, x, name, padding, step):
    x = F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), padding=padding)
    if f"{name}.norm.weight" in p:
        mean, var, scale, shift = (p[f"{name}.norm.{r}"] for r in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, mean, var, scale, shift, training=step is not None, momentum=0.1, eps=1e-5)
    return x


def dropped(x, index, step):
    if step is None:
        return x
    kept = [uniform(x[0].numel(), PURPOSE_DROPOUT, step, index, i) >= np.float32(DROPOUT) for i in range(len(x))]
    mask = torch.from_numpy(np.stack(kept)).reshape(x.shape)
    return x * mask.to(x.dtype) / (1 - DROPOUT)


def unet(p, x, step=None):
    """Logits of a U-Net, with padded convolutions, in a frame of zeros up to multiples of 16."""
    rows, columns = x.shape[2:]
    multiple = 1 << (len(LEVELS) - 1)
    below, beside = -rows % multiple, -columns % multiple
    top, left = below // 2, beside // 2
    x = F.pad(x, (left, beside - left, top, below - top))
    (down, up), skips = unet_blocks(), []
    for level, names in enumerate(down):
        for name in names:
            x = F.relu(convolved(p, x, name, 1, step))
        if level >= len(LEVELS) - 2:
            x = dropped(x, level - len(LEVELS) + 2, step)
        if level < len(LEVELS) - 1:
            skips.append(x)
            x = F.max_pool2d(x, 2)
    for enlarge, *names in up:
        x = F.conv_transpose2d(x, p[f"{enlarge}.weight"], p[f"{enlarge}.bias"], stride=2)
        x = torch.cat([skips.pop(), x], 1)
        for name in names:
            x = F.relu(convolved(p, x, name, 1, step))
    x = convolved(p, x, "score", 0, step)
    return x[:, :, top:top + rows, left:left + columns]


def forward(p, x, variant, geometry, step=None, until_score=False):
    """Logits. With `step`: batch statistics (the running ones move) and the dropout masks of that step. With `until_score`:
    what score_fr gives, before any upsampling."""
    rows, columns = x.shape[2:]
    caffe = geometry == "caffe"
    if caffe:
        top = left = None
    else:
        down, across = -rows % 32, -columns % 32
        top, left = down // 2, across // 2
        x = F.pad(x, (left, across - left, top, down - top))

    def layer(x, name, padding):
        return convolved(p, x, name, padding, step)

    def drop(x, index):
        return dropped(x, index, step)

    pools = []
    for stage, (count, _) in enumerate(STAGES):
        for i in range(count):
            x = F.relu(layer(x, f"conv{stage + 1}_{i + 1}", 100 if caffe and stage == i == 0 else 1))
        x = F.max_pool2d(x, 2, 2, ceil_mode=caffe)
        pools.append(x)
    x = drop(F.relu(layer(x, "fc6", 0 if caffe else 3)), 0)
    x = drop(F.relu(layer(x, "fc7", 0)), 1)
    x = layer(x, "score_fr", 0)
    if until_score:
        return x
    for name, stride, skip, crop in DECODERS[variant]:
        x = F.conv_transpose2d(x, p[f"{name}.weight"], stride=stride, padding=0 if caffe else stride // 2)
        if skip:
            score = layer(pools[skip[1]], skip[0], 0)
            if caffe:
                score = score[:, :, crop:crop + x.shape[2], crop:crop + x.shape[3]]
            x = x + score
        else:
            top, left = (crop, crop) if caffe else (top, left)
            x = x[:, :, top:top + rows, left:left + columns]
    return x


def learn(start, x, labels, network, optimiser):
    """Losses of each step, gradients of the first, change of the parameters after the last."""
    p = {name: value.clone().to(x.dtype) for name, value in start.items()}
    learnt = {name: value.requires_grad_() for name, value in p.items() if "running" not in name}
    rule = optimiser(list(learnt.values()))
    losses, first = [], None
    for step in range(STEPS):
        loss = F.cross_entropy(network(p, x, step), labels, ignore_index=VOID)
        rule.zero_grad()
        loss.backward()
        if step == 0:
            first = {name: value.grad.clone() for name, value in learnt.items()}
        rule.step()
        losses.append(loss.item())
    return losses, first, {name: value.detach() - start[name].to(x.dtype) for name, value in p.items()}


def sample(values, names, count):
    """[names, count + 1]: evenly spaced values of each tensor (the rest zero), then its largest magnitude."""
    rows = np.zeros((len(names), count + 1))
    for row, name in zip(rows, names):
        flat = values[name].flatten().numpy()
        picked = flat[:: -(-len(flat) // count)]
        row[: len(picked)], row[count] = picked, abs(flat).max()
    return rows


def results(dtype, entries, network, rate):
    """`network(parameters, images, step)` gives logits; `rate` is that of both optimisers."""
    start = initial(entries)
    names = [name for name, _ in entries]
    x = between(-2, 2, IMAGES * 3 * ROWS * COLUMNS, 1000).reshape(IMAGES, 3, ROWS, COLUMNS)
    x = torch.from_numpy(x).to(dtype)
    drawn = (uniform(IMAGES * ROWS * COLUMNS, PURPOSE_BENCH, 1001) * np.float32(CLASSES + 1)).astype(np.int64)
    labels = torch.from_numpy(np.where(drawn == CLASSES, VOID, drawn)).reshape(IMAGES, ROWS, COLUMNS)
    plain = {name: value.to(dtype) for name, value in start.items()}
    with torch.no_grad():
        logits = network(plain, x, None)
    sgd = learn(start, x, labels, network, lambda p: torch.optim.SGD(p, rate, momentum=0.9))
    adam = learn(start, x, labels, network, lambda p: torch.optim.Adam(p, rate))
    gradients = [name for name in names if "running" not in name]
    return {
        "logits": logits.flatten().numpy()[::LOGIT_STRIDE],
        "gradients": sample(sgd[1], gradients, GRADIENT_SAMPLES),
        "sgd.losses": np.array(sgd[0]),
        "sgd.changes": sample(sgd[2], names, CHANGE_SAMPLES),
        "adam.losses": np.array(adam[0]),
        "adam.changes": sample(adam[2], names, CHANGE_SAMPLES),
    }


def write(path, tensors):
    """safetensors: length of the header, header, values."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.astype("<f4").tobytes()
        header[name] = dict(dtype="F32", shape=list(values.shape), data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def difference(found, expected):
    """Largest difference over largest magnitude; a row at a time where a row is a tensor."""
    found, expected = np.atleast_2d(found), np.atleast_2d(expected)
    scale = np.abs(expected).max(axis=1)
    return (np.abs(found - expected).max(axis=1) / np.where(scale == 0, 1, scale)).max()


def networks():
    """(name, parameters, forward, rate) of everything that is compared."""
    for variant in DECODERS:
        for backbone in ("vgg16", "vgg16-bn"):
            for geometry in ("same", "caffe"):
                rate = NORMALISED_RATE if backbone == "vgg16-bn" else PLAIN_RATE
                network = lambda p, x, step, v=variant, g=geometry: forward(p, x, v, g, step)
                yield f"fcn{variant}-{backbone}-{geometry}", table(variant, backbone), network, rate
    yield "unet", unet_table(False), unet, PLAIN_RATE
    yield "unet-bn", unet_table(True), unet, NORMALISED_RATE


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "testdata/parity")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    chosen = sys.argv[2] if len(sys.argv) > 2 else ""
    for name, *network in (network for network in networks() if network[0].startswith(chosen)):
        exact = results(torch.float64, *network)
        single = results(torch.float32, *network)
        write(folder / f"{name}.safetensors", exact)
        print(name, f"loss {exact['sgd.losses'][0]:.4f} -> {exact['sgd.losses'][-1]:.4f}, {exact['adam.losses'][-1]:.4f};",
              *(f"{what} {difference(single[what], exact[what]):.1e}" for what in exact), flush=True)


if __name__ == "__main__":
    main()
