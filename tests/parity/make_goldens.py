"""Writes tests/goldens/ (its README.md says what each file holds), or checks it.

    python tests/parity/make_goldens.py            make all files in place
    python tests/parity/make_goldens.py --check    make them in a temporary folder and compare; exit 1 if they differ

Install tests/parity/requirements.txt first.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile

import inference  # these before torch, whose environment hf.py sets
import pickled
import quantization
import training
import torch
from safetensors.torch import load_file
from same import close

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "goldens"
FOLDERS = ["models", "forward", "quant", "lora", "train", "merge", "card", "pickled"]
BIT_EQUAL = ["models", "quant"]  # no matrix products in these


def make(out):
    inference.make_models(out)
    inference.make_forward(out)
    quantization.make_quant(out)
    training.make_lora(out)
    training.make_train(out)
    training.make_adamw(out)
    training.make_merge(out)
    training.make_card(out)
    pickled.make_pickled(out)


def files(root):
    """Relative paths of what this script makes, as far as it is there."""
    paths = [path for folder in FOLDERS for path in (root / folder).rglob("*")] + list(root.glob("adamw.*"))
    return {path.relative_to(root) for path in paths if path.is_file()}


def load_tensors(path):
    return torch.load(path, weights_only=True) if path.suffix == ".bin" else load_file(path)


def difference(found, expected):
    """A sentence on the first difference of two tensor files, or None."""
    bit_equal = any(folder in expected.parts for folder in BIT_EQUAL)
    found, expected = load_tensors(found), load_tensors(expected)
    if found.keys() != expected.keys():
        return f"tensors differ: {sorted(found.keys() ^ expected.keys())}"
    for name, want in expected.items():
        have = found[name]
        if have.dtype != want.dtype or have.shape != want.shape:
            return f"{name}: {want.dtype} {tuple(want.shape)} committed, {have.dtype} {tuple(have.shape)} made"
        if bit_equal or not want.is_floating_point():
            equal = have.numpy().tobytes() == want.numpy().tobytes()
        else:
            scale = want.abs().max().item() if want.numel() else 0.0
            equal = (have - want).abs().max().item() <= 1e-4 * scale
        if not equal:
            return f"{name}: largest difference {(have.double() - want.double()).abs().max().item():.3g}"
    return None


def compare(made, committed):
    """Sentences on all differences between two golden folders."""
    problems = [f"{path}: only in one of the two folders" for path in sorted(files(made) ^ files(committed))]
    for path in sorted(files(made) & files(committed)):
        if path.suffix in (".safetensors", ".bin"):  # legacy pickles hold addresses
            problem = difference(made / path, committed / path)
        elif path.suffix == ".json":
            made_values, values = (json.loads((root / path).read_text()) for root in (made, committed))
            same = close(made_values, values, relative=1e-3)
            problem = None if same else "values differ"
        else:
            problem = None if (made / path).read_bytes() == (committed / path).read_bytes() else "bytes differ"
        if problem:
            problems.append(f"{path}: {problem}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder)
        make(made)
        if arguments.check:
            problems = compare(made, GOLDENS)
            print("\n".join(problems) if problems else f"{len(files(made))} files agree")
            return 1 if problems else 0
        for name in FOLDERS:
            shutil.rmtree(GOLDENS / name, ignore_errors=True)
        for path in files(made):
            (GOLDENS / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / path, GOLDENS / path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
