"""Runs bench_train_growth on one and on all threads, prints how much of the machine's peak each length of sequences
reaches, and draws it: where the time of a step grows as its floating-point operations do, a line is flat.

    python3 bench/growth.py --models 8M,35M --out docs/images/growth.svg
    python3 bench/growth.py --results build/bench/growth.json    # what is there already is not measured again

Needs build/release/bin/bench_train_growth (cmake -DQLORA_BENCH=ON) and an idle machine. No other software takes part.
"""

import itertools
import json
import math
import os
import pathlib
import statistics
import sys

from sides import ROOT, Parser, Side, in_turns, numbers, processor, run_benchmark, say_load, words

LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096]
TOKENS = 4096
COLOURS = {"8M": "#4269d0", "35M": "#efb118", "150M": "#ff725c", "650M": "#6cc5b0"}
PANEL, HEIGHT, LEFT, TOP, GAP = 300, 220, 46, 34, 28  # of the figure, in pixels


class Step(Side):
    """One benchmark."""

    def __init__(self, options, model, precision, length, threads):
        self.name = (precision, threads, length)
        self.program, self.environment = options.program, {"OMP_NUM_THREADS": str(threads)}
        self.pattern = f"^training/{model}/qkv/none/{precision}/{length}x{TOKENS // length}/real_time$"

    def measure(self, seconds):
        return run_benchmark(self.program, self.pattern, seconds, self.environment)


def x_of(length):
    return PANEL * math.log2(length / LENGTHS[0]) / math.log2(LENGTHS[-1] / LENGTHS[0])


def y_of(share):
    return HEIGHT * (1 - share)


def panel(title, lines, most):
    """An SVG group of lines that measure_line found; those of fewer threads than `most` are dashed."""
    parts = [f'<text x="0" y="-12" font-weight="600">{title}</text>']
    for share in (0, .25, .5, .75, 1):
        parts.append(f'<line x1="0" x2="{PANEL}" y1="{y_of(share)}" y2="{y_of(share)}" stroke="#8884"/>'
                     f'<text x="-6" y="{y_of(share) + 4}" text-anchor="end">{share:.0%}</text>')
    for length in LENGTHS:
        parts.append(f'<text x="{x_of(length):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{length}</text>')
    for line in lines:
        points = " ".join(f"{x_of(length):.1f},{y_of(share):.1f}" for length, share in zip(LENGTHS, line["share"]))
        dashes = "" if line["threads"] == most else ' stroke-dasharray="4 3"'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[line["model"]]}" stroke-width="2"{dashes}>'
                     f"<title>{name_of(line)}</title></polyline>")
    return "".join(parts)


def figure(lines):
    """SVG with a panel a precision and a legend below."""
    precisions = [one for one in ("fp32", "bf16") if any(line["precision"] == one for line in lines)]
    threads = sorted({line["threads"] for line in lines})
    models = [model for model in COLOURS if any(line["model"] == model for line in lines)]
    panels = [f'<g transform="translate({LEFT + i * (PANEL + LEFT + GAP)} {TOP})">'
              + panel(precision, [line for line in lines if line["precision"] == precision], threads[-1]) + "</g>"
              for i, precision in enumerate(precisions)]
    width = len(precisions) * (PANEL + LEFT + GAP)
    below = TOP + HEIGHT + 44
    legend = "".join(
        f'<g transform="translate({LEFT + i * 90} {below})"><line x2="22" stroke="{COLOURS[model]}" stroke-width="2"/>'
        f'<text x="28" y="4">{model}</text></g>' for i, model in enumerate(models))
    note = f"tokens of a sequence, {TOKENS:,} a step; threads: {threads[-1]}"
    note += f", dashed {' or '.join(map(str, threads[:-1]))}" if threads[1:] else ""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {below + 44}" font-family="sans-serif" '
            f'font-size="12" fill="#777"><title>Share of peak of a training step</title>{"".join(panels)}{legend}'
            f'<text x="{LEFT}" y="{below + 28}">{note}</text></svg>\n')


def name_of(line):
    return f"{line['model']}, {line['precision']}, {line['threads']} thread{'s' * (line['threads'] > 1)}"


def measure_lines(options, model, which):
    """Of each precision and number of threads, in turns, a line of the figure: shares of peak and speeds by length, and
    how busy others kept the machine.
    """
    found = in_turns([Step(options, model, precision, length, threads)
                      for length in LENGTHS for precision, threads in which], options.repeats, options.seconds)
    for precision, threads in which:
        steps = [found[precision, threads, length] for length in LENGTHS]
        share, speed = ([statistics.median(one[key] for one in step) for step in steps] for key in ("of_peak", "tokens/s"))
        yield {"model": model, "precision": precision, "threads": threads, "processor": processor(),
               "repeats": options.repeats, "share": share, "tokens/s": speed,
               "others": [one["others"] for step in steps for one in step]}


def main():
    parser = Parser(__doc__)
    parser.add_argument("--models", type=words, default=list(COLOURS), help=", ".join(COLOURS))
    parser.add_argument("--precisions", type=words, default=["fp32", "bf16"])
    parser.add_argument("--threads", type=numbers, default=sorted({1, os.cpu_count()}), help="numbers of them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="at least, of one timing")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/bench_train_growth")
    parser.add_argument("--results", type=pathlib.Path, help="JSON file of lines that earlier runs measured, and to which "
                        "this one adds its own")
    parser.add_argument("--out", type=pathlib.Path, help="SVG file to write, of all lines there are")
    options = parser.parse_args()
    lines = json.loads(options.results.read_text()) if options.results and options.results.exists() else []
    print(f"{processor()}; share of peak, and tokens/s")
    others = {line["processor"] for line in lines} - {processor()}
    if others:
        sys.exit(f"{options.results}: measured on {', '.join(others)}")
    for model in options.models:
        of_model = [line for line in lines if line["model"] == model]
        there = {(line["precision"], line["threads"]) for line in of_model}
        missing = [which for which in itertools.product(options.precisions, options.threads) if which not in there]
        if missing:
            measured = list(measure_lines(options, model, missing))
            lines += measured
            of_model += measured
            if options.results:
                options.results.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
        for line in of_model:
            print(f"\n{name_of(line)}, median of {line['repeats']}\n\n"
                  "| tokens a sequence | of peak | tokens/s |\n|---|---|---|")
            for length, share, speed in zip(LENGTHS, line["share"], line["tokens/s"]):
                print(f"| {length} | {share:.0%} | {speed:.0f} |", flush=True)
    if options.out:
        options.out.write_text(figure(lines), encoding="utf-8")
    say_load([load for line in lines for load in line["others"]])


if __name__ == "__main__":
    main()
