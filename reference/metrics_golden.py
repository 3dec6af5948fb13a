"""Golden scores of label maps, from definitions written out in numpy.

Run:  python reference/metrics_golden.py > testdata/metrics/golden.json
With: Python 3.11-3.13, numpy 2.x. No other package; the generator below is seeded.

Confusion matrix by np.add.at; boundary bands by eroding each class mask with a 3x3 square, d times, the outside of the
image counting as background (Cheng et al. 2021, `mask_to_boundary` of the published code, without OpenCV).
"""

import json
import sys

import numpy as np

CLASSES, VOID = 6, 255


def erode(mask):
    padded = np.pad(mask, 1)
    out = np.ones_like(mask)
    h, w = mask.shape
    for dy in range(3):
        for dx in range(3):
            out &= padded[dy : dy + h, dx : dx + w]
    return out


def band(mask):
    h, w = mask.shape
    d = max(1, int(round(0.02 * np.sqrt(h * h + w * w))))
    inner = mask
    for _ in range(d):
        inner = erode(inner)
    return mask & ~inner


def confusion(truth, prediction):
    valid = truth < CLASSES
    table = np.zeros((CLASSES, 256), dtype=np.int64)
    np.add.at(table, (truth[valid], prediction[valid]), 1)
    return table


def mean(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def ious(table):
    square = table[:, :CLASSES]
    union = table.sum(1) + square.sum(0) - np.diag(square)
    return [None if u == 0 else float(n / u) for n, u in zip(np.diag(square), union)]


def scores(pairs):
    tables = [confusion(t, p) for t, p in pairs]
    table = sum(tables)
    truth = table.sum(1)
    hits = np.diag(table[:, :CLASSES])
    both, either = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
    for t, p in pairs:
        p = np.where(t == VOID, VOID, p)
        for c in range(CLASSES):
            a, b = band(t == c), band(p == c)
            both[c] += (a & b).sum()
            either[c] += (a | b).sum()
    iou = ious(table)
    return {
        "images": len(pairs),
        "pixel_accuracy": float(hits.sum() / truth.sum()) if truth.sum() else None,
        "mean_accuracy": mean([None if n == 0 else float(k / n) for k, n in zip(hits, truth)]),
        "miou": mean(iou),
        "fw_iou": float(sum(n * (v or 0.0) for n, v in zip(truth, iou)) / truth.sum()) if truth.sum() else None,
        "boundary_iou": mean([None if n == 0 else float(k / n) for k, n in zip(both, either)]),
        "mean_image_iou": mean([mean(ious(one)) for one in tables]),
        "classes_absent": sum(v is None for v in iou),
        "confusion": table[:, :CLASSES].tolist(),
    }


def blobs(rng, h, w, ids):
    out = np.zeros((h, w), np.uint8)
    for _ in range(9):
        cy, cx, ry, rx = rng.integers(h), rng.integers(w), rng.integers(1, h // 2 + 2), rng.integers(1, w // 2 + 2)
        y, x = np.ogrid[:h, :w]
        out[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = rng.choice(ids)
    return out


def runs(ids):
    flat, out, start = ids.ravel(), [], 0
    for i in range(1, len(flat) + 1):
        if i == len(flat) or flat[i] != flat[start]:
            out.append(f"{i - start}*{flat[start]}")
            start = i
    return " ".join(out)


def main():
    rng = np.random.default_rng(20150608)
    groups = []
    for name, sizes, truth_ids, prediction_ids in [
        ("several sizes with void", [(48, 64), (61, 40), (7, 90)], [0, 1, 2, 3, VOID], [0, 1, 2, 4]),
        ("one pixel", [(1, 1)], [2], [2]),
        ("void and unknown ids predicted", [(40, 40), (33, 57)], [0, 1, 5, VOID], [0, 1, 5, 9, VOID]),
        ("a wide band", [(150, 120)], [0, 1, 2], [0, 1, 2]),
    ]:
        pairs = []
        for h, w in sizes:
            truth = blobs(rng, h, w, truth_ids)
            drawn = blobs(rng, h, w, prediction_ids)
            keep = blobs(rng, h, w, [0, 1]).astype(bool)
            pairs.append((truth, np.where(keep & (truth != VOID), truth, drawn)))
        groups.append({
            "name": name,
            "images": [{"width": t.shape[1], "truth": runs(t), "prediction": runs(p)} for t, p in pairs],
            "scores": scores(pairs),
        })
    void = np.full((3, 4), VOID, np.uint8)
    groups.append({
        "name": "nothing but void",
        "images": [{"width": 4, "truth": runs(void), "prediction": runs(void * 0)}],
        "scores": scores([(void, void * 0)]),
    })
    json.dump({"classes": CLASSES, "groups": groups}, sys.stdout, indent=1)
    print()


main()
