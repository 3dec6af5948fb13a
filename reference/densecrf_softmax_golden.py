"""Golden hashes of the way from probabilities to marginals: numpy's logarithm and pydensecrf's unary_from_softmax.

    python -m venv v && v/bin/pip install numpy==2.4.6 pydensecrf2==1.1
    v/bin/python reference/densecrf_softmax_golden.py          # rewrites testdata/densecrf/softmax.txt

numpy has two logarithms of 32-bit floats: on x86-64 processors with AVX2 and FMA (its feature group X86_V3), with AVX-512
or without, a rational function of its own, and the C library's logf elsewhere. This script wants the first. It gives the
same file with NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL". Made on x86-64 Linux, glibc 2.36, CPython 3.11, AMD EPYC (Zen 4).
"""
import pathlib

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__
from pydensecrf.utils import unary_from_softmax

from densecrf_golden import PAPER, digest, fraction, infer, picture

ONE = 0x3F800000

# First bits, distance and number of the arguments, all in (0, 1]: every 1009th; the smallest normal and the largest
# subnormal numbers; around sqrt(1/2), where the range of the rational function is folded; the last before 1.
LOGARITHMS = [
    (1, 1009, (ONE - 1) // 1009 + 1),
    (0x00800000 - 50_000, 1, 100_000),
    (0x3F3504F3 - 50_000, 1, 100_000),
    (ONE - 99_999, 1, 100_000),
]

# Name, width, height, labels, iterations, picture, seed.
PROBLEMS = [
    ("two", 37, 29, 2, 5, "blocks", 7001),
    ("five", 40, 31, 5, 3, "noise", 7002),
    ("voc", 65, 49, 21, 5, "blocks", 7003),
]


def probabilities(w, h, c, seed):
    """A softmax in all but name: fourth powers of drawn fractions over their sum, label after label; some below 1e-5."""
    p = fraction(seed, c * h * w).reshape(c, h, w)
    p = p * p
    p = p * p
    total = p[0].copy()
    for label in range(1, c):
        total += p[label]
    return p / total


def main():
    assert __cpu_features__["X86_V3"], "this processor has no AVX2 and FMA: numpy takes the C library's logarithm"
    lines = [
        "# log first-bits step count digest(-log of the floats with these bits)",
        "# crf name width height labels iterations picture seed digest(unary_from_softmax) digest(marginals)",
    ]
    for first, step, count in LOGARITHMS:
        x = (first + step * np.arange(count, dtype=np.int64)).astype(np.uint32).view(np.float32)
        assert 0 < x[0] and x[-1] <= 1
        lines.append(f"log {first:x} {step} {count} {digest(-np.log(x)):016x}")
    for name, w, h, c, iterations, kind, seed in PROBLEMS:
        p = probabilities(w, h, c, seed)
        assert p.dtype == np.float32 and (p < 1e-5).any()
        u = unary_from_softmax(p)
        q = infer(w, h, c, iterations, u, picture(w, h, kind, seed), PAPER, seed)
        lines.append(f"crf {name} {w} {h} {c} {iterations} {kind} {seed} {digest(u):016x} {digest(q):016x}")
    path = pathlib.Path(__file__).parent.parent / "testdata/densecrf/softmax.txt"
    path.write_text("\n".join(lines) + "\n")
    print(f"{path}: {len(lines) - 2} lines")


if __name__ == "__main__":
    main()
