"""Times single convolution layers of conv-kernels beside PyTorch's, in alternating runs.

usage: conv_layers.py [--layers vgg512|vgg224|narrow512|narrow224|sweep] [--passes forward,data,weight]
                      [--algorithm fast] [--threads 2] [--rounds 4] [--again 0]
                      [--clock wall|cpu] [--only SUBSTRING] [--kernels BINARY]

Needs PyTorch (2.11 was used) and `cargo build --release -p conv-kernels --example layers`. For each layer and pass the two
take turns of two runs, of ten where a run is short, with a pause before each turn in which the other's threads go to sleep; the
minima and the medians are printed as a Markdown table, with the rate in GFLOP/s that the definition of the convolution would
need. What is slower than PyTorch or close to it is measured once more in `--again` rounds, and its rows are printed again at
the end, to stand for the first ones: a few rounds say little about layers that are close. On a machine that others use too,
`--threads 1 --clock cpu` is the steadiest. PyTorch's forward has bias but no rectifier; ours has both. `forward` includes our
transformation of the weights, `prepared` does not, nor does `bf16`, whose products are bf16 beside PyTorch's f32.

PyTorch frees the memory of large tensors after each operation unless told otherwise; start this script with
GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8000000000:glibc.malloc.trim_threshold=16000000000
to measure the kernels and not the page faults.
"""

import argparse
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

CLOSE = 1.1  # the ratio of minima below which a layer is measured again


def vgg(batch, size, width=1.0, pad=1):
    """(name, N, C, K, H, W, kernel, pad) of the layers of FCN-8s on VGG-16."""
    layers, c, h = [], 3, size
    for stage, (count, channels) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        k = int(channels * width)
        for i in range(count):
            if stage == 4 and i > 0:
                break  # the three are alike
            layers.append((f"conv{stage + 1}_{i + 1}", batch, c, k, h, h, 3, pad if not layers else 1))
            c = k
        h = (h + 2 * (pad - 1) + 1) // 2 if stage == 0 else (h + 1) // 2
    top = int(4096 * width)
    layers.append(("fc6", batch, c, top, h, h, 7, 3))
    layers.append(("fc7", batch, top, top, h, h, 1, 0))
    layers.append(("score_fr", batch, top, 21, h, h, 1, 0))
    return layers


def sweep():
    """Sizes from 33 to 1024 pixels, batches of 1 to 16, widths 1 and 1/4; what repeats is left out."""
    seen, layers = set(), []
    for width in (1.0, 0.25):
        for size, batch in [(33, 1), (33, 16), (65, 4), (129, 1), (224, 1), (224, 4), (224, 16), (384, 1), (500, 1),
                            (512, 4), (512, 16), (1024, 1)]:
            for name, *sizes in vgg(batch, size, width):
                flop = 2 * sizes[0] * sizes[1] * sizes[2] * sizes[3] * sizes[4] * sizes[5] ** 2
                if tuple(sizes) not in seen and flop < 2.5e11:
                    seen.add(tuple(sizes))
                    layers.append((f"{name} w{width} {batch}x{size}", *sizes))
    layers.append(("conv1_1 pad 100, 500", 1, 3, 64, 500, 500, 3, 100))
    layers.append(("conv1_1 pad 100, 224 b4", 4, 3, 64, 224, 224, 3, 100))
    return layers


TABLES = {
    "vgg512": lambda: vgg(1, 512),
    "vgg224": lambda: vgg(4, 224),
    "narrow512": lambda: vgg(1, 512, 0.25),
    "narrow224": lambda: vgg(4, 224, 0.25),
    "sweep": sweep,
}


class Ours:
    """The kernels, in a process of their own that answers requests."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def times(self, sizes, what, rounds, arguments):
        words = [*sizes, what, arguments.algorithm, arguments.threads, rounds, arguments.clock]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]


def torch_times(sizes, what, rounds, now):
    n, c, k, h, w, kernel, pad = sizes
    x, weight, bias = torch.randn(n, c, h, w), torch.randn(k, c, kernel, kernel), torch.randn(k)
    dy = torch.randn(n, k, h + 2 * pad - kernel + 1, w + 2 * pad - kernel + 1)
    mask = {"data": [True, False, False], "weight": [False, True, False]}
    times = []
    with torch.no_grad():
        for i in range(rounds + 1):
            start = now()
            if what in mask:
                torch.ops.aten.convolution_backward(dy, x, weight, [k], [1, 1], [pad, pad], [1, 1], False, [0, 0], 1,
                                                    mask[what])
            else:
                F.conv2d(x, weight, bias, padding=pad)
            if i > 0:
                times.append((now() - start) * 1e3)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", default="vgg512", choices=TABLES)
    parser.add_argument("--passes", default="forward,data,weight")
    parser.add_argument("--algorithm", default="fast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--again", type=int, default=0)
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--only", default="")
    parser.add_argument("--kernels", default="target/release/examples/layers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    now = time.perf_counter if arguments.clock == "wall" else time.process_time
    ours = Ours(arguments.kernels)
    print("| layer | pass | ours ms | GFLOP/s | PyTorch ms | GFLOP/s | ratio of minima | of medians |")
    print("|---|---|---|---|---|---|---|---|")
    chosen = [
        (name, sizes, what)
        for name, *sizes in TABLES[arguments.layers]()
        for what in arguments.passes.split(",")
        if arguments.only in name and not (what == "data" and sizes[1] == 3)
    ]
    ratios = {}
    for rounds in filter(None, (arguments.rounds, arguments.again)):
        for name, sizes, what in chosen:
            if ratios.get((name, what), 0) < CLOSE:
                ratios[name, what] = compare(name, sizes, what, rounds, ours, now, arguments)
    worst = sorted((ratio, name, what) for (name, what), ratio in ratios.items())
    print("\nsmallest ratios:", ", ".join(f"{name} {what} {ratio:.2f}" for ratio, name, what in worst[:20]))


def compare(name, sizes, what, rounds, ours, now, arguments):
    """Prints the row of a layer's pass, and returns the ratio of minima."""
    n, c, k, h, w, kernel, pad = sizes
    flop = 2e-6 * n * c * k * (h + 2 * pad - kernel + 1) * (w + 2 * pad - kernel + 1) * kernel**2
    us, them = [], []
    runs = 10 if flop < 1e3 else 2
    for _ in range(rounds):
        time.sleep(0.03)
        us += ours.times(sizes, what, runs, arguments)
        time.sleep(0.03)
        them += torch_times(sizes, what, runs, now)
    a, b = min(us), min(them)
    middle = statistics.median(them) / statistics.median(us)
    shape = f"{n}x{c}x{h}x{w} to {k}"
    print(f"| {name} {shape} | {what} | {a:.2f} | {flop / a:.0f} | {b:.2f} | {flop / b:.0f} | {b / a:.2f} "
          f"| {middle:.2f} |", flush=True)
    return b / a


if __name__ == "__main__":
    main()
