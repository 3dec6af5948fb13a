"""The whole network beside PyTorch, ONNX Runtime and OpenVINO, in turn: what docs/performance.md quotes.

Needs: torch==2.11.0 numpy==2.4.6, and for inference onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1, those that are
installed. From the repository's root:

    python reference/network_bench.py infer target/release/fcn --size 512x512 [--width 0.25] [--rounds 5]
    python reference/network_bench.py train target/release/fcn --size 224x224 --batch 4

Every peer is a process of its own that warms up once and then waits; each round asks every one of them in turn for seven
passes, and `fcn bench` for its own. Prints median and minimum in ms of all passes, and both as multiples of fcn's. `torch
tuned` is PyTorch with glibc told to keep its memory and to use huge pages; `cl` is channels last. The networks are FCN-8s
with random weights; a training step is forward, mean cross-entropy, backward and Adam.
"""

import argparse
import json
import os
import subprocess
import sys
import time

STAGES = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]
TUNED = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8000000000:glibc.malloc.trim_threshold=16000000000:glibc.malloc.top_pad=268435456"
PASSES = 7


def network(width):
    import torch
    from torch import nn
    from torch.nn import functional as F

    def scaled(channels):
        return max(8, round(channels * width))

    class Fcn8s(nn.Module):
        def __init__(self, classes=21):
            super().__init__()
            self.trunk, before = nn.ModuleList(), 3
            for count, channels in STAGES:
                convs = nn.ModuleList(nn.Conv2d(before if i == 0 else scaled(channels), scaled(channels), 3, padding=1) for i in range(count))
                self.trunk.append(convs)
                before = scaled(channels)
            wide = scaled(4096)
            self.fc6, self.fc7 = nn.Conv2d(before, wide, 7, padding=3), nn.Conv2d(wide, wide, 1)
            self.score_fr = nn.Conv2d(wide, classes, 1)
            self.score_pool4, self.score_pool3 = nn.Conv2d(scaled(512), classes, 1), nn.Conv2d(scaled(256), classes, 1)
            up = lambda stride: nn.ConvTranspose2d(classes, classes, 2 * stride, stride, stride // 2, bias=False).requires_grad_(False)
            self.upscore2, self.upscore_pool4, self.upscore8 = up(2), up(2), up(8)

        def forward(self, x):
            pools = []
            for convs in self.trunk:
                for conv in convs:
                    x = F.relu_(conv(x))
                x = F.max_pool2d(x, 2)
                pools.append(x)
            for conv in [self.fc6, self.fc7]:
                x = F.dropout(F.relu(conv(x)), 0.5, self.training)
            x = self.upscore2(self.score_fr(x)) + self.score_pool4(pools[3])
            return self.upscore8(self.upscore_pool4(x) + self.score_pool3(pools[2]))

    torch.manual_seed(0)
    return Fcn8s()


def torch_pass(a, half):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(a.threads)
    order = torch.channels_last if half else torch.contiguous_format
    net = network(a.width).to(memory_format=order)
    x = torch.randn(a.batch, 3, *a.sides).contiguous(memory_format=order)
    labels = torch.randint(0, 21, (a.batch, *a.sides))
    cast = lambda: torch.autocast("cpu", torch.bfloat16, enabled=half)
    if a.what == "infer":
        net.eval()

        def infer():
            with torch.inference_mode(), cast():
                net(x)

        return infer
    adam = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-4)

    def step():
        adam.zero_grad(set_to_none=True)
        with cast():
            loss = F.cross_entropy(net(x).float(), labels)
        loss.backward()
        adam.step()

    return step


def onnx_file(a):
    import torch

    path = f"/tmp/network_bench_{os.getpid()}.onnx"
    axes = {0: "n", 2: "h", 3: "w"}
    x = torch.randn(a.batch, 3, *a.sides)
    torch.onnx.export(network(a.width).eval(), (x,), path, opset_version=17, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": axes, "y": axes})
    return path, x.numpy()


def onnxruntime_pass(a):
    import onnxruntime

    path, x = onnx_file(a)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    os.remove(path)
    return lambda: session.run(None, {"x": x})


def openvino_pass(a, precision):
    import openvino

    path, x = onnx_file(a)
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": a.threads})
    os.remove(path)
    return lambda: model(x)


PEERS = {
    "torch f32": lambda a: torch_pass(a, False),
    "torch tuned f32": lambda a: torch_pass(a, False),
    "torch bf16 cl": lambda a: torch_pass(a, True),
    "torch tuned bf16 cl": lambda a: torch_pass(a, True),
    "onnxruntime f32": onnxruntime_pass,
    "openvino f32": lambda a: openvino_pass(a, "f32"),
    "openvino bf16": lambda a: openvino_pass(a, "bf16"),
}


def serve(a):
    run = PEERS[a.peer](a)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        for _ in range(PASSES):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
        print(json.dumps([times, int(peak) / 1024]), flush=True)


def start(peer, a):
    words = [sys.executable, __file__, a.what, a.fcn, "--size", a.size, "--batch", a.batch, "--width", a.width, "--threads", a.threads, "--peer", peer]
    tuned = {"GLIBC_TUNABLES": TUNED} if "tuned" in peer else {}
    process = subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | tuned)
    return process if process.stdout.readline().strip() == "ready" else None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["infer", "train"])
    p.add_argument("fcn")
    p.add_argument("--size", default=None)
    p.add_argument("--batch", type=int, default=None)
    p.add_argument("--width", type=float, default=1.0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", default="", help="peers whose names contain this")
    p.add_argument("--peer", help=argparse.SUPPRESS)
    a = p.parse_args()
    a.size = a.size or ("512x512" if a.what == "infer" else "224x224")
    a.batch = a.batch or (1 if a.what == "infer" else 4)
    a.sides = [int(side) for side in a.size.split("x")]
    if a.peer:
        return serve(a)
    wanted = [peer for peer in PEERS if a.only in peer and (a.what == "infer" or peer.startswith("torch"))]
    peers = {peer: start(peer, a) for peer in wanted}
    for peer in [peer for peer, process in peers.items() if process is None]:
        print(f"{peer}: not installed, or it does not run")
        del peers[peer]
    kinds = ["f32", "bf16"] if a.what == "infer" else ["f32"]
    times, peaks = {}, {}
    for _ in range(a.rounds):
        for kind in kinds:
            words = [a.fcn, "bench", a.what, "--size", a.size, "--batch", a.batch, "--width", a.width, "--threads", a.threads, "--runs", PASSES, "--json"]
            words += ["--dtype", kind] if kind != "f32" else []
            for row in json.loads(subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, check=True).stdout):
                # Their median and minimum stand for them.
                times.setdefault(f"fcn {kind}", []).append((row["median_s"], row["min_s"]))
                peaks[f"fcn {kind}"] = row["peak_rss_bytes"] / 2**20
        for peer, process in peers.items():
            print("go", file=process.stdin, flush=True)
            passes, peaks[peer] = json.loads(process.stdout.readline())
            passes.sort()
            times.setdefault(peer, []).append((passes[PASSES // 2], passes[0]))
    median = lambda values: sorted(values)[len(values) // 2]
    summary = {name: (median([m for m, _ in rows]), min(least for _, least in rows)) for name, rows in times.items()}
    ours = summary["fcn f32"]
    print(f"{a.what} {a.size} batch {a.batch} width {a.width} threads {a.threads}: median ms, minimum ms, both as multiples of fcn f32, peak MiB")
    for name, (middle, least) in summary.items():
        print(f"{name:20} {middle * 1e3:8.1f} {least * 1e3:8.1f}   {middle / ours[0]:5.2f} {least / ours[1]:5.2f}   {peaks[name]:6.0f}")
    for process in peers.values():
        process.stdin.close()


main()
