#!/usr/bin/env python3
r"""What training on several ranks should take, by a model that docs/scaling.md explains:

    bench/dist/model.py --tokens 16384 --rate 2.0e6 --fixed 1.1e-3 --parameters 23682 \
        --latency 20e-6 --message 2e-6 --bandwidth 1e11

prints for 1, 2, 4 ... ranks how well a step's proteins can be dealt, the time of a step and of its
exchanges, and the speed-up. Lengths are those of bench/lengths.txt, drawn at random.
"""

import argparse
import pathlib
import random


def lengths():
    """Tokens of each protein."""
    for line in pathlib.Path(__file__).parent.parent.joinpath("lengths.txt").read_text().splitlines():
        if not line.startswith("#"):
            yield from (int(word) + 2 for word in line.split())


def balance(tokens, ranks, hidden, steps=100):
    """Mean load over largest load of ranks that share a step, each protein to who has least."""
    draw = random.Random(1)
    known = list(lengths())
    total = 0.0
    for _ in range(steps):
        step = []
        while not step or sum(step) < tokens:
            step.append(draw.choice(known))
        loads = [0.0] * ranks
        for length in sorted(step, reverse=True):
            least = loads.index(min(loads))
            loads[least] += length * (6 * hidden + length)
        total += sum(loads) / ranks / max(loads)
    return total / steps


def exchange(ranks, size, flags):
    """Seconds of one exchange with `size` bytes from each rank to the others together."""
    if ranks == 1:
        return 0.0
    return flags.latency + (ranks - 1) * flags.message + size / (flags.bandwidth * flags.reached)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=float, required=True, help="of a step, on all ranks together")
    parser.add_argument("--rate", type=float, required=True, help="tokens a second of one rank alone")
    parser.add_argument("--fixed", type=float, default=0, help="seconds of a step that do not depend on its tokens")
    parser.add_argument("--hidden", type=int, default=320, help="width of the model")
    parser.add_argument("--parameters", type=float, required=True, help="that are trained")
    parser.add_argument("--latency", type=float, required=True, help="seconds of an empty exchange of two ranks")
    parser.add_argument("--message", type=float, required=True, help="seconds that one rank more adds")
    parser.add_argument("--bandwidth", type=float, required=True, help="bytes a second out of a rank")
    parser.add_argument("--reached", type=float, default=1, help="share of the bandwidth that messages reach")
    parser.add_argument("--few", type=int, default=2, help="exchanges of a few bytes a step: the loss, whether to stop")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    flags = parser.parse_args()

    print("ranks  dealt  step/ms  exchanges/ms  share  speed-up  tokens/s")
    alone = flags.tokens / flags.rate + flags.fixed
    for ranks in flags.ranks:
        dealt = balance(flags.tokens, ranks, flags.hidden)
        work = flags.tokens / flags.rate / ranks / dealt + flags.fixed
        # Gradients twice, a share at a time.
        sent = 4 * flags.parameters * (ranks - 1) / ranks
        exchanges = 2 * exchange(ranks, sent, flags) + flags.few * exchange(ranks, 8, flags)
        step = work + exchanges
        print(
            f"{ranks:5}  {dealt:5.2f}  {1e3 * step:7.2f}  {1e3 * exchanges:12.3f}  {exchanges / step:5.1%}"
            f"  {alone / step:8.2f}  {flags.tokens / step:8.0f}"
        )


if __name__ == "__main__":
    main()
