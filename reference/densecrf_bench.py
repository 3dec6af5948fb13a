"""Times crates/densecrf against pydensecrf, side by side.

    v/bin/python reference/densecrf_bench.py --driver target/release/examples/raw PICTURE.jpg [--rounds 5] [--labels 21 2]

Environment as in densecrf_golden.py. Each round runs pydensecrf and then each of our variants, so that all see the same
machine. Reported of each one: best set-up, inference and total; processor time of set-up and inference on all threads,
best and median; how many times pydensecrf's that is (best wall / median wall / best processor / median processor time);
and the peak memory of the process with its share of pydensecrf's. Processor time, and not wall time, can be compared on
a machine with other work. Kernels: Gaussian (3; 3) and bilateral (80, 13; 10), symmetric normalisation, 10 iterations.
Excluded from the times on both sides: reading, unary energies, conversion of the result.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

KERNELS = ["g:3,3:p3:s", "b:80,80,13,13,13:p10:s"]
VARIANTS = [("exact, 1 thread", ["--threads", "1"]), ("exact, 2 threads", ["--threads", "2"]),
            ("fast, 1 thread", ["--threads", "1", "--fast"]), ("fast, 2 threads", ["--threads", "2", "--fast"])]


def pydensecrf_times(w, h, c, iterations, unary, rgb):
    import pydensecrf.densecrf as dcrf
    d = dcrf.DenseCRF2D(w, h, c)
    d.setUnaryEnergy(unary)
    start, before = time.perf_counter(), time.process_time()
    d.addPairwiseGaussian(sxy=3, compat=3)
    d.addPairwiseBilateral(sxy=80, srgb=13, rgbim=rgb, compat=10)
    setup = time.perf_counter() - start
    d.inference(iterations)
    return setup, time.perf_counter() - start - setup, time.process_time() - before


def child(folder, w, h, c, iterations):
    """Run pydensecrf alone in a process: prints what the `raw` example prints."""
    unary = np.fromfile(folder / "u", np.float32).reshape(c, -1)
    rgb = np.fromfile(folder / "rgb", np.uint8).reshape(h, w, 3)
    import pydensecrf.densecrf  # noqa: F401
    times = pydensecrf_times(w, h, c, iterations, unary, rgb)
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(*times, peak)


def measured(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [float(v) for v in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--driver", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=[500, 375])
    parser.add_argument("--labels", type=int, nargs="+", default=[21])
    options = parser.parse_args()
    from PIL import Image
    w, h = options.size
    rgb = np.ascontiguousarray(np.array(Image.open(options.picture).convert("RGB").resize((w, h))))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rgb.tofile(folder / "rgb")
        for c in options.labels:
            rng = np.random.default_rng(0)
            u = (rng.random((c, h, w), np.float32) * 4).astype(np.float32)
            y, x = np.mgrid[:h, :w]
            u += 1.5 * (np.arange(c)[:, None, None] != ((x // 100 + 3 * (y // 90)) % c)[None])
            u.astype(np.float32).tofile(folder / "u")
            shape = [str(v) for v in (w, h, c, options.iterations)]
            runs = {"pydensecrf": [sys.executable, __file__, "--child", str(folder), *shape]}
            for title, flags in VARIANTS:
                files = [str(folder / "u"), str(folder / "rgb"), "-"]
                runs[title] = [options.driver, *shape, *files, *flags, *KERNELS]
            times = {title: [] for title in runs}
            for _ in range(options.rounds):
                for title, command in runs.items():
                    times[title].append(measured(command))
            print(f"{w}x{h}, {c} labels, {options.iterations} iterations, {options.rounds} rounds, ms; peak of the process, MiB")
            statistics = {}
            for title, t in times.items():
                total, work = np.array([v[0] + v[1] for v in t]), np.array([v[2] for v in t])
                statistics[title] = total.min(), np.median(total), work.min(), np.median(work), min(v[3] for v in t)
                ratios = np.array(statistics["pydensecrf"]) / np.array(statistics[title])
                setup, infer = min(v[0] for v in t), min(v[1] for v in t)
                print(f"{title:18} set-up {1e3 * setup:7.1f}  inference {1e3 * infer:8.1f}  total {1e3 * total.min():8.1f}"
                      f"  processor {1e3 * work.min():8.1f} {1e3 * np.median(work):8.1f}"
                      f"  ratios {' / '.join(f'{r:5.2f}' for r in ratios[:4])}"
                      f"  {statistics[title][4] / 1024:7.1f} {1 / ratios[4]:5.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        main()
