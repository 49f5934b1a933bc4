"""What a device does at best: bytes a second of a large copy, and operations a
second of large matrix products, as PyTorch's libraries reach them.

A time is the median over rounds that are waited for; a copy counts what is read
and what is written. The numbers are random: zeros multiply faster.
"""

import argparse
import statistics
import time

import torch


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    p.add_argument("--quick", action="store_true", help="small sizes")
    args = p.parse_args()
    device = torch.device(args.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def seconds(work, count, rounds=5):
        times = []
        for _ in range(rounds + 1):
            wait()
            start = time.perf_counter()
            for _ in range(count):
                work()
            wait()
            times.append((time.perf_counter() - start) / count)
        return statistics.median(times[1:])

    figures = {}
    source = torch.randn((1 << 20) if args.quick else (1 << 29), device=device)
    target = torch.empty_like(source)
    figures["copy_gb_s"] = 2 * 4 * source.numel() / seconds(lambda: target.copy_(source), 5) / 1e9
    del source, target
    n = 256 if args.quick else 8192
    kinds = [("fp32", torch.float32, False)]
    if device.type == "cuda":
        kinds += [("tf32", torch.float32, True), ("fp16", torch.float16, False), ("bf16", torch.bfloat16, False)]
    for name, dtype, tf32 in kinds:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        figures[f"{name}_tflop_s"] = 2 * n**3 / seconds(lambda: a @ b, 3) / 1e12
    if device.type == "cuda":
        print(f"  {torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    print("bench ceilings " + " ".join(f"{k}={v:.4g}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
