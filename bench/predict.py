"""The command `qlora predict` on proteins of real lengths, in turns with transformers + PEFT doing the same work: start,
load a model with random weights and an adapter, read a FASTA file, infer in batches of like lengths, and write a row a
residue. Says how far the probabilities are apart.

    python3 bench/predict.py
    python3 bench/predict.py --size 480,12,20 --compute bf16 --times 4

The other side merges the adapter, uses sdpa and infers up to 4,096 tokens at a time, pads included. Needs
build/release/bin/qlora, and makes a virtual environment of the pinned versions where --venv has none.
"""

import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from against_hf import LENGTHS, tokens_of_sequences
from sides import in_turns, make_environment, processor, say_load, spread
from startup import Command, command_parser, make_model

RESIDUES = "LAGVSERTIDPKQNFYMHWC"
VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]


def other_side(options):
    """Prints the seconds since the process was started by which things were done."""
    start, done = float(os.environ["STARTED"]), {}
    import peft
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    dtype = torch.bfloat16 if options.compute == "bf16" else torch.float32
    model = transformers.EsmForTokenClassification.from_pretrained(options.folder / "model", dtype=dtype,
                                                                   attn_implementation="sdpa")
    model = peft.PeftModel.from_pretrained(model, options.folder / "adapter").merge_and_unload().eval()
    tokenizer = transformers.EsmTokenizer(options.folder / "model/vocab.txt")
    done["loaded"] = time.time() - start
    lines = (options.folder / "proteins.fasta").read_text(encoding="utf-8").splitlines()
    proteins = sorted(zip([line[1:] for line in lines[::2]], lines[1::2]), key=lambda one: len(one[1]))
    batches = []
    for protein in proteins:
        if not batches or (len(batches[-1]) + 1) * (len(protein[1]) + 2) > 4096:
            batches.append([])
        batches[-1].append(protein)
    with (options.folder / "hf.tsv").open("w", encoding="utf-8") as out, torch.inference_mode():
        out.write("id\tposition\tresidue\tprobability\tlabel\n")
        for batch in batches:
            inputs = tokenizer([sequence for _, sequence in batch], padding=True, return_tensors="pt")
            logits = model(**inputs).logits.float()
            chances, labels = logits.softmax(-1)[..., 1].tolist(), logits.argmax(-1).tolist()
            for (name, sequence), row, found in zip(batch, chances, labels):
                out.writelines(f"{name}\t{i + 1}\t{residue}\t{row[i + 1]:.6g}\t{found[i + 1]}\n"
                               for i, residue in enumerate(sequence))
    done["ended"] = time.time() - start
    print(json.dumps(done), flush=True)


def probabilities(file):
    """By protein and position."""
    with file.open(encoding="utf-8") as lines:
        return {(row["id"], row["position"]): float(row["probability"]) for row in csv.DictReader(lines, delimiter="\t")}


def make_files(options, folder):
    """A model, proteins and an adapter that was trained on one of them."""
    subprocess.run([options.venv / "bin/python", __file__, "--folder", folder, "--work", "make",
                    "--size", ",".join(map(str, options.size))], check=True, stderr=subprocess.DEVNULL)
    (folder / "model/vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    drawn = random.Random(1)
    lengths = [tokens - 2 for tokens in tokens_of_sequences(LENGTHS)] * options.times
    drawn.shuffle(lengths)
    sequences = ["".join(drawn.choices(RESIDUES, k=length)) for length in lengths]
    (folder / "proteins.fasta").write_text("".join(f">p{i}\n{one}\n" for i, one in enumerate(sequences)),
                                           encoding="utf-8")
    sites = "".join(drawn.choices("01", [9, 1], k=lengths[0]))
    (folder / "protein.txt").write_text(f">p\n{sequences[0]}\n{sites}\n", encoding="utf-8")
    subprocess.run([options.program, "train", "--model", folder / "model", "--train", folder / "protein.txt",
                    "--out", folder / "adapter", "--quant", "none", "--epochs", "20", "--ci", "none", "--quiet"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return len(lengths), sum(lengths) + 2 * len(lengths)


def main():
    parser = command_parser(__doc__, [320, 6, 20], "predict")
    parser.add_argument("--times", type=int, default=8, help="the 64 proteins of bench/lengths.txt")
    options = parser.parse_args()
    if options.work == "make":
        return make_model(options.folder / "model", options.size)
    if options.work == "predict":
        return other_side(options)

    make_environment(options.venv)
    environment = {"OMP_NUM_THREADS": str(options.threads)}
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        proteins, tokens = make_files(options, folder)
        own = [options.program, "predict", "--model", folder / "model", "--adapter", folder / "adapter", "--quant", "none",
               "--fasta", folder / "proteins.fasta", "--out", folder / "qlora.tsv", "--compute", options.compute, "--quiet"]
        other = [options.venv / "bin/python", __file__, "--work", "predict", "--folder", folder,
                 "--compute", options.compute, "--threads", str(options.threads)]
        sides = [Command("qlora", own, environment), Command("hf", other, environment)]
        results = in_turns(sides, options.repeats, 0)
        ours, theirs = probabilities(folder / "qlora.tsv"), probabilities(folder / "hf.tsv")
        if ours.keys() != theirs.keys():
            sys.exit("the sides wrote other residues")
        apart = max(abs(ours[place] - theirs[place]) for place in ours)
    print(f"{processor()}, {options.threads} threads a side; {options.size} in {options.compute}, "
          f"{proteins} proteins of {tokens} tokens; {options.repeats} repetitions\n")
    print("| median (range) | loaded, s | ended, s | tokens/s, all in all | times hf's | peak MB |\n|---|---|---|---|---|---|")
    for name, found in results.items():
        ended = [one["ended"] for one in found]
        loaded = [one["loaded"] for one in found if "loaded" in one]
        ratios = [other["ended"] / one for one, other in zip(ended, results["hf"])]
        print(f"| {name} | {spread(loaded, '%.2f') if loaded else ''} | {spread(ended, '%.2f')} | "
              f"{spread([tokens / one for one in ended], '%.0f')} | {spread(ratios, '%.2f')} | "
              f"{max(one['peak_MB'] for one in found):.0f} |")
    once_loaded = [one["ended"] - one["loaded"] for one in results["hf"]]
    print(f"\nOnce loaded, hf does {spread([tokens / one for one in once_loaded], '%.0f')} tokens/s.")
    print(f"Probabilities are at most {apart:.2g} apart.")
    say_load([one["others"] for found in results.values() for one in found])


if __name__ == "__main__":
    main()
