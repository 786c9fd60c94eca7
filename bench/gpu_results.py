"""Measures on a GPU, and writes a table of everything to a file: training steps of ESM-2 shapes with random weights, the
kernels, torch's attention and matrix products on the same device, and transformers (with PEFT where it is installed).

    python3 bench/gpu_results.py --build build/gpu --out docs/gpu_results.md

Every number is that of one run on one device, whose name is in the file.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

import torch

import opponent
import sides

SIZES = sides.SIZES | {"3B": [2560, 36, 40]}

KERNEL_SECONDS = 0.01  # of a benchmark that runs its kernel twenty times an iteration


def benchmarks(program, pattern, seconds):
    """Counters of a program's benchmarks, by name. One that fails (too large for the device) is left out, and said."""
    process = subprocess.run([program, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
                              "--benchmark_format=json"], stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode != 0 or not process.stdout:
        print(f"{program} {pattern}: failed with {process.returncode}", file=sys.stderr)
        return {}
    return {one["name"].removesuffix("/manual_time"): one for one in json.loads(process.stdout)["benchmarks"]}


def seconds_of(body, repeats=20):
    """Of one call on the device."""
    for _ in range(3):
        body()
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        body()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) * 1e-3 / repeats


def peak_flops():
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return 2 * 8192**3 / seconds_of(lambda: a @ b)


def torch_attention(head_dim, length=1024, tokens=16384):
    """FLOP/s of scaled_dot_product_attention, forward and backward, by its fastest kernel."""
    shape = (tokens // length, 1280 // head_dim, length, head_dim)
    q, k, v, dout = (torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=i < 3) for i in range(4))
    best = {}
    for backend in (torch.nn.attention.SDPBackend.FLASH_ATTENTION, torch.nn.attention.SDPBackend.CUDNN_ATTENTION):
        try:
            with torch.nn.attention.sdpa_kernel(backend):
                forward = seconds_of(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
                out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
                backward = seconds_of(lambda: out.backward(dout, retain_graph=True))
        except RuntimeError:
            continue  # not for this head dim
        best[backend.name] = forward + backward
    flops = 7 * 2 * tokens * length * 1280
    return max(((flops / seconds, name) for name, seconds in best.items()), default=(0.0, "none"))


def transformers_step(model, length, sequences, compiled=False):
    """Tokens/s of a step of transformers in bf16, its attention being sdpa."""
    options = opponent.make_parser().parse_args(
        ["--size", json.dumps(SIZES[model]), "--placement", "qkv", "--attention", "sdpa", "--precision", "bf16", "--base", "full",
         "--length", str(length), "--sequences", str(sequences), "--device", "cuda", *["--compile"] * compiled])
    try:
        step = opponent.make_step(options)
        return length * sequences / seconds_of(step, 10)
    except torch.cuda.OutOfMemoryError:
        return "out of memory"
    finally:
        step = None
        torch.cuda.empty_cache()


def table(columns, rows):
    widths = [max(len(str(row[i])) for row in [columns, *rows]) for i in range(len(columns))]
    lines = ["| " + " | ".join(str(cell).rjust(width) for cell, width in zip(row, widths)) + " |"
             for row in [columns, ["-" * width for width in widths], *rows]]
    return "\n".join(lines) + "\n"


def training(program, peak, compiled):
    rows = []
    for model in SIZES:
        ours = {quant: benchmarks(program, f"^training/{model}/qkv/{quant}/bf16/1000x16/", 0.2)
                for quant in ("none", "nf4")}
        found = {quant: next(iter(runs.values()), None) for quant, runs in ours.items()}
        if not found["none"] or not found["nf4"]:
            continue
        attempts = [transformers_step(model, 1000, 16, compile) for compile in [False] + [True] * (model in compiled)]
        measured = [rate for rate in attempts if not isinstance(rate, str)]
        theirs = max(measured, default=attempts[0])
        speed = {quant: one["tokens/s"] for quant, one in found.items()}
        rows.append([model, f"{speed['nf4']:,.0f}", f"{100 * found['nf4']['FLOP/s'] / peak:.1f} %",
                     f"{speed['none']:,.0f}", f"{100 * (speed['none'] / speed['nf4'] - 1):.1f} %",
                     f"{theirs:,.0f}" if measured else theirs,
                     f"{speed['none'] / theirs:.2f}" if measured else "", f"{found['nf4']['device_MB']:,.0f}"])
    return table(["model", "NF4 tokens/s", "of peak", "bf16 tokens/s", "NF4's cost", "transformers bf16 tokens/s", "ratio",
                  "NF4 device MB"], rows)


def attention(program, peak):
    """The library's own, by cuDNN where it is compiled in, and torch's."""
    ours = benchmarks(program, "^attention(_backward)?<bf16>", KERNEL_SECONDS)
    cudnn = benchmarks(program, "^attention(_backward)?<bf16, CudnnAttention>", KERNEL_SECONDS)
    rows = []
    for head_dim in (16, 32, 64, 128):
        rates = [[found[f"{name}<{types}>/{head_dim}"]["FLOP/s"] for name in ("attention", "attention_backward")]
                 for found, types in ((ours, "bf16"), (cudnn, "bf16, CudnnAttention"))
                 if f"attention_backward<{types}>/{head_dim}" in found]
        both = [7 / (2 / forward + 5 / backward) for forward, backward in rates]
        (forward, backward), *_ = rates
        theirs, name = torch_attention(head_dim)
        rows.append([head_dim, f"{forward / 1e12:.0f}", f"{backward / 1e12:.0f}", f"{both[0] / 1e12:.0f}",
                     f"{both[1] / 1e12:.0f}" if both[1:] else "", f"{theirs / 1e12:.0f} ({name})",
                     f"{both[0] / theirs:.2f}" if theirs else "", f"{100 * both[0] / peak:.0f} %"])
    return table(["head dim", "forward TFLOP/s", "backward", "both", "by cuDNN, both", "torch, both", "ratio", "of peak"],
                 rows)


def kernels(program):
    rows = []
    for name, one in benchmarks(program, "-^attention", KERNEL_SECONDS).items():
        counter = "B/s" if "B/s" in one else "FLOP/s"
        unit = "GB/s" if counter == "B/s" else "TFLOP/s"
        rows.append([name, f"{one['real_time']:,.0f} {one['time_unit']}",
                     f"{one[counter] / (1e9 if counter == 'B/s' else 1e12):,.0f} {unit}"])
    return table(["kernel", "time", "rate"], rows)


def variants(program):
    """Steps that start as one graph, kernel by kernel, and with timed algorithms of products."""
    rows = []
    for model in ("8M", "650M"):
        for size in ("256x1", "1000x8"):
            times = []
            for compute in ("bf16", "bf16-eager", "bf16-timed"):
                found = benchmarks(program, f"^training/{model}/qkv/nf4/{compute}/{size}/", 0.2).values()
                times += [one["real_time"] for one in found] or [float("nan")]
            rows.append([model, size, *(f"{time:.3f}" for time in times), f"{times[1] / times[0]:.2f}"])
    return table(["model", "tokens", "graph, ms", "eager, ms", "graph and timed products, ms", "eager / graph"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--compile", nargs="*", default=[], choices=SIZES,
                        help="models whose opponent is compiled, too, which takes a minute each")
    options = parser.parse_args()
    steps, kernel_program = (options.build / "bin" / name for name in ("bench_train_step_cuda", "bench_backend_kernels_cuda"))
    peak = peak_flops()
    adapters = "PEFT" if opponent.peft else "adapters of bench/opponent.py, PEFT not being installed"
    written = options.out.with_suffix(".part")
    written.unlink(missing_ok=True)

    def say(*lines):  # at once: should a later part fail, what was measured is there
        with open(written, "a", encoding="utf-8") as file:
            print(*lines, sep="\n", file=file)
        print(*lines, sep="\n", flush=True)

    compiled = f" --compile {' '.join(options.compile)}" if options.compile else ""
    say("# Measured on a GPU\n",
        f"{torch.cuda.get_device_name()}, {datetime.date.today()}; `bash tests/gpu/run.sh timings{compiled}`. Random weights. torch "
        f"{torch.__version__}, transformers {opponent.transformers.__version__} with {adapters}. \"Of peak\": of the "
        f"{peak / 1e12:.0f} TFLOP/s that torch reached in the same run on a bf16 product of 8192 cubed. Of transformers' "
        f"attentions, sdpa; compiled where that is faster, of {', '.join(options.compile) or 'no model'}.\n")
    say("## Training: 16 sequences of 1,000 tokens, LoRA of rank 2 on query, key and value\n", training(steps, peak, options.compile))
    say("## One step: as one graph, kernel by kernel, and with the fastest of eight algorithms a product\n",
        variants(steps))
    say("## Attention: 16 sequences of 1,024 tokens, width 1,280, bf16\n", attention(kernel_program, peak))
    say("## Kernels: 16,384 tokens, width 1,280; weights of 5,120 x 1,280\n", kernels(kernel_program))
    os.replace(written, options.out)


if __name__ == "__main__":
    main()
