"""Writes tests/goldens/statistics.json: what scikit-learn, scipy and numpy make of small samples.

    python tests/parity/make_statistics.py            make the file in place
    python tests/parity/make_statistics.py --check    make it in memory and compare; exit 1 if it differs

Install tests/parity/requirements.txt first. What the file holds is said where it is made: `curves()`,
`calibration()`, `distributions()`, `bootstrap()`. Not a number is null, and so is an infinite threshold.
"""

import argparse
import json
import math
import pathlib
import sys
import types
import warnings

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import calibration as sklearn_calibration
from sklearn import linear_model, metrics
from same import LAST_BITS, close

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "goldens" / "statistics.json"
PINNED = {"scikit-learn": (sklearn, "1.9.1"), "scipy": (scipy, "1.17.1"), "numpy": (np, "2.4.6")}


def rankings():
    """(name, labels, scores) of each sample; scores are float32."""
    random = np.random.default_rng(41)

    def draw(residues, prevalence, shift):
        labels = (random.random(residues) < prevalence).astype(np.int64)
        return labels, (random.normal(-1, 2, residues) + shift * labels).astype(np.float32)

    ramp = np.linspace(-3, 3, 24).astype(np.float32)
    upper = (np.arange(24) >= 15).astype(np.int64)
    labels, scores = draw(120, 0.25, 1.5)
    yield "random", labels, scores
    yield "ties", labels, np.round(scores)
    yield "far from zero", labels, (np.round(scores * 8) / 8 + 1000).astype(np.float32)
    yield "rare", *draw(150, 0.03, 3)
    yield "equal scores", labels[:30], np.full(30, 0.75, np.float32)
    yield "zero scores", labels[:30], np.zeros(30, np.float32)
    yield "separated", upper, ramp
    yield "separated but for a tie", upper, np.where(np.arange(24) == 14, ramp[15], ramp)
    yield "inverted", 1 - upper, ramp
    yield "no sites", np.zeros(24, np.int64), ramp
    yield "only sites", np.ones(24, np.int64), ramp
    yield "one residue", np.array([1]), np.float32([0.5])


def curves(labels, scores):
    """scikit-learn's curves; `best`: metric: [threshold, value], the highest of equally good thresholds, null
    where calling nothing a site is best; `precision_at_recall`: recall: [threshold, precision]."""
    fpr, tpr, roc_thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
    candidates = np.concatenate([[np.inf], np.unique(scores)[::-1]])

    def best(metric):
        values = [metric(labels, (scores >= threshold).astype(np.int64)) for threshold in candidates]
        return [candidates[np.argmax(values)], max(values)]

    def precision_at(wanted):
        if labels.sum() == 0:
            return [math.inf, 0]
        enough = np.flatnonzero(recall[:-1] >= wanted)[::-1]  # from the highest threshold
        chosen = enough[np.argmax(precision[enough])]
        return [thresholds[chosen], precision[chosen]]

    return {
        "false_positive_rate": fpr, "true_positive_rate": tpr, "roc_thresholds": roc_thresholds,
        "precision": precision, "recall": recall, "thresholds": thresholds,
        "best": {"f1": best(lambda y, p: metrics.f1_score(y, p, zero_division=0)), "mcc": best(metrics.matthews_corrcoef)},
        "precision_at_recall": {str(r): precision_at(r) for r in [0.2, 0.5, 0.8, 1.0]},
    }


def logistic(x, labels, intercept, smoothed):
    """(slope, intercept) by scikit-learn without a penalty, on x centred for its solver's sake. Smoothed labels
    enter as both labels, each with its weight."""
    centre = x.mean() if intercept else 0.0
    sites, others = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (sites + 1) / (sites + 2), 1 / (others + 2)) if smoothed else labels
    model = linear_model.LogisticRegression(C=np.inf, fit_intercept=intercept, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    weight = np.concatenate([targets, 1 - targets])
    both = np.concatenate([np.ones(len(x)), np.zeros(len(x))])
    model.fit(np.concatenate([x - centre, x - centre])[weight > 0, None], both[weight > 0], sample_weight=weight[weight > 0])
    slope = model.coef_[0, 0]
    return slope, (model.intercept_[0] if intercept else 0.0) - slope * centre


def calibration(name, labels, scores):
    """`platt`: [slope, intercept], and `separated`; `temperature`: [offset, slope, intercept]. Absent where there is
    nothing to fit. Under the log-odds 0.7 * score - 0.4: `brier`, `log_loss`, and for uniform and quantile bins
    [predicted, observed, residues] of each and the `error` expected."""
    x = scores.astype(np.float64)
    separated = name in {"separated", "separated but for a tie", "inverted"}
    result = {}
    if 0 < labels.sum() < len(labels):
        if np.ptp(x) > 0:
            result["platt"] = logistic(x, labels, True, separated)
            result["separated"] = separated
        offset = -0.5  # at which none of the samples is separated
        slope, _ = logistic(x + offset, labels, False, False)
        result["temperature"] = [offset, slope, slope * offset]
    p = 1 / (1 + np.exp(-(0.7 * x - 0.4)))
    result["brier"] = metrics.brier_score_loss(labels, p, pos_label=1)
    result["log_loss"] = np.mean(np.logaddexp(0, 0.7 * x - 0.4) - labels * (0.7 * x - 0.4))
    for strategy in ["uniform", "quantile"]:
        observed, predicted = sklearn_calibration.calibration_curve(labels, p, n_bins=7, strategy=strategy)
        edges = np.linspace(0, 1, 8) if strategy == "uniform" else np.percentile(p, np.linspace(0, 1, 8) * 100)
        counts = np.bincount(np.searchsorted(edges[1:-1], p), minlength=7)
        counts = counts[counts > 0]
        result[strategy] = [predicted, observed, counts]
        result[strategy + "_error"] = np.sum(counts / len(p) * np.abs(predicted - observed))
    return result


def distributions():
    """`normal`: [p, quantile]; `student`: [p, degrees of freedom, quantile, P(T <= 1.3)]."""
    probabilities = [1e-12, 1e-4, 0.025, 0.3, 0.5, 0.9, 0.975, 0.99999]
    freedoms = [1, 1.7, 4, 12.25, 80, 5000.5]
    return {
        "normal": [[p, stats.norm.ppf(p)] for p in probabilities],
        "student": [[p, df, stats.t.ppf(p, df), stats.t.cdf(1.3, df)] for p in probabilities for df in freedoms],
    }


def philox(key, counter):
    """Philox4x32-10 (Salmon et al., 2011)."""
    k, c = list(key), list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def draws(seed, resample, counts):
    """Indices drawn with replacement for each count in turn, as metrics/bootstrap.hpp draws them."""
    words = (w for block in range(2**20) for w in philox([seed & 0xFFFFFFFF, seed >> 32], [block, resample, 0, 0xB0000000]))

    def below(bound):
        while True:
            product = next(words) * bound
            if product & 0xFFFFFFFF >= (2**32 - bound) % bound:
                return product >> 32

    return [np.array([below(count) for _ in range(count)]) for count in counts]


def intervals(arm, reference, statistic, seeds, groups):
    """Of the mean over seeds of statistic(run, groups), or its difference: scipy's intervals from the library's draws,
    and Student's from the analysis of variance of pseudo-values."""

    def value(group_indices, seed_indices):
        def level(table):
            return np.mean([statistic(table[int(s)], group_indices.astype(int)) for s in seed_indices])

        return level(arm) - (level(reference) if reference is not None else 0)

    sample = (np.arange(groups), np.arange(seeds))
    distribution = np.array([value(*draws(2**40 + 3, i, [groups, seeds])) for i in range(499)])
    result = {"estimate": value(*sample), "resamples": distribution[:20]}
    for method in ["percentile", "BCa"]:
        interval = stats.bootstrap(
            sample, value, n_resamples=0, vectorized=False, method=method, confidence_level=0.9,
            bootstrap_result=types.SimpleNamespace(bootstrap_distribution=distribution),
        ).confidence_interval
        result[method.lower()] = [interval.low, interval.high]
    all_groups = np.arange(groups)
    table = np.array([
        [groups * value(all_groups, np.array([s])) - (groups - 1) * value(np.delete(all_groups, g), np.array([s])) for g in all_groups]
        for s in range(seeds)
    ])
    mean = table.mean()
    seed_effects, group_effects = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    residuals = table - mean - seed_effects[:, None] - group_effects[None, :]
    freedoms = np.array([seeds - 1.0, groups - 1.0, (seeds - 1.0) * (groups - 1.0)])
    squares = np.array([groups * np.sum(seed_effects**2), seeds * np.sum(group_effects**2), np.sum(residuals**2)]) / freedoms
    coefficients = np.array([squares[0] > squares[2], squares[1] > squares[2], 1.0])
    coefficients[2] = 1 - coefficients[0] - coefficients[1]
    total = coefficients @ squares
    freedoms[1] = min(freedoms[1], 3 * np.sum(group_effects**2) ** 2 / np.sum(group_effects**4))
    freedom = total**2 / np.sum((coefficients * squares) ** 2 / freedoms)
    half = stats.t.ppf(0.95, freedom) * math.sqrt(total / table.size)
    result["student"] = [result["estimate"] - half, result["estimate"] + half]
    result["freedom"] = freedom
    return result


def bootstrap():
    """Runs (seeds, groups) of two arms, in 90 % intervals. `values` of a mean over groups, null where undefined;
    `counts` [tp, fp, tn, fn] of a pooled F1. Each has `arm`, `reference`, and what came out: `level`, `difference`."""
    random = np.random.default_rng(43)
    seeds, groups = 5, 12
    level = random.beta(2, 3, groups)

    def runs(shift):
        effects = random.normal(0, 0.03, (seeds, 1)) + random.normal(0, 0.05, (seeds, groups))
        return np.clip(level + shift + effects, 0, 1)

    def counts(shift):
        sizes = np.array([3, 5, 8, 13, 20, 40, 5, 7, 9, 11, 150, 4])
        tp = np.minimum(random.binomial(sizes, np.clip(level + shift, 0.05, 0.95), (seeds, groups)), sizes)
        fp = random.binomial(sizes * 8, 0.1, (seeds, groups))
        return np.stack([tp, fp, sizes * 30 - fp, sizes - tp], axis=-1)

    def mean(run, indices):
        return run[indices].mean()

    def f1(run, indices):
        tp, fp, _, fn = run[indices].sum(axis=0)
        return 2 * tp / (2 * tp + fp + fn)

    result = {}
    for name, arm, reference, statistic in [
        ("values", runs(0.05), runs(0), mean), ("counts", counts(0.1), counts(0), f1),
    ]:
        found = {
            "level": intervals(arm, None, statistic, seeds, groups),
            "difference": intervals(arm, reference, statistic, seeds, groups),
        }
        if name == "values":  # two groups that no run defines, and that change nothing
            arm, reference = (np.insert(table, [0, 7], np.nan, axis=1) for table in (arm, reference))
        result[name] = {"arm": arm, "reference": reference, **found}
    return result


def plain(value):
    """For JSON: lists, and null for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(of) for of in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, (np.integer, int)):
        return int(value)
    if isinstance(value, (np.floating, float)):
        return float(value) if math.isfinite(value) else None
    return value


def make():
    for name, (module, version) in PINNED.items():
        assert module.__version__ == version, f"expected {name} {version}, found {module.__version__}"
    warnings.simplefilter("ignore")  # the degenerate cases are meant
    samples = [
        {"name": name, "labels": labels, "scores": scores, "curves": curves(labels, scores),
         "calibration": calibration(name, labels, scores)}
        for name, labels, scores in rankings()
    ]
    lines = ",\n".join(json.dumps(plain(sample)) for sample in samples)
    rest = "".join(f',\n"{made.__name__}": {json.dumps(plain(made()))}' for made in [distributions, bootstrap])
    return '{"samples": [\n' + lines + "\n]" + rest + "}\n"


def main():
    parser = argparse.ArgumentParser(description="Make or check tests/goldens/statistics.json.")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    text = make()
    if not parser.parse_args().check:
        GOLDEN.write_text(text)
    elif not close(json.loads(text), json.loads(GOLDEN.read_text()), LAST_BITS):
        sys.exit(f"{GOLDEN}: expected what the pinned versions compute, found other values")


if __name__ == "__main__":
    main()
