"""From the start of a process to the end of a first training step of a large ESM-2 with a quantized base, in turns with
transformers + PEFT + bitsandbytes, on the same folder of random weights: NF4, LoRA of rank 2 on query, key and value,
one sequence.

    python3 bench/startup.py
    python3 bench/startup.py --size 640,30,20 --compute bf16

This project's side is the command `qlora train` with a single protein, until it has written the step into history.csv
(what follows, the protein's metrics and an adapter, is in the column "ended"). Both sides start from the weights,
which they quantize, and from a folder that `qlora quantize` has made of them. Needs build/release/bin/qlora, 6 GB of
disk for 650M, and makes a virtual environment of the pinned versions where --venv has none. Files are in the page
cache on both sides.
"""

import argparse
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

from sides import Parser, Side, add_options_of_sides, in_turns, make_environment, numbers, processor, say_load, spread


class Command(Side):
    """A command that is run once a timing: its seconds and peak memory, what it prints as JSON, and, of one that writes
    a folder, when it has trained. The folder is removed first."""

    def __init__(self, name, command, environment, folder=None):
        self.name, self.command, self.environment, self.folder = name, command, environment, folder

    def measure(self, _):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        start = time.time()
        process = subprocess.Popen(self.command, env=os.environ | self.environment | {"STARTED": str(start)},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        done = {}
        while self.folder and not done and select.select([process.stdout], [], [], 0.005) == ([], [], []):
            if (self.folder / "history.csv").exists():
                done["first step"] = time.time() - start
        output, complaints = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"{self.name}: {complaints}")
        done |= {"ended": time.time() - start, "peak_MB": usage.ru_maxrss * 1024 / 1e6,
                 "cpu": usage.ru_utime + usage.ru_stime}
        return done | (json.loads(output.splitlines()[-1]) if output.startswith("{") else {})


def make_model(folder, size):
    import transformers
    from opponent import esm_config

    transformers.EsmForTokenClassification(esm_config(size)).save_pretrained(folder)


def other_side(options):
    """Prints the seconds since the process was started by which things were done. Weights are quantized on the
    way, unless they are already.
    """
    start, done = float(os.environ["STARTED"]), {}
    import bitsandbytes  # noqa: F401, for transformers, which would import it while it loads
    import peft
    import torch
    import transformers
    from opponent import lora_config, nf4_config

    done["imports"] = time.time() - start
    torch.set_num_threads(options.threads)
    dtype = torch.bfloat16 if options.compute == "bf16" else torch.float32
    config = json.loads((options.folder / "config.json").read_text())
    quantize = {} if "quantization_config" in config else {"quantization_config": nf4_config(dtype)}
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.EsmForTokenClassification.from_pretrained(
        options.folder, dtype=dtype, attn_implementation="sdpa", **quantize)
    model = peft.get_peft_model(model, lora_config("qkv")).train()
    done["loaded"] = time.time() - start
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-3)
    ids = torch.randint(4, 24, (1, options.tokens))
    labels = (torch.rand(ids.shape) < 0.1).long()
    model(input_ids=ids, labels=labels).loss.backward()
    optimizer.step()
    done["first step"] = time.time() - start
    print(json.dumps(done), flush=True)


def command_parser(description, size, work):
    """Of the options of a script that runs commands in turns, and itself as the other side's with `--work` WORK."""
    parser = Parser(description)
    parser.add_argument("--size", type=numbers, default=size, help="hidden, layers, heads")
    parser.add_argument("--compute", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--repeats", type=int, default=3)
    add_options_of_sides(parser, "qlora")
    parser.add_argument("--work", choices=["make", work], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser


def main():
    parser = command_parser(__doc__, [1280, 33, 20], "start")
    parser.add_argument("--tokens", type=int, default=256, help="of the sequence")
    options = parser.parse_args()
    if options.work == "make":
        return make_model(options.folder, options.size)
    if options.work == "start":
        return other_side(options)

    make_environment(options.venv)
    environment = {"OMP_NUM_THREADS": str(options.threads)}
    with tempfile.TemporaryDirectory() as work:
        folder, quantized, out = (pathlib.Path(work) / name for name in ("model", "quantized", "out"))
        this = [options.venv / "bin/python", __file__, "--compute", options.compute, "--tokens", str(options.tokens),
                "--size", ",".join(map(str, options.size)), "--threads", str(options.threads)]
        subprocess.run(this + ["--work", "make", "--folder", folder], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([options.program, "quantize", "--model", folder, "--quant", "nf4", "--out", quantized],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        protein = pathlib.Path(work) / "protein.txt"
        residues = options.tokens - 2  # beside <cls> and <eos>
        lines = [">p", ("LAGVSERTIDPKQNFYMHWC" * residues)[:residues], ("0000000001" * residues)[:residues]]
        protein.write_text("\n".join(lines) + "\n", encoding="utf-8")

        def train(model):
            return [options.program, "train", "--model", model, "--train", protein, "--out", out, "--placement", "qkv",
                    "--quant", "nf4", "--compute", options.compute, "--dropout", "0.5", "--epochs", "1", "--ci", "none",
                    "--quiet"]

        start = this + ["--work", "start", "--folder"]
        sides = [Command("qlora", train(folder), environment, out),
                 Command("qlora, quantized before", train(quantized), environment, out),
                 Command("hf", start + [folder], environment),
                 Command("hf, quantized before", start + [quantized], environment)]
        results = in_turns(sides, options.repeats, 0)
    print(f"{processor()}, {options.threads} threads a side; {options.size} in {options.compute}, {options.tokens} "
          f"tokens; {options.repeats} repetitions\n")
    print("| s, median (range) | imports | loaded | first step | ended | of hf's same | peak MB |\n|---|---|---|---|---|---|---|")
    for name, found in results.items():
        cells = [spread([one[key] for one in found], "%.2f") if key in found[0] else ""
                 for key in ("imports", "loaded", "first step", "ended")]
        same = results[name.replace("qlora", "hf")]
        ratios = [one["first step"] / other["first step"] for one, other in zip(found, same)]
        print(f"| {name} | {' | '.join(cells)} | {spread(ratios, '%.2f')} | "
              f"{max(one['peak_MB'] for one in found):.0f} |")
    say_load([one["others"] for found in results.values() for one in found])


if __name__ == "__main__":
    main()
