"""The peer of `bench index`: exact searches with faiss, or with NumPy.

    index_faiss.py METHOD BASE ASKED CENTER N D THREADS

METHOD is flat (IndexFlatIP), sq8 (IndexScalarQuantizer with QT_8bit) or numpy (one
matrix product and a partial sort). BASE and ASKED are files of float32 rows [*, D],
of which the first N of BASE are searched and those of ASKED are searched for; both
less the row in CENTER and scaled to length 1.

Commands are read from stdin, one a line, and each is answered by one line of JSON:
"single SECONDS" searches for one vector after the other, "batch SIZE SECONDS" for
SIZE at once, both answered by {"n": vectors searched for, "seconds": time}; "hits
COUNT" is answered by {"hits": [the numbers of the ten nearest rows, best first, of
each of the first COUNT]}. The first line, unasked, names the version. The process
ends with its input.
"""

import json
import os
import sys
import time

method, base, asked, center, n, d, threads = sys.argv[1:]
n, d, threads = int(n), int(d), int(threads)
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(threads)
sys.dont_write_bytecode = True

import numpy as np

K = 10


def unit(rows):
    x = rows - np.fromfile(center, np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def chunks(of=50_000):
    rows = np.memmap(base, np.float32, "r").reshape(-1, d)[:n]
    for i in range(0, n, of):
        yield unit(rows[i : i + of])


class Faiss:
    def __init__(self):
        import faiss

        faiss.omp_set_num_threads(threads)
        self.name = f"faiss {faiss.__version__} {method}"
        if method == "flat":
            self.index = faiss.IndexFlatIP(d)
        else:
            self.index = faiss.IndexScalarQuantizer(d, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        for x in chunks():
            if not self.index.is_trained:
                self.index.train(x)
            self.index.add(x)

    def search(self, queries):
        return self.index.search(queries, K)[1]


class NumPy:
    def __init__(self):
        self.name = f"NumPy {np.__version__}"
        self.x = np.concatenate(list(chunks()))

    def search(self, queries):
        scores = queries @ self.x.T
        best = np.argpartition(scores, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)


def timed(index, queries, size, seconds):
    """Searches for size queries at once, going round, for at least the time."""
    begin, done = time.perf_counter(), 0
    while True:
        first = done % (len(queries) - size + 1)
        index.search(queries[first : first + size])
        done += size
        took = time.perf_counter() - begin
        if took >= seconds:
            return {"n": done, "seconds": took}


def main():
    index = NumPy() if method == "numpy" else Faiss()
    queries = unit(np.fromfile(asked, np.float32).reshape(-1, d))
    say = lambda answer: print(json.dumps(answer), flush=True)
    say({"name": index.name})
    for line in sys.stdin:
        match line.split():
            case ["single", seconds]:
                say(timed(index, queries, 1, float(seconds)))
            case ["batch", size, seconds]:
                say(timed(index, queries, int(size), float(seconds)))
            case ["hits", count]:
                say({"hits": index.search(queries[: int(count)]).tolist()})
            case _:
                sys.exit(f"no command {line!r}")


main()
