"""Multinomial logistic regression by scikit-learn, fitted to its last digits.

Vectors [N, D] come from u(): each kind has a mean of its own, dimensions have spreads
of three orders of magnitude and share a part, and the kinds are not equally many. Columns are
standardised by StandardScaler on the training rows. For each L2 the fixture has the
objective at its minimum, the mean cross-entropy plus L2/2 of the squared weights
(C = 1/(L2 N)), the weights [K, D], the intercepts [K] and the scores of the test rows.
"""

import warnings

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

import golden

KINDS, DIM = 4, 24


def samples(name, count):
    """Vectors and labels, the same as in pipeline/linear/golden_test.go."""
    labels = np.array([(i * i * i + i) % 11 % KINDS for i in range(count)], dtype=np.int64)
    means = golden.fill("linear/means", (KINDS, DIM), 0.5)
    spread = np.float32(2) ** golden.fill("linear/spread", (DIM,), 5).round()
    shared = golden.fill(name + "/shared", (count, 1))
    x = golden.fill(name, (count, DIM)) + means[labels] + shared
    return (x * spread).astype(np.float32), labels


def main():
    x, y = samples("linear/train", 300)
    test, wanted = samples("linear/test", 200)
    scaler = StandardScaler().fit(x.astype(np.float64))
    x, test = scaler.transform(x.astype(np.float64)), scaler.transform(test.astype(np.float64))
    out = {"labels/train": y, "labels/test": wanted}
    strengths = [1.0, 0.03, 0.001]
    for l2 in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            c = LogisticRegression(C=1 / (l2 * len(y)), solver="lbfgs", tol=1e-9, max_iter=10000).fit(x, y)
        p = c.predict_proba(x)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + l2 / 2 * (c.coef_ ** 2).sum()
        scores = c.decision_function(test)
        case = f"{l2:g}/"
        out[case + "loss"] = np.array([loss])
        out[case + "weights"], out[case + "intercepts"] = c.coef_, c.intercept_
        out[case + "scores"] = scores
        out[case + "accuracy"] = np.array([c.score(test, wanted), balanced_accuracy_score(wanted, scores.argmax(1))])
        top = np.sort(scores, axis=1)
        print(case, loss, out[case + "accuracy"], "closest two scores", (top[:, -1] - top[:, -2]).min())
    golden.save("linear.safetensors", out, strengths=strengths, sklearn=sklearn.__version__)


if __name__ == "__main__":
    main()
