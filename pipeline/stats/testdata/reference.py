"""Reference values of pipeline/stats, computed apart from it in float64 by numpy.

Remake: python pipeline/stats/testdata/reference.py > pipeline/stats/testdata/reference.json
Made with numpy 2.4.6.
"""
import json

import numpy as np


def matrix(n, d, seed):
    """The matrix of the same name in stats_test.go: no generator to agree on."""
    i = np.arange(n * d, dtype=np.int64)
    return (((i * i * 7 + i * seed + 3) % 1009) / 1009 - 0.5).astype(np.float32).reshape(n, d)


def unit(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def measures(n, d):
    a = matrix(n, d, 11).astype(np.float64)
    b = matrix(n, d, 29).astype(np.float64)
    b = (a + b * 0.6).astype(np.float32).astype(np.float64)
    sv = np.linalg.svd(a, compute_uv=False)
    p = sv / sv.sum() + 1e-7
    centred = a - a.mean(0)
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(1)])[:, None]
    corr = np.abs(np.corrcoef(a.T))
    sims = unit(a) @ unit(b).T
    return {
        "N": n, "D": d,
        "SingularValues": sv.tolist(),
        "RankMe": np.exp(-(p * np.log(p)).sum()),
        "Variance": (s[:2] ** 2 / (n - 1)).tolist(),
        "Total": (s ** 2).sum() / (n - 1),
        "Axes": axes.ravel().tolist(),
        "Projected": (centred @ axes.T).ravel().tolist(),
        "ColumnStd": a.std(0, ddof=1).tolist(),
        "NormalizedStd": unit(a).std(0, ddof=1).mean(),
        "ShareBelow03": (a.std(0, ddof=1) < 0.3).mean(),
        "MeanAbsCorrelation": (corr.sum() - d) / (d * (d - 1)),
        "Cosine": np.diag(sims).mean(),
        "Top1": (sims.argmax(1) == np.arange(n)).mean(),
    }


def neighbours():
    base, queries = (unit(matrix(n, 6, s).astype(np.float64)) for n, s in ((40, 5), (15, 17)))
    labels = np.arange(40) * 7 % 3
    sims = queries @ base.T
    order = np.argsort(-sims, axis=1, kind="stable")
    sims = np.take_along_axis(sims, order, 1)
    votes = []
    for k, t in ((5, 0.07), (5, 1.0), (20, 0.1)):
        w = np.exp(sims[:, :k] / t)
        sums = np.stack([(w * (labels[order[:, :k]] == c)).sum(1) for c in range(3)], 1)
        votes.append({"K": k, "T": t, "Classes": sums.argmax(1).tolist()})
    return {"Order": order[:, :20].tolist(), "Similarity": sims[:, :20].tolist(), "Votes": votes}


print(json.dumps({"Measures": [measures(12, 5), measures(5, 12)], "Neighbors": neighbours()}, indent=1))
