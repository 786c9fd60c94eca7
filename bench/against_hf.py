"""Trains ESM-2 shapes with this project and with transformers + PEFT (+ bitsandbytes), in turns, and compares speed and
memory: the same shapes, LoRA of rank 2 with dropout 0.5, and one step of forward, backward and AdamW; or, for
inference, forward only, where the other side's adapters are merged into a full base, and this one's are not.

    python3 bench/against_hf.py
    python3 bench/against_hf.py --models 8M,35M --placements qkv,all --shapes 512x8,1000x8
    python3 bench/against_hf.py --shapes uniprot    # real lengths (lengths.txt, or --data), packed in 4,096 tokens
    python3 bench/against_hf.py --shapes uniprot --passes inference

Needs build/release/bin/bench_train_step (cmake -DQLORA_BENCH=ON), and makes a virtual environment of the pinned
versions where --venv has none. A ratio is that of one repetition, to the configuration of Hugging Face's that is
fastest by the median. What other processes keep busy is counted, and said.
"""

import itertools
import json
import os
import pathlib
import statistics

from sides import (ROOT, SIZES, Parser, Side, Waiting, add_options_of_sides, in_turns, make_environment, processor,
                   run_benchmark, say_load, spread, words)

LENGTHS = ROOT / "bench/lengths.txt"
OPPONENTS = {  # by name: attention, precision, base; "stock", for uniprot, pads all to 1,000 tokens
    "fp32": {"eager": ("eager", "fp32", "full"), "sdpa": ("sdpa", "fp32", "full"), "sdpa nf4": ("sdpa", "fp32", "nf4")},
    "bf16": {"eager": ("eager", "bf16", "full"), "sdpa": ("sdpa", "bf16", "full"),
             "eager autocast": ("eager", "autocast", "full"), "sdpa autocast": ("sdpa", "autocast", "full"),
             "sdpa nf4": ("sdpa", "bf16", "nf4")},
}


class Ours(Side):
    """One benchmark of bench_train_step."""

    def __init__(self, options, work, model, placement, quant, precision, shape):
        self.name = f"qlora {quant}"
        self.program = options.program
        self.environment = {"OMP_NUM_THREADS": str(options.threads)}
        if shape == "uniprot":
            self.environment["QLORA_BENCH_LENGTHS"] = str(options.data.resolve())
        self.filter = f"^{work}/{model}/{placement}/{quant}/{precision}/{shape}/real_time$"

    def measure(self, seconds):
        return run_benchmark(self.program, self.filter, seconds, self.environment)


def theirs(options, work, model, placement, shape, name, attention, precision, base, compile, pad=0, recompute=False):
    """A process of opponent.py."""
    command = [options.venv / "bin/python", ROOT / "bench/opponent.py", "--pass", work,
               "--size", json.dumps(SIZES[model]), "--placement", placement, "--attention", attention,
               "--precision", precision, "--base", base, "--threads", str(options.threads)]
    if shape == "uniprot":
        command += ["--lengths", json.dumps(tokens_of_sequences(options.data)), "--pad", str(pad)]
    else:
        length, sequences = shape.split("x")
        command += ["--length", length, "--sequences", sequences]
    return Waiting(f"hf {name}", command + ["--compile"] * compile + ["--recompute"] * recompute)


def tokens_of_sequences(data):
    """Of the proteins of a file of lengths, which get two tokens more."""
    lines = data.read_text(encoding="utf-8").splitlines()
    return [int(word) + 2 for line in lines if not line.startswith("#") for word in line.split()]


def wanted(options, name):
    return not options.opponents or name in options.opponents


def has_stock(options, work, shape):
    return shape == "uniprot" and work == "training" and wanted(options, "stock")


def check_opponents(parser, options):
    """Ends the script where a name is unknown, or a table would have no opponent."""
    known = {name for opponents in OPPONENTS.values() for name in opponents} | {"stock"}
    for name in options.opponents or []:
        if name not in known:
            parser.error(f"--opponents: expected some of {', '.join(sorted(known))}, found {name}")
    for precision in options.precisions:
        if precision not in OPPONENTS:
            parser.error(f"--precisions: expected fp32 or bf16, found {precision}")
        for work, shape in itertools.product(options.passes, options.shapes):
            if not has_stock(options, work, shape) and not any(wanted(options, name) for name in OPPONENTS[precision]):
                parser.error(f"--opponents: expected some of {', '.join(OPPONENTS[precision])} "
                             f"for {work} of {shape} in {precision}")


def compare(options, work, model, placement, shape, precision):
    """Prints one table; returns how busy others kept the machine, a number a timing."""
    real = shape == "uniprot"
    sequences = "real lengths" if real else f"{shape.replace('x', ' tokens x ')} sequences"
    print(f"\n## {work}, {model}, adapters on {placement}, {sequences}, {precision}\n")
    stock = has_stock(options, work, shape)
    columns = ["", "tokens/s, median (range)", "peak MB", "of qlora none", "of the best of hf"]
    columns += ["of hf stock"] * stock
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    opponents = {name: setting for name, setting in OPPONENTS[precision].items() if wanted(options, name)}
    what = options, work, model, placement, shape
    sides = [Ours(options, work, model, placement, quant, precision, shape) for quant in ("none", "nf4")]
    sides += [theirs(*what, name, *setting, False) for name, setting in opponents.items()]
    if options.compile:
        sides += [theirs(*what, f"{name} compiled", *setting, True)
                  for name, setting in opponents.items() if setting[2] == "full"]
    if stock:
        sides.append(theirs(*what, "stock", "eager", precision, "full", False, pad=1000))
    results = in_turns(sides, options.repeats, options.seconds)
    rates = {name: [result["tokens/s"] for result in found] for name, found in results.items()}
    best = max((name for name in rates if name.startswith("hf")), key=lambda name: statistics.median(rates[name]))
    for name, found in results.items():
        ratios = [spread([own / other for own, other in zip(rates[name], rates[reference])], "%.2f")
                  for reference in ["qlora none", best] + ["hf stock"] * stock]
        peak = max(result["peak_MB"] for result in found)
        print(f"| {name}{' (best)' if name == best else ''} | {spread(rates[name], '%.0f')} | {peak:.0f} | "
              f"{' | '.join(ratios)} |", flush=True)
    return [result["others"] for found in results.values() for result in found]


def main():
    parser = Parser(__doc__)
    parser.add_argument("--models", type=words, default=["8M"], help=", ".join(SIZES))
    parser.add_argument("--placements", type=words, default=["qkv"], help="qkv, all")
    parser.add_argument("--precisions", type=words, default=["fp32", "bf16"])
    parser.add_argument("--shapes", type=words, default=["512x8"],
                        help="LENGTHxSEQUENCES as bench_train_step has them, or uniprot: real lengths")
    parser.add_argument("--data", type=pathlib.Path, default=LENGTHS, help="file of numbers of residues, for uniprot")
    parser.add_argument("--opponents", type=words,
                        help="some of: eager, sdpa, eager autocast, sdpa autocast, sdpa nf4; and stock, for uniprot")
    parser.add_argument("--passes", type=words, default=["training"], help="training, inference")
    parser.add_argument("--compile", action="store_true", help="Hugging Face's full models with torch.compile as well")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="at least, of one timing")
    add_options_of_sides(parser, "bench_train_step")
    options = parser.parse_args()
    check_opponents(parser, options)

    make_environment(options.venv)
    print(f"{processor()}, {os.cpu_count()} processors, {options.threads} threads a side; "
          f"{options.repeats} repetitions of {options.seconds:g} s or a step")
    others = [load for work in options.passes for model in options.models for placement in options.placements
              for shape in options.shapes for precision in options.precisions
              for load in compare(options, work, model, placement, shape, precision)]
    say_load(others)


if __name__ == "__main__":
    main()
