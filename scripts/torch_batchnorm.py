#!/usr/bin/env python3
"""How fast PyTorch's batch_norm is on the tensors that cargo bench measures (benches/shapes.txt), in float32: on the
CPU, and where there is one on a CUDA GPU, with PyTorch's own kernels and with cuDNN's, beside a copy. Writes torch.json
to $CARGO_TARGET_DIR, or else to ./target. Needs torch alone.

    python3 scripts/torch_batchnorm.py [--filter REGEX] [--test]
"""
import argparse
import contextlib
import json
import os
import re
import statistics
import time

import torch
from torch.nn.functional import batch_norm

# Reads and writes of the tensor, as in testkit/src/bench/shapes.rs.
TENSORS_MOVED = {"training_forward": 3, "evaluation": 2, "backward": 5, "training_step": 8}
TENSORS_COPIED = 2
WARM_UP, MEASURE, SAMPLES = 0.2, 0.5, 9


def shapes(*groups):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../benches/shapes.txt")
    group, names = None, []
    for line in open(path).read().split("\n"):
        if line.startswith("["):
            group = line.strip("[]")
        elif line and not line.startswith("#") and group in groups:
            names.append(line)
    return names


class Tensors:
    """A layer's tensors, and the works on them."""

    def __init__(self, name, device):
        axes = [int(axis) for axis in name.removesuffix("_last").split("x")]
        layout = torch.channels_last if name.endswith("_last") else torch.contiguous_format
        normal = lambda mean, std: torch.empty(axes, device=device, memory_format=layout).normal_(mean, std)
        filled = lambda value: torch.full(axes[1:2], value, device=device)
        self.x, self.dy = normal(0.5, 2.0).requires_grad_(), normal(0.1, 1.0)
        self.weight, self.bias = filled(1.0).requires_grad_(), filled(0.0).requires_grad_()
        self.running = filled(0.0), filled(1.0)
        self.copied = torch.empty_like(self.dy)
        self.y = None

    def normalized(self, training):
        return batch_norm(self.x, *self.running, self.weight, self.bias, training)

    def gradients(self, y, again):
        return torch.autograd.grad(y, (self.x, self.weight, self.bias), self.dy, retain_graph=again)

    def training_forward(self):
        self.normalized(True)

    def evaluation(self):
        with torch.no_grad():
            self.normalized(False)

    def backward(self):
        if self.y is None:
            self.y = self.normalized(True)
        self.gradients(self.y, True)

    def training_step(self):
        self.gradients(self.normalized(True), False)

    def copy(self):
        self.copied.copy_(self.dy)


def measure(run, device):
    """Medians over samples of many iterations: of the wall clock and of CUDA's events, in ns."""
    cuda = device == "cuda"
    # A GPU must not wait for the CPU between iterations.
    batch = 64 if cuda else 1
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2)) if cuda else (None, None)

    def sample():
        start = time.perf_counter()
        if cuda:
            begin.record()
        for iteration in range(batch):
            run(iteration)
        if cuda:
            end.record()
            torch.cuda.synchronize()
        wall = (time.perf_counter() - start) * 1e9 / batch
        return wall, begin.elapsed_time(end) * 1e6 / batch if cuda else None

    start = time.perf_counter()
    while time.perf_counter() < start + WARM_UP:
        sample()
    samples, start = [], time.perf_counter()
    while len(samples) < SAMPLES or time.perf_counter() < start + MEASURE:
        samples.append(sample())
    walls, clocks = zip(*samples)
    return statistics.median(walls), statistics.median(clocks) if cuda else None


def bench(name, device, ways, arguments):
    """Yields the entries of a tensor: each work in each of the ways (who, context), and a copy."""
    wanted = lambda who: [work for work in TENSORS_MOVED if re.search(arguments.filter, f"{work}/{name}/{who}")]
    runs = [([work], who, getattr(Tensors, work), way) for who, way in ways for work in wanted(who)]
    copier = f"torch_{device}_copy"
    # One copy stands beside every work.
    runs += [(wanted(copier), copier, Tensors.copy, contextlib.nullcontext)] if wanted(copier) else []
    if not runs:
        return
    first = Tensors(name, device)
    size = first.x.nbytes
    # So many that none is found in a GPU's cache, of at most 256 MB.
    count = max(1, min(64, -(-(256 << 20) // (4 * size)))) if device == "cuda" else 1
    sets = [first] + [Tensors(name, device) for _ in range(count - 1)]
    for works, who, work, way in runs:
        for tensors in sets:
            tensors.y = None
        run = lambda i: work(sets[i % count])
        with way():
            if arguments.test:
                run(0)
                continue
            median, clock = measure(run, device)
        moved = (TENSORS_COPIED if who == copier else TENSORS_MOVED[works[0]]) * size
        print(f"{median * 1e-6:10.3f} ms {moved / median:8.2f} GB/s  {work.__name__}/{name}/{who}", flush=True)
        for id in works:
            entry = {"id": f"{id}/{name}/{who}", "median_ns": median, "bytes": moved, "gb_per_s": moved / median}
            yield entry if clock is None else entry | {"clock_ns": clock}


def load():
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def cpu_name():
    with contextlib.suppress(OSError):
        models = re.findall(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
        return models[0] if models else "CPU"
    return "CPU"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="a regular expression that ids must match: work/tensor/who")
    parser.add_argument("--test", action="store_true", help="measure nothing: run everything once")
    arguments = parser.parse_args()
    torch.manual_seed(1502)
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())

    about = {"versions": f"PyTorch {torch.__version__}", "device": cpu_name(), "threads": torch.get_num_threads()}
    about["load_before"] = load()
    works = [(name, "cpu", [("torch_cpu", contextlib.nullcontext)]) for name in shapes("everyday", "awkward")]
    if torch.cuda.is_available():
        about["versions"] += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        about["device"] += f", {torch.cuda.get_device_name()}"
        kernels = lambda cudnn: lambda: torch.backends.cudnn.flags(enabled=cudnn)
        ways = [("torch_cuda_native", kernels(False)), ("torch_cuda_cudnn", kernels(True))]
        works += [(name, "cuda", ways) for name in shapes("everyday", "awkward", "large")]
    entries = [entry for work in works for entry in bench(*work, arguments)]
    about["load_after"] = load()
    print("\n" + "; ".join(f"{name}: {value}" for name, value in about.items()))
    if not arguments.test:
        target = os.environ.get("CARGO_TARGET_DIR", "target")
        os.makedirs(target, exist_ok=True)
        path = os.path.join(target, "torch.json")
        with open(path, "w") as file:
            json.dump({"about": about, "entries": entries}, file, indent=2)
        print(f"Written to {path}")


if __name__ == "__main__":
    main()
