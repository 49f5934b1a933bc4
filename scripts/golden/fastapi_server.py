"""The peer of `bench serve`: the same model behind FastAPI, as one would write it
with care in Python.

uvicorn with uvloop and httptools, no access log; the loop only moves bytes. Images
are decoded by Pillow in a pool of threads, as the model's metadata says, with
torchvision's rule for the size and the crop. What waits when the session becomes
free runs as one batch, in a thread of its own; nothing waits for company. Largest
batches are as large as pays, measured at the start.

    POST /embed    an image; float32 numbers, little-endian
    POST /tensor   pixels, uint8 [S, S, 3]; the same
    GET  /ready    200 once it serves

With --workers 2 there are two such processes behind one port.
"""

import argparse
import asyncio
import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

sys.dont_write_bytecode = True

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Request, Response
from PIL import Image, UnidentifiedImageError

FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}


class Model:
    """A session, and what its file says of the pictures that it takes."""

    def __init__(self, path, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        pre = json.loads(self.session.get_modelmeta().custom_metadata_map["vicreg.preprocessing"])
        self.crop = pre["crop"]
        self.resize = pre.get("resize") or self.crop
        self.filter = FILTERS[pre["interpolation"]]

    def pixels(self, file):
        """An image file to uint8 [S, S, 3]."""
        image = Image.open(io.BytesIO(file)).convert("RGB")
        w, h = image.size
        if w < h:
            w, h = self.resize, int(self.resize * h / w)
        else:
            w, h = int(self.resize * w / h), self.resize
        image = image.resize((w, h), self.filter)
        x, y = round((w - self.crop) / 2), round((h - self.crop) / 2)
        return np.asarray(image.crop((x, y, x + self.crop, y + self.crop)))

    def run(self, pictures):
        return self.session.run(None, {"pixels": np.stack(pictures)})[0]

    def best_batch(self, most):
        """The smallest batch whose throughput is within 5 % of the best; it gives up
        after two sizes that were no better than those before, as vicreg does."""
        seen, top, idle = [], 0, 0
        for n in (2**i for i in range(most.bit_length())):
            if idle == 2:
                break
            pictures = [np.zeros((self.crop, self.crop, 3), np.uint8)] * n
            times = []
            for _ in range(3):
                begin, runs = time.perf_counter(), 0
                while runs == 0 or time.perf_counter() - begin < 0.03:
                    self.run(pictures)
                    runs += 1
                times.append((time.perf_counter() - begin) / runs)
            rate = n / min(times)
            idle = 0 if rate > 1.05 * top else idle + 1
            top = max(top, rate)
            seen.append((n, rate))
        return next(n for n, rate in seen if 1.05 * rate >= top)


class Batcher:
    """Runs what waits, up to a number of pictures at a time."""

    def __init__(self, model, most):
        self.model, self.most = model, most
        self.queue = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1)

    async def embed(self, pixels):
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((pixels, answer))
        return await answer

    async def work(self):
        loop = asyncio.get_running_loop()
        while True:
            items = [await self.queue.get()]
            while len(items) < self.most and not self.queue.empty():
                items.append(self.queue.get_nowait())
            try:
                rows = await loop.run_in_executor(self.thread, self.model.run, [pixels for pixels, _ in items])
            except Exception as error:
                for _, answer in items:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), row in zip(items, rows):
                if not answer.done():
                    answer.set_result(row)


def create_app():
    """The application, made in each process from the environment that main sets."""
    path, threads, most = os.environ["PEER_MODEL"], int(os.environ["PEER_THREADS"]), int(os.environ["PEER_MAX_BATCH"])

    @asynccontextmanager
    async def lifespan(app):
        model = Model(path, threads)
        app.state.model = model
        app.state.decoders = ThreadPoolExecutor(threads)
        app.state.batcher = Batcher(model, model.best_batch(most))
        worker = asyncio.create_task(app.state.batcher.work())
        yield
        worker.cancel()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    def numbers(row):
        return Response(row.astype("<f4", copy=False).tobytes(), media_type="application/octet-stream")

    @app.post("/embed")
    async def embed(request: Request):
        file = await request.body()
        state = request.app.state
        try:
            pixels = await asyncio.get_running_loop().run_in_executor(state.decoders, state.model.pixels, file)
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
            return Response("not an image", status_code=422)
        return numbers(await state.batcher.embed(pixels))

    @app.post("/tensor")
    async def tensor(request: Request):
        side = request.app.state.model.crop
        body = await request.body()
        if len(body) != 3 * side * side:
            return Response(f"want {3 * side * side} bytes", status_code=400)
        return numbers(await request.app.state.batcher.embed(np.frombuffer(body, np.uint8).reshape(side, side, 3)))

    @app.get("/ready")
    async def ready():
        return Response()

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2, help="of the session of each process, and decoders")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--max-batch", type=int, default=32)
    args = parser.parse_args()
    os.environ.update(PEER_MODEL=args.model, PEER_THREADS=str(args.threads), PEER_MAX_BATCH=str(args.max_batch))
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])
    uvicorn.run("fastapi_server:create_app", factory=True, host="127.0.0.1", port=args.port, workers=args.workers,
                loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
