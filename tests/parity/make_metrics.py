"""Writes tests/goldens/metrics.json: scikit-learn's values for predictions with ties and degenerate cases.

    python tests/parity/make_metrics.py            make the file in place
    python tests/parity/make_metrics.py --check    make it in memory and compare; exit 1 if it differs

Install tests/parity/requirements.txt first. The file is {"cases": [...], "counts": [...]}.

A case has `name`, `weights` (of the classes in the loss), `values` (metric: value, null where scikit-learn
says NaN), `confusion` and predictions: either `labels` and `logits` (one [logit0, logit1] a residue, float32),
or `residues` alone, the number of predictions of the formula in `formula()`. Labels below 0 are left out.
A case of `counts` is a confusion matrix {tp, fp, tn, fn} too large to list, and its `mcc`.
"""

import argparse
import json
import math
import pathlib
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics
from same import LAST_BITS, close

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "metrics.json"
SCIKIT_LEARN = "1.9.1"


def precision_at_recall(labels, scores, recall):
    precisions, recalls, _ = metrics.precision_recall_curve(labels, scores)
    return max(precisions[:-1][recalls[:-1] >= recall])  # the last point, (1, 0), is no threshold


def evaluate(labels, logits, weights):
    """Values by name, and the confusion matrix, of the labelled residues."""
    known = labels >= 0
    labels, logits = labels[known], logits[known]
    scores = logits[:, 1] - logits[:, 0]
    predicted = logits.argmax(axis=1)
    odds = logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64)
    probabilities = 1 / (1 + np.exp(np.stack([odds, -odds], axis=1)))
    tn, fp, fn, tp = metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel()

    def log_loss(sample_weight):
        return metrics.log_loss(labels, probabilities, labels=[0, 1], sample_weight=sample_weight)

    values = {
        "loss": log_loss(np.take(weights, labels)),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "precision": metrics.precision_score(labels, predicted, zero_division=0),
        "recall": metrics.recall_score(labels, predicted, zero_division=0),
        "f1": metrics.f1_score(labels, predicted, zero_division=0),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "auc_card": metrics.balanced_accuracy_score(labels, predicted),
        "loss_unweighted": log_loss(None),
        "roc_auc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "prevalence": labels.mean(),
        "specificity": metrics.recall_score(labels, predicted, pos_label=0, zero_division=0),
        "precision_at_recall_50": precision_at_recall(labels, scores, 0.5),
        "precision_at_recall_80": precision_at_recall(labels, scores, 0.8),
    }
    values = {name: None if math.isnan(value) else float(value) for name, value in values.items()}
    return values, {"tp": int(tp), "fp": int(fp), "tn": int(tn), "fn": int(fn)}


def formula(residues):
    """Predictions that both languages can make: about 3 % positive, scores in steps of 1/256."""
    i = np.arange(residues, dtype=np.int64)
    labels = (i * 16807 % 31 == 0).astype(np.int64)
    logit0 = (i * 48271 % 2003 - 1001) / 256
    logit1 = (i * 69621 % 1999 - 999) / 256 + 1.5 * labels
    return labels, np.stack([logit0, logit1], axis=1).astype(np.float32)


def listed():
    """(name, labels, logits, weights) of each case whose predictions are in the file."""
    random = np.random.default_rng(29)

    def draw(residues, prevalence, shift):
        labels = (random.random(residues) < prevalence).astype(np.int64)
        logits = random.normal(0, 2, (residues, 2)).astype(np.float32)
        logits[:, 1] += (shift * labels).astype(np.float32)
        return labels, logits

    ramp = np.stack([np.zeros(40), np.linspace(-3, 3, 40)], axis=1).astype(np.float32)
    upper = (np.arange(40) >= 20).astype(np.int64)

    labels, logits = draw(200, 0.2, 1.5)
    yield "random", labels, logits, [1, 1]
    yield "weights", labels, logits, [0.5157, 16.4235]
    yield "a weight of zero", labels, logits, [0, 3]
    yield "unknown labels", np.where(random.random(200) < 0.4, -1, labels), logits, [0.5, 2]
    yield "single class 0", np.zeros_like(labels), logits, [0.5, 2]
    yield "single class 1", np.ones_like(labels), logits, [0.5, 2]
    labels, logits = draw(300, 0.3, 1)
    yield "heavy ties", labels, np.round(logits), [1, 4]
    yield "rare positives", *draw(300, 0.02, 3), [0.5, 25]
    yield "equal scores", labels, np.zeros_like(logits), [1, 1]
    yield "equal scores above zero", labels, np.tile(np.float32([0, 0.5]), (300, 1)), [1, 1]
    yield "scores one float apart", labels, np.stack(
        [np.zeros(300), np.nextafter(np.float32(1), np.float32(2), dtype=np.float32) * (labels == 0) + (labels == 1)],
        axis=1,
    ).astype(np.float32), [1, 1]
    yield "perfect", upper, ramp, [1, 1]
    yield "inverted", 1 - upper, ramp, [1, 1]
    yield "no predicted positives", upper, ramp - np.float32([0, 10]), [1, 1]
    yield "no predicted negatives", upper, ramp + np.float32([0, 10]), [1, 1]
    yield "large logits", upper, ramp * np.float32(10) + np.float32([1e4, 1e4]), [1, 2]
    for label in [0, 1]:
        for logit1 in [-0.25, 0.75]:
            yield f"one sample, {label} at {logit1}", np.array([label]), np.float32([[0, logit1]]), [0.5, 2]


def make():
    assert sklearn.__version__ == SCIKIT_LEARN, f"expected scikit-learn {SCIKIT_LEARN}, found {sklearn.__version__}"
    warnings.simplefilter("ignore")  # the degenerate cases are meant
    cases = []
    for name, labels, logits, weights in listed():
        values, confusion = evaluate(labels, logits, weights)
        cases.append(
            {"name": name, "weights": weights, "labels": labels.tolist(), "logits": logits.tolist(),
             "values": values, "confusion": confusion}
        )
    labels, logits = formula(100_000)
    values, confusion = evaluate(labels, logits, [0.5, 16])
    cases.append({"name": "formula", "weights": [0.5, 16], "residues": 100_000, "values": values, "confusion": confusion})

    counts = []
    for tp, fp, tn, fn in [
        (10**12, 3 * 10**12, 7 * 10**12, 2 * 10**12),
        (999_999_999_989, 123_456_789_012, 987_654_321_098, 333_333_333_331),
        (2**32, 2**32, 2**33, 2**32),
    ]:
        mcc = metrics.matthews_corrcoef([1, 0, 0, 1], [1, 1, 0, 0], sample_weight=[tp, fp, tn, fn])
        counts.append({"tp": tp, "fp": fp, "tn": tn, "fn": fn, "mcc": float(mcc)})
    lines = ",\n".join(json.dumps(case) for case in cases)
    return '{"cases": [\n' + lines + '\n],\n"counts": ' + json.dumps(counts) + "}\n"


def main():
    parser = argparse.ArgumentParser(description="Make or check tests/goldens/metrics.json.")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    text = make()
    if not parser.parse_args().check:
        GOLDEN.write_text(text)
    elif not close(json.loads(text), json.loads(GOLDEN.read_text()), LAST_BITS):
        sys.exit(f"{GOLDEN}: expected what scikit-learn {SCIKIT_LEARN} computes, found other values")


if __name__ == "__main__":
    main()
