"""Golden masks for `fcn crf`, made by pydensecrf as its users do; and a live comparison on photographs of one's own.

    python -m venv v && v/bin/pip install numpy==2.4.6 cython==3.3.1 pillow==13.0.0 pydensecrf2==1.1
    v/bin/python reference/crf_command_golden.py                                       # rewrites testdata/crf
    v/bin/python reference/crf_command_golden.py --fcn target/release/fcn PHOTO.jpg... # compares masks, writes nothing

The picture is drawn: a disc and a bar with grain. The probabilities are noisy and blurred versions of the truth, stored
in 16 bits so that they stay small; `fcn crf` reads them as they are, pydensecrf gets them as 32 bits.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pydensecrf.densecrf as dcrf
from PIL import Image
from pydensecrf.utils import unary_from_softmax

PRESETS = {"paper": ((3, 3), (80, 13, 10)), "reference": ((10, 3), (50, 20, 10))}


def refined(rgb, probabilities, preset, iterations=5):
    """Probabilities after the CRF, [classes, height, width]."""
    (g_sxy, g_compat), (b_sxy, b_srgb, b_compat) = PRESETS[preset]
    classes, height, width = probabilities.shape
    d = dcrf.DenseCRF2D(width, height, classes)
    d.setUnaryEnergy(unary_from_softmax(np.ascontiguousarray(probabilities, np.float32)))
    d.addPairwiseGaussian(sxy=g_sxy, compat=g_compat)
    d.addPairwiseBilateral(sxy=b_sxy, srgb=b_srgb, rgbim=np.ascontiguousarray(rgb), compat=b_compat)
    return np.array(d.inference(iterations), np.float32).reshape(classes, height, width)


def mask_of(q):
    return q.argmax(0).astype(np.uint8)


def blurred(planes, times):
    for _ in range(times):
        p = np.pad(planes, ((0, 0), (1, 1), (1, 1)), "edge")
        planes = (p[:, 1:-1, 1:-1] * 2 + p[:, :-2, 1:-1] + p[:, 2:, 1:-1] + p[:, 1:-1, :-2] + p[:, 1:-1, 2:]) / 6
    return planes


def noisy_probabilities(labels, classes, rng):
    scores = 1.5 * blurred(np.eye(classes)[labels].transpose(2, 0, 1), 6) + 2.0 * blurred(
        rng.standard_normal((classes, *labels.shape)), 1)
    e = np.exp(scores - scores.max(0))
    return e / e.sum(0)


def scene(rng):
    height, width = 29, 42
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), int)
    labels[(x - 14) ** 2 + (y - 13) ** 2 < 70] = 1
    labels[(x > 26) & (x < 34)] = 2
    colours = np.array([[90, 110, 80], [135, 95, 80], [90, 105, 130]])
    rgb = (colours[labels] + rng.integers(-25, 26, (height, width, 3))).clip(0, 255).astype(np.uint8)
    return rgb, noisy_probabilities(labels, 3, rng).astype(np.float16)


def write_golden(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rgb, probabilities = scene(np.random.default_rng(20111212))
    Image.fromarray(rgb).save(folder / "photo.png", optimize=True)
    np.save(folder / "probabilities.npy", probabilities)
    raw = mask_of(probabilities)
    for preset in PRESETS:
        mask = mask_of(refined(rgb, probabilities.astype(np.float32), preset))
        Image.fromarray(mask).save(folder / f"{preset}.png", optimize=True)
        print(f"{preset}: {(mask != raw).sum()} of {mask.size} pixels changed")


def compare(fcn, photos):
    rng = np.random.default_rng(1)
    pixels = different = 0
    worst = 0.0
    for photo in photos:
        rgb = np.array(Image.open(photo).convert("RGB"))
        height, width = rgb.shape[:2]
        labels = (rgb.astype(int).sum(2) // 128 + (np.arange(width)[None] * 3 // width)) % 7
        probabilities = noisy_probabilities(labels, 21, rng).astype(np.float32)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            # Photographs may be JPEGs, which two programs decode a little differently: both get the same pixels.
            Image.fromarray(rgb).save(folder / "photo.png")
            np.save(folder / "p.npy", probabilities)
            for preset in PRESETS:
                expected = refined(rgb, probabilities, preset)
                subprocess.run([fcn, "crf", folder / "photo.png", "--probabilities", folder / "p.npy", "--preset", preset,
                                "--out", folder / "m.png", "--save-probabilities", folder / "q.npy", "-q"], check=True,
                               stdout=subprocess.DEVNULL)
                mask, q = np.array(Image.open(folder / "m.png")), np.load(folder / "q.npy")
                different += int((mask != mask_of(expected)).sum())
                pixels += mask.size
                worst = max(worst, float(np.abs(q - expected).max()))
    print(f"{len(photos)} photographs, {pixels} pixels: {different} labels differ, probabilities by {worst:.1e} at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fcn")
    parser.add_argument("photos", nargs="*")
    options = parser.parse_args()
    if options.fcn:
        compare(options.fcn, options.photos)
    elif options.photos:
        sys.exit("photographs are compared with --fcn target/release/fcn")
    else:
        write_golden(pathlib.Path(__file__).parent.parent / "testdata" / "crf")


if __name__ == "__main__":
    main()
