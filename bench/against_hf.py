"""Trains ESM-2 shapes with this project and with transformers + PEFT (+ bitsandbytes), in turns, and compares speed and
memory: the same shapes, LoRA of rank 2 with dropout 0.5, and one step of forward, backward and AdamW.

    python3 bench/against_hf.py
    python3 bench/against_hf.py --models 8M,35M --placements qkv,all --shapes 512x8,1000x8
    python3 bench/against_hf.py --shapes uniprot    # real lengths (lengths.txt, or --data), packed in 4,096 tokens

Needs build/release/bin/bench_train_step (cmake -DQLORA_BENCH=ON), and makes a virtual environment of the pinned
versions where --venv has none. Every repetition times every configuration once, so that a slower minute of the machine
is one for all of them; a ratio is that of one repetition, to the configuration of Hugging Face's that is fastest by the
median. What other processes keep busy is counted, and said.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = ROOT / "bench/lengths.txt"
SIZES = {"8M": [320, 6, 20], "35M": [480, 12, 20], "150M": [640, 30, 20]}  # hidden, layers, heads
OPPONENTS = {  # by name: attention, precision, base
    "fp32": {"eager": ("eager", "fp32", "full"), "sdpa": ("sdpa", "fp32", "full"), "sdpa nf4": ("sdpa", "fp32", "nf4")},
    "bf16": {"eager": ("eager", "bf16", "full"), "sdpa": ("sdpa", "bf16", "full"),
             "eager autocast": ("eager", "autocast", "full"), "sdpa autocast": ("sdpa", "autocast", "full"),
             "sdpa nf4": ("sdpa", "bf16", "nf4")},
}


class Ours:
    """One benchmark of bench_train_step."""

    def __init__(self, options, model, placement, quant, precision, shape):
        self.name = f"qlora {quant}"
        self.program, self.threads, self.data = options.program, options.threads, str(options.data.resolve())
        self.filter = f"^training/{model}/{placement}/{quant}/{precision}/{shape}/real_time$"

    def measure(self, seconds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads), "QLORA_BENCH_LENGTHS": self.data}
        result = subprocess.run([self.program, f"--benchmark_filter={self.filter}", f"--benchmark_min_time={seconds}",
                                 "--benchmark_format=json"], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if not result.stdout:
            sys.exit(f"{self.program}: no benchmark matches {self.filter}")
        found, = json.loads(result.stdout)["benchmarks"]
        return {**found, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}

    def close(self):
        pass


class Theirs:
    """A process of opponent.py, which waits between measurements."""

    def __init__(self, options, model, placement, shape, name, attention, precision, base, compile, pad=0):
        self.name = f"hf {name}"
        command = [options.venv / "bin/python", ROOT / "bench/opponent.py", "--size", json.dumps(SIZES[model]),
                   "--placement", placement, "--attention", attention, "--precision", precision, "--base", base,
                   "--threads", str(options.threads)]
        if shape == "uniprot":
            command += ["--lengths", json.dumps(tokens_of_sequences(options.data)), "--pad", str(pad)]
        else:
            length, sequences = shape.split("x")
            command += ["--length", length, "--sequences", sequences]
        self.complaints = tempfile.TemporaryFile("w+")  # not a pipe, which nobody would empty
        self.process = subprocess.Popen(command + ["--compile"] * compile, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.complaints, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.complaints.seek(0)
            sys.exit(f"{self.name}: {self.complaints.read()}")
        return line

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return json.loads(self.read())

    def close(self):
        self.process.communicate()


def tokens_of_sequences(data):
    """Of the proteins of a file of lengths, which get two tokens more."""
    lines = data.read_text(encoding="utf-8").splitlines()
    return [int(word) + 2 for line in lines if not line.startswith("#") for word in line.split()]


def busy_seconds():
    """What all processors together have worked, or were kept from by a host, since they started."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(side, seconds):
    """One timing, with the number of processors that others kept busy meanwhile."""
    busy, start = busy_seconds(), time.perf_counter()
    result = side.measure(seconds)
    elapsed = time.perf_counter() - start
    return result | {"others": max(0.0, (busy_seconds() - busy - result["cpu"]) / elapsed)}


def spread(values, form):
    """Median, and minimum and maximum in brackets."""
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def compare(options, model, placement, shape, precision):
    """Prints one table; returns how busy others kept the machine, a number a timing."""
    real = shape == "uniprot"
    sequences = "real lengths" if real else f"{shape.replace('x', ' tokens x ')} sequences"
    print(f"\n## {model}, adapters on {placement}, {sequences}, {precision}\n")
    columns = ["", "tokens/s, median (range)", "peak MB", "of qlora none", "of the best of hf"] + ["of hf stock"] * real
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    opponents = {name: OPPONENTS[precision][name] for name in OPPONENTS[precision]
                 if not options.opponents or name in options.opponents}
    sides = [Ours(options, model, placement, quant, precision, shape) for quant in ("none", "nf4")]
    sides += [Theirs(options, model, placement, shape, name, *setting, False) for name, setting in opponents.items()]
    if options.compile:
        sides += [Theirs(options, model, placement, shape, f"{name} compiled", *setting, True)
                  for name, setting in opponents.items() if setting[2] == "full"]
    if real:
        sides.append(Theirs(options, model, placement, shape, "stock", "eager", precision, "full", False, pad=1000))
    results = {side.name: [] for side in sides}
    for _ in range(options.repeats):
        for side in sides:
            results[side.name].append(measure(side, options.seconds))
    for side in sides:
        side.close()

    rates = {name: [result["tokens/s"] for result in found] for name, found in results.items()}
    best = max((name for name in rates if name.startswith("hf")), key=lambda name: statistics.median(rates[name]))
    for name, found in results.items():
        ratios = [spread([own / other for own, other in zip(rates[name], rates[reference])], "%.2f")
                  for reference in ["qlora none", best] + ["hf stock"] * real]
        peak = max(result["peak_MB"] for result in found)
        print(f"| {name}{' (best)' if name == best else ''} | {spread(rates[name], '%.0f')} | {peak:.0f} | "
              f"{' | '.join(ratios)} |", flush=True)
    return [result["others"] for found in results.values() for result in found]


def words(text):
    return text.split(",")


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(": ")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=words, default=["8M"], help=", ".join(SIZES))
    parser.add_argument("--placements", type=words, default=["qkv"], help="qkv, all")
    parser.add_argument("--precisions", type=words, default=["fp32", "bf16"])
    parser.add_argument("--shapes", type=words, default=["512x8"],
                        help="LENGTHxSEQUENCES as bench_train_step has them, or uniprot: real lengths")
    parser.add_argument("--data", type=pathlib.Path, default=LENGTHS,
                        help="file of numbers of residues, for uniprot; by default those of bench/lengths.txt")
    parser.add_argument("--opponents", type=words, help="some of: eager, sdpa, eager autocast, sdpa autocast, sdpa nf4")
    parser.add_argument("--compile", action="store_true", help="Hugging Face's full models with torch.compile as well")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="at least, of one timing")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/bench_train_step")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build/hf")
    options = parser.parse_args()
    for precision in options.precisions:
        known = OPPONENTS.get(precision) or parser.error(f"--precisions: expected fp32 or bf16, found {precision}")
        if options.opponents and not known.keys() & set(options.opponents):
            parser.error(f"--opponents: expected some of {', '.join(known)} for {precision}")

    if not options.venv.exists():
        subprocess.run([sys.executable, "-m", "venv", options.venv], check=True)
    subprocess.run([options.venv / "bin/pip", "install", "--quiet", "-r", ROOT / "tests/parity/requirements.txt"],
                   check=True)
    print(f"{processor()}, {os.cpu_count()} processors, {options.threads} threads a side; "
          f"{options.repeats} repetitions of {options.seconds:g} s or a step")
    others = [load for model in options.models for placement in options.placements for shape in options.shapes
              for precision in options.precisions for load in compare(options, model, placement, shape, precision)]
    print(f"\nOther processes kept {spread(others, '%.2f')} processors busy during the timings.")
    if max(others) > 0.1:
        print("THE MACHINE WAS NOT IDLE: take the ratios, not the speeds, and repeat the run on an idle one.")


if __name__ == "__main__":
    main()
