"""Peak memory of training steps by the length and by the number of sequences, with layers recomputed in the backward
pass and without, beside transformers + PEFT: LoRA of rank 2 on query, key and value, a full base.

    python3 bench/memory.py
    python3 bench/memory.py --models 35M --precisions bf16 --opponents sdpa --shapes 500x8,1000x8

Needs build/release/bin/bench_train_memory (cmake -DQLORA_BENCH=ON), and makes a virtual environment of the pinned
versions where --venv has none. Every number is of a process of its own, and one runs at a time; the other side's have
its libraries in them. What else runs makes no difference, but that the machine must have the memory.
"""

import os
import pathlib

from against_hf import OPPONENTS, Ours, theirs
from sides import SIZES, Parser, add_options_of_sides, in_turns, make_environment, words

SHAPES = ["250x8", "500x8", "1000x8", "2000x8", "1000x1", "1000x2", "1000x4", "1000x16"]


def fits(model, shape, opponent):
    """Whether the machine has the memory for eager attention, which keeps the scores of all layers a few times over."""
    length, sequences = map(int, shape.split("x"))
    _, layers, heads = SIZES[model]
    scores = 4 * layers * heads * sequences * length**2
    return opponent != "eager" or 2.5 * scores < 0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gigabytes(make_side):
    """Of one step of a side that is made now and closed before the next."""
    side = make_side()
    found, = in_turns([side], 1, 0.01)[side.name]
    return f"{found['peak_MB'] / 1000:.2f}"


def main():
    parser = Parser(__doc__)
    parser.add_argument("--models", type=words, default=["8M"], help=f"some of {', '.join(SIZES)}")
    parser.add_argument("--precisions", type=words, default=["fp32", "bf16"])
    parser.add_argument("--shapes", type=words, default=SHAPES, help=f"LENGTHxSEQUENCES, some of {', '.join(SHAPES)}")
    parser.add_argument("--opponents", type=words, default=["eager", "sdpa"],
                        help="eager, sdpa; the former is left out where it would take more memory than there is")
    add_options_of_sides(parser, "bench_train_memory")
    options = parser.parse_args()
    if not set(options.opponents) <= {"eager", "sdpa"}:
        parser.error(f"--opponents: expected some of eager, sdpa, found {','.join(options.opponents)}")
    make_environment(options.venv)
    columns = ["qlora", "qlora, recomputed"]
    columns += [f"hf {name}{more}" for name in options.opponents for more in ("", ", recomputed")]
    for model in options.models:
        for precision in options.precisions:
            print(f"\n## {model}, {precision}: peak memory in GB\n\n| tokens x sequences | {' | '.join(columns)} |")
            print("|---" * (len(columns) + 1) + "|")
            for shape in options.shapes:
                what = options, "training", model, "qkv"
                cells = [gigabytes(lambda: Ours(*what, "none", precision, shape + more)) for more in ("", ":recompute")]
                for name in options.opponents:
                    setting = OPPONENTS[precision][name]
                    cells += [gigabytes(lambda: theirs(*what, shape, name, *setting, False, recompute=recompute))
                              if fits(model, shape, name) else "" for recompute in (False, True)]
                print(f"| {shape} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
