"""Golden hashes for crates/densecrf, made by pydensecrf; and a live comparison on random cases.

    python -m venv v && v/bin/pip install numpy==2.4.6 cython==3.3.1 pillow==13.0.0 pydensecrf2==1.1
    v/bin/python reference/densecrf_golden.py                          # rewrites testdata/densecrf
    v/bin/python reference/densecrf_golden.py --live 200 --driver target/release/examples/raw [--photos FOLDER]

The inputs are drawn from a counter-based generator that the Rust tests repeat (tests/golden.rs), so that only hashes and
a few small arrays are stored. Made on x86-64 Linux, glibc 2.36, CPython 3.11.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pydensecrf.densecrf as dcrf

NORM = {"s": dcrf.NORMALIZE_SYMMETRIC, "b": dcrf.NORMALIZE_BEFORE, "a": dcrf.NORMALIZE_AFTER, "n": dcrf.NO_NORMALIZATION}
U64 = np.uint64


def draws(seed, count):
    """splitmix64 of seed * 2^32 + 0, 1, 2, ..."""
    with np.errstate(over="ignore"):
        z = (U64(seed) << U64(32)) + np.arange(count, dtype=U64)
        z = (z + U64(1)) * U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        return z ^ (z >> U64(31))


def fraction(seed, count):
    return (draws(seed, count) >> U64(40)).astype(np.float32) * np.float32(2.0**-24)


def digest(values):
    """Sum of (bits + 1) * draw(i), modulo 2^64: sensitive to every bit and position."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(U64).ravel()
    with np.errstate(over="ignore"):
        return int(((bits + U64(1)) * (draws(7, bits.size) | U64(1))).sum(dtype=U64))


def region(w, h, modulus):
    y, x = np.mgrid[:h, :w]
    return (x // (w // 5 + 1) + 3 * (y // (h // 4 + 1))) % modulus


def unary(w, h, c, seed):
    u = (fraction(seed, c * h * w) * np.float32(3.0)).reshape(c, h, w)
    other = np.arange(c)[:, None, None] != region(w, h, c)[None]
    return np.ascontiguousarray((u + np.where(other, np.float32(1.5), np.float32(0))).reshape(c, -1))


def picture(w, h, kind, seed):
    noise = (draws(seed + 1000, w * h * 3) >> U64(56)).astype(np.int64).reshape(h, w, 3)
    if kind == "noise":
        out = noise
    elif kind == "dark":
        out = noise % 4
    elif kind == "flat":
        out = noise * 0 + 128
    else:
        base = (draws(seed + 2000, 20 * 3) >> U64(56)).astype(np.int64).reshape(20, 3)
        out = np.minimum(base[region(w, h, 20)] * 7 // 8 + noise % 16, 255)
    return np.ascontiguousarray(out.astype(np.uint8))


def compat(text, c, seed):
    """p<weight>, d (a drawn diagonal) or m (a drawn matrix)."""
    if text[0] == "p":
        return float(text[1:])
    count = c if text[0] == "d" else c * c
    values = fraction(seed + 3000, count) * np.float32(-6.0) + np.float32(1.0)
    return values if text[0] == "d" else np.ascontiguousarray(values.reshape(c, c))


def infer(w, h, c, iterations, u, rgb, kernels, seed):
    d = dcrf.DenseCRF2D(w, h, c)
    d.setUnaryEnergy(u)
    for kernel in kernels:
        kind, sigmas, price, norm = kernel.split(":")
        s = [float(v) for v in sigmas.split(",")]
        args = dict(compat=compat(price, c, seed), kernel=dcrf.DIAG_KERNEL, normalization=NORM[norm])
        if kind == "g":
            d.addPairwiseGaussian(sxy=tuple(s), **args)
        else:
            d.addPairwiseBilateral(sxy=tuple(s[:2]), srgb=tuple(s[2:]), rgbim=rgb, **args)
    return np.array(d.inference(iterations), np.float32)


PAPER = ["g:3,3:p3:s", "b:80,80,13,13,13:p10:s"]


def golden_cases():
    """(name, w, h, c, iterations, picture kind, seed, kernels)"""
    for i, c in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 17, 21, 24, 25, 32, 33, 40, 81, 150)):
        for extra in range(4):
            yield f"labels{c}_mod{extra}", 37 if extra % 2 else 36, 29 - extra // 2, c, 3, "blocks", 10 * i + extra, PAPER
    for iterations in (0, 1, 5, 10):
        yield f"iterations{iterations}", 53, 41, 21, iterations, "blocks", 300 + iterations, PAPER
    for kind in ("noise", "dark", "flat"):
        for w in (33, 34, 35):
            yield f"picture_{kind}_{w}", w, 27, 5, 4, kind, 400 + w, ["b:20,14,5,7,9:p6:s", "g:2,4:p2:s"]
    for norm in "sban":
        for price in ("p4", "d", "m"):
            for c in (2, 3, 4, 7, 21):
                k = [f"g:3,3:{price}:{norm}", f"b:30,30,13,13,13:{price}:{norm}"]
                if norm == "n":
                    k = [v.replace("p4", "p0.05") for v in k]
                yield f"norm_{norm}_{price[0]}_{c}", 31, 22, c, 3, "blocks", 500 + c, k
    for w, h in ((1, 1), (2, 1), (1, 3), (5, 1), (1, 40), (63, 1), (4, 4)):
        for c in (1, 2, 5, 21):
            for price in ("p3", "m"):
                k = [f"g:3,3:{price}:s", f"b:9,9,13,13,13:{price}:s"]
                yield f"size{w}x{h}x{c}_{price[0]}", w, h, c, 4, "noise", 600 + w + h, k
    yield "none", 20, 11, 6, 2, "flat", 700, []
    yield "small_sigmas", 40, 30, 4, 3, "noise", 701, ["g:0.5,0.25:p3:s", "b:3,3,1.5,1,0.7:p3:s"]
    yield "large_sigmas", 40, 30, 4, 3, "noise", 702, ["g:400,300:p3:s", "b:900,900,300,300,300:p3:s"]
    yield "three_kernels", 40, 30, 9, 3, "blocks", 703, ["b:40,40,9,9,9:p3:a", "g:2,2:d:b", "b:10,10,30,30,30:m:s"]
    yield "voc_size", 500, 375, 21, 10, "blocks", 704, PAPER
    yield "voc_reference", 375, 500, 21, 5, "blocks", 705, ["g:10,10:p3:s", "b:50,50,20,20,20:p10:s"]
    yield "voc_two", 500, 333, 2, 5, "blocks", 706, PAPER
    yield "million", 1000, 1000, 3, 1, "blocks", 707, PAPER


ARRAYS = {"labels4_mod3", "norm_s_m_7", "size5x1x21_p", "size1x1x2_p"}


def write_golden(folder):
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, w, h, c, iterations, kind, seed, kernels in golden_cases():
        u, rgb = unary(w, h, c, seed), picture(w, h, kind, seed)
        q = infer(w, h, c, iterations, u, rgb, kernels, seed)
        if not np.isfinite(q).all():
            sys.exit(f"{name}: pydensecrf returned a value that is not finite")
        inputs = digest(u) ^ digest(rgb.astype(np.float32))
        kernel_text = " ".join(kernels) or "-"
        lines.append(f"{name} {w} {h} {c} {iterations} {kind} {seed} {inputs:016x} {digest(q):016x} {kernel_text}\n")
        if name in ARRAYS:
            (folder / f"{name}.f32").write_bytes(np.ascontiguousarray(q).tobytes())
    head = "# name width height labels iterations picture seed digest(inputs) digest(marginals) kernels...\n"
    (folder / "cases.txt").write_text(head + "".join(lines))
    print(len(lines), "cases")


def random_case(rng, photos):
    size = rng.choice(["tiny", "small", "middle", "photo"], p=[0.25, 0.4, 0.25, 0.1])
    side = {"tiny": 9, "small": 70, "middle": 260, "photo": 260}[size]
    w, h = int(rng.integers(1, side)), int(rng.integers(1, side))
    c = int(rng.choice([1, 2, 3, 4, 5, 8, 11, 21, 33, 81, 150], p=[0.05, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.15, 0.05, 0.05, 0.05]))
    if size in ("middle", "photo"):
        c = min(c, 33)
    rgb = None
    if photos and rng.random() < 0.5:
        from PIL import Image
        image = Image.open(photos[rng.integers(len(photos))]).convert("RGB")
        if size == "photo":
            image.thumbnail((500, 500))
            w, h = image.size
        else:
            image = image.resize((w, h))
        rgb = np.ascontiguousarray(np.array(image))
    seed = int(rng.integers(1, 1 << 20))
    if rgb is None:
        rgb = picture(w, h, str(rng.choice(["blocks", "noise", "dark", "flat"])), seed)
    kernels = []
    for _ in range(int(rng.integers(1, 4))):
        norm = str(rng.choice(list("ssssban")))
        kind = str(rng.choice(list("pppdm")))
        price = f"p{rng.uniform(0.5, 12):.3f}" if kind == "p" else kind
        if norm == "n":
            price = f"p{rng.uniform(0.0005, 0.01):.5f}"
        sxy = np.exp(rng.uniform(np.log(0.4), np.log(120), 2))
        srgb = np.exp(rng.uniform(np.log(1.5), np.log(60), 3))
        sigmas = list(sxy) if rng.random() < 0.4 else list(sxy) + list(srgb)
        kernels.append(("g:" if len(sigmas) == 2 else "b:") + ",".join(f"{s:.3f}" for s in sigmas) + f":{price}:{norm}")
    return w, h, c, int(rng.choice([0, 1, 2, 5, 10], p=[0.05, 0.25, 0.3, 0.3, 0.1])), seed, rgb, kernels


def live(count, driver, photos, seed, extra):
    rng = np.random.default_rng(seed)
    photos = sorted(pathlib.Path(photos).rglob("*.jpg")) if photos else []
    failures, pixels, worst = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        for i in range(count):
            w, h, c, iterations, case_seed, rgb, kernels = random_case(rng, photos)
            u = unary(w, h, c, case_seed)
            q = infer(w, h, c, iterations, u, rgb, kernels, case_seed)
            u.tofile(at("u")), rgb.tofile(at("rgb"))
            for price in "dm":
                np.asarray(compat(price, c, case_seed), np.float32).tofile(at(price))
            named = [k.replace(":d:", f":d{at('d')}:").replace(":m:", f":m{at('m')}:") for k in kernels]
            threads = str(int(rng.integers(1, 5)))
            run = [driver, str(w), str(h), str(c), str(iterations), at("u"), at("rgb"), at("q"), "--threads", threads]
            done = subprocess.run(run + extra + named, capture_output=True, text=True)
            what = f"{i}: {w}x{h}x{c}, {iterations} it, {threads} threads, {' '.join(kernels)}"
            if done.returncode:
                failures += 1
                print("FAILED", what, done.stderr.strip())
                continue
            ours = np.fromfile(at("q"), np.float32).reshape(c, -1)
            differing = int((ours.view(np.uint32) != q.view(np.uint32)).sum())
            pixels += w * h
            worst = max(worst, float(np.abs(ours - q).max()))
            if differing and not extra:
                failures += 1
                print("DIFFERS", what, f"{differing} of {q.size} values, largest difference {np.abs(ours - q).max()}")
    print(f"{count} cases, {pixels} pixels, {failures} failures, largest difference {worst}")
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, default=0, help="random cases to compare instead of writing goldens")
    parser.add_argument("--driver", help="the crate's `raw` example, built")
    parser.add_argument("--photos", help="folder of JPEG photographs for half of the live cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="compare fast mode: report the largest difference only")
    options = parser.parse_args()
    if options.live:
        sys.exit(live(options.live, options.driver, options.photos, options.seed, ["--fast"] if options.fast else []) > 0)
    write_golden(pathlib.Path(__file__).resolve().parent.parent / "testdata" / "densecrf")
