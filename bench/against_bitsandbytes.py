"""Quantizes and expands a matrix of the 650M model (5,120 x 1,280, NF4, blocks of 64, double quantization) with this
project and with bitsandbytes on the CPU, in turns, and compares elements a second.

    python3 bench/against_bitsandbytes.py

Needs build/release/bin/bench_quant_dequantize (cmake -DQLORA_BENCH=ON), and makes a virtual environment of the pinned
versions where --venv has none. bitsandbytes takes memory for what it expands, as its CPU kernels always do; this
project expands into memory that is there. That both sides' bytes are the same is what tests/parity/ checks.
"""

import argparse
import json
import sys
import time

from sides import (Parser, Side, Waiting, add_options_of_sides, in_turns, make_environment, processor, run_benchmark,
                   say_load, spread)

ROWS, COLUMNS, BLOCK = 5120, 1280, 64
WORK = {  # by name: the benchmark of this project
    "quantize": "quantize_matrix<Nf4<64>>",
    "dequantize to bf16": "dequantize_matrix<Nf4<64>, bf16>",
    "dequantize to fp32": "dequantize_matrix<Nf4<64>, float>",
}


class Ours(Side):
    name = "qlora"

    def __init__(self, options, work):
        self.program, self.threads = options.program, options.threads
        self.pattern = f"^{WORK[work]}/{ROWS}/{COLUMNS}/.*real_time$"

    def measure(self, seconds):
        return run_benchmark(self.program, self.pattern, seconds, {"OMP_NUM_THREADS": str(self.threads)})


def bitsandbytes(work, threads):
    """The other side: seconds from standard input, JSON to standard output."""
    import bitsandbytes.functional as bnb
    import torch

    torch.set_num_threads(threads)
    weight = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))
    weight = weight if work != "dequantize to bf16" else weight.bfloat16()  # and what it is expanded to

    def quantize():
        return bnb.quantize_4bit(weight, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")

    codes, state = quantize()
    body = quantize if work == "quantize" else lambda: bnb.dequantize_4bit(codes, state)
    body()
    print("ready", flush=True)
    for line in sys.stdin:
        cpu, start, times = time.process_time(), time.perf_counter(), 0
        while times == 0 or time.perf_counter() - start < float(line):
            body()
            times += 1
        elapsed = time.perf_counter() - start
        rate = times * weight.numel() / elapsed
        print(json.dumps({"elements/s": rate, "cpu": time.process_time() - cpu}), flush=True)


def main():
    parser = Parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="at least, of one timing")
    add_options_of_sides(parser, "bench_quant_dequantize")
    parser.add_argument("--other-side", choices=WORK, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.other_side:
        bitsandbytes(options.other_side, options.threads)
        return
    make_environment(options.venv)
    print(f"{processor()}, {options.threads} threads a side; {options.repeats} repetitions of {options.seconds:g} s\n")
    print("| Gelem/s, median (range) | qlora | bitsandbytes | ratio |\n|---|---|---|---|")
    others = []
    for work in WORK:
        command = [options.venv / "bin/python", __file__, "--other-side", work, "--threads", str(options.threads)]
        results = in_turns([Ours(options, work), Waiting("bitsandbytes", command)], options.repeats, options.seconds)
        rates = {name: [one["elements/s"] * 1e-9 for one in found] for name, found in results.items()}
        ratios = [own / other for own, other in zip(rates["qlora"], rates["bitsandbytes"])]
        print(f"| {work} | {spread(rates['qlora'], '%.2f')} | {spread(rates['bitsandbytes'], '%.3f')} | "
              f"{spread(ratios, '%.1f')} |", flush=True)
        others += [one["others"] for found in results.values() for one in found]
    say_load(others)


if __name__ == "__main__":
    main()
