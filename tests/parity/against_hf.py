"""Compares a built `qlora` program with transformers, PEFT and bitsandbytes, on the models of tests/goldens/.

    python tests/parity/against_hf.py build/release/qlora

Install tests/parity/requirements.txt first. Prints a line a check; exit 1 if any fails.
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile

import hf  # before torch, whose environment it sets
import bitsandbytes as bnb
import torch
from safetensors.torch import load_file

from inference import random_sequences

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "goldens"
ODD, TINY = GOLDENS / "models/odd", GOLDENS / "models/tiny"
DATA = GOLDENS / "train/data.txt"
SEQUENCES = ["M", "KX", "MBZUOXA"] + random_sequences(12, [64, 131, 300])
LEARNING_RATE, EPOCHS, SEQUENCES_PER_STEP = 5e-3, 10, 6
COMMON = ["--device", "cpu", "--compute", "fp32", "--quiet"]
BATCHES = ["--train", DATA, "--batch-sequences", SEQUENCES_PER_STEP]
TRAINED = {  # adapters that the program trains from its own initialisation
    "qkv": ["--placement", "qkv", "--quant", "none"],
    "all": ["--placement", "all", "--quant", "nf4"],
    "all_rslora": ["--placement", "all", "--quant", "none", "--rslora"],
    "card": ["--placement", "card", "--quant", "none"],
}


class Program:
    """The program under test, with a folder for what it writes."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def run(self, command, out, *arguments):
        """Runs `qlora COMMAND --out OUT ...` and returns the path of OUT."""
        out = self.folder / out
        line = [self.path, command, "--out", out, *arguments, *COMMON]
        result = subprocess.run(list(map(str, line)), capture_output=True, text=True)
        if result.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, line))}: exit {result.returncode}: {result.stderr.strip()}")
        return out

    def logits(self, name, *arguments):
        """Logits (residues, 2) of SEQUENCES by `qlora predict`."""
        fasta = self.folder / "sequences.fasta"
        fasta.write_text("".join(f">s{i}\n{sequence}\n" for i, sequence in enumerate(SEQUENCES)))
        table = self.run("predict", f"{name}.tsv", "--fasta", fasta, "--logits", *arguments)
        with open(table) as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        places = [(row["id"], int(row["position"]), row["residue"]) for row in rows]
        expected = [(f"s{i}", j + 1, residue) for i, sequence in enumerate(SEQUENCES)
                    for j, residue in enumerate(sequence)]
        assert places == expected, f"{table.name}: residues are not those of the FASTA file"
        return torch.tensor([[float(row["logit0"]), float(row["logit1"])] for row in rows])


def assert_close(found, expected, absolute, relative, what):
    excess = (found - expected).abs() - relative * expected.abs()
    assert excess.max().item() <= absolute, f"{what}: off by {(found - expected).abs().max().item():.3g}"


def assert_same_bits(found, expected, what):
    assert found.dtype == expected.dtype and found.shape == expected.shape, (
        f"{what}: expected {expected.dtype} {tuple(expected.shape)}, found {found.dtype} {tuple(found.shape)}")
    assert found.numpy().tobytes() == expected.numpy().tobytes(), f"{what}: bits differ"


@torch.no_grad()
def residue_logits(model):
    """Logits (residues, 2) of SEQUENCES by transformers, <cls> and <eos> left out."""
    inside = torch.cat([torch.tensor([False] + [True] * len(sequence) + [False]) for sequence in SEQUENCES])
    return hf.packed_logits(model, SEQUENCES)[inside]


def check_training(program, arm, base):
    """50 steps from the same adapter give the losses and gradient norms of a PEFT loop."""
    init = GOLDENS / f"train/{arm}.init"
    out = program.run("train", f"curve.{arm}.{base}", "--model", ODD, *BATCHES, "--no-shuffle", "--init-adapter", init,
                      "--quant", "none" if base == "full" else base, "--dropout", 0, "--epochs", EPOCHS,
                      "--lr", LEARNING_RATE, "--schedule", "cosine", "--weight-decay", 0.3, "--clip", 0.5,
                      "--class-weights", "balanced")
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    model = hf.load_adapter(hf.quantized_base(hf.load_model(ODD), base), init)
    history = hf.train(model, hf.read_three_lines(DATA), learning_rate=LEARNING_RATE, epochs=EPOCHS,
                       sequences_per_step=SEQUENCES_PER_STEP)
    assert len(rows) == len(history["loss"]), f"history.csv has {len(rows)} steps instead of {len(history['loss'])}"
    for column, relative in [("loss", 1e-4), ("grad_norm", 1e-3), ("learning_rate", 1e-6)]:
        assert_close(torch.tensor([float(row[column]) for row in rows]), torch.tensor(history[column]), 1e-9, relative,
                     column)


def check_adapter(program, name, arguments):
    """PEFT computes the logits of an adapter that the program trained, and saves it again bit for bit."""
    adapter = program.run("train", name, "--model", ODD, *BATCHES, *arguments, "--rank", 3, "--alpha", 5,
                          "--dropout", 0.2, "--epochs", 2, "--lr", 1e-2)
    base = arguments[arguments.index("--quant") + 1]
    model = hf.load_adapter(hf.quantized_base(hf.load_model(ODD), base.replace("none", "full")), adapter).eval()
    found = program.logits(name, "--model", ODD, "--adapter", adapter, "--quant", base)
    assert_close(found, residue_logits(model), 1e-4, 1e-4, "logits")
    again = program.folder / f"{name}.again"
    hf.save_adapter(model, again)
    saved, written = (load_file(folder / "adapter_model.safetensors") for folder in (again, adapter))
    assert saved.keys() == written.keys(), f"tensors differ: {sorted(saved.keys() ^ written.keys())}"
    for key, tensor in written.items():
        assert_same_bits(saved[key], tensor, key)


def reference_4bit(weight, kind, offset):
    """bitsandbytes' codes, absmax codes and nested absmax, given the mean that the folder was written with."""
    codes, state = bnb.functional.quantize_4bit(weight, blocksize=64, quant_type=kind)
    torch.testing.assert_close(offset, state.absmax.mean(), rtol=2.5e-7, atol=0)  # 2 ulp
    absmax_codes, nested = bnb.functional.quantize_blockwise(state.absmax - offset, blocksize=256)
    return codes, absmax_codes, nested.absmax


def check_quantized_folder(program, kind):
    """transformers loads what `quantize` wrote, and the bytes are those of bitsandbytes."""
    out = program.run("quantize", f"tiny_{kind}", "--model", TINY, "--quant", kind)
    model, info = hf.transformers.EsmForTokenClassification.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"], f"transformers misses {sorted(info['missing_keys'])}"
    originals = hf.load_model(TINY).state_dict()
    for name, module in model.named_modules():
        original = originals.get(f"{name}.weight")
        if name.startswith("esm.encoder") and isinstance(module, torch.nn.Linear):
            expected_type = bnb.nn.Linear8bitLt if kind == "int8" else bnb.nn.Linear4bit
            assert isinstance(module, expected_type), f"{name}: not quantized"
            if kind == "int8":
                names, expected = ["codes", "SCB"], hf.quantize_int8(original)
                found = [module.weight.data, module.weight.SCB]
            else:
                state = module.weight.quant_state
                names, expected = ["codes", "absmax", "nested_absmax"], reference_4bit(original, kind, state.offset)
                found = [module.weight.data, state.absmax, state.state2.absmax]
            for part, have, want in zip(names, found, expected):
                assert_same_bits(have, want, f"{name} {part}")
        elif original is not None:
            assert_same_bits(module.weight.data, original.data, f"{name}.weight")


def check_reading_quantized(program, folder, kind):
    """The program computes the right logits with a folder that transformers and bitsandbytes wrote."""
    model = hf.quantized_base(hf.load_model(TINY), kind)
    if folder == "tiny_nf4_head":
        model.classifier.weight.data = hf.dequantized(model.classifier.weight.data, kind)
    found = program.logits(folder, "--model", GOLDENS / "models" / folder)
    assert_close(found, residue_logits(model), 1e-4, 1e-4, "logits")


def check_reading_16_bits(program, dtype):
    """The program expands a folder that was quantized from 16 bits to what bitsandbytes' dequantize_4bit gives."""
    config = hf.transformers.BitsAndBytesConfig(
        llm_int8_skip_modules=hf.SKIPPED_MODULES, load_in_4bit=True, bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="float32")
    quantized = hf.load_model(TINY, quantization_config=config, dtype=dtype)
    folder = program.folder / f"tiny.{dtype}"
    quantized.save_pretrained(folder)
    model = hf.load_model(TINY, dtype=dtype).float()
    for name, module in quantized.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            state = module.weight.quant_state
            assert state.dtype == dtype, f"{name}: quantized from {state.dtype}"
            model.get_submodule(name).weight.data = hf.dequantize_4bit(module.weight.data, state, dtype).float()
    assert_close(program.logits(folder.name, "--model", folder), residue_logits(model), 1e-4, 1e-4, "logits")


def check_merge(program, adapter):
    """`merge` gives the weights that PEFT's merge gives."""
    out = program.run("merge", f"merged.{adapter}", "--model", ODD, "--adapter", GOLDENS / "lora" / adapter)
    expected = hf.load_adapter(hf.load_model(ODD), GOLDENS / "lora" / adapter).merge_and_unload().state_dict()
    found = hf.load_model(out).state_dict()
    for name, tensor in expected.items():
        assert_close(found[name], tensor, 1e-5, 1e-5, name)


def check_import_model(program):
    """transformers loads what `import` made of a pickled model, bit for bit, and both compute the same."""
    original = hf.load_model(ODD)
    folder = program.folder / "pickled"
    folder.mkdir()
    original.config.save_pretrained(folder)
    torch.save(original.state_dict(), folder / "pytorch_model.bin")
    out = program.run("import", "imported", "--input", folder)
    model, info = hf.transformers.EsmForTokenClassification.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"], f"transformers misses {sorted(info['missing_keys'])}"
    for name, tensor in original.state_dict().items():
        assert_same_bits(model.state_dict()[name], tensor, name)
    assert_close(program.logits("imported", "--model", out), residue_logits(model.eval()), 1e-4, 1e-4, "logits")


def check_import_adapter(program):
    """PEFT loads what `import` made of the card's adapter; both compute what the unfolded tensors say."""
    model = program.run("import", "tiny", "--input", GOLDENS / "pickled/model")
    out = program.run("import", "card.imported", "--input", GOLDENS / "pickled/adapter")
    base = hf.load_model(model)
    state, tensors = base.state_dict(), torch.load(GOLDENS / "pickled/adapter/adapter_model.bin", weights_only=True)
    for name, a in tensors.items():
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        if name.endswith("lora_A.weight") and "modules_to_save" not in name and "original_module" not in name:
            weight = tensors["base_model.model.classifier.weight"] if module == "classifier" else state[module + ".weight"]
            state[module + ".weight"] = weight + 5 / 3 * tensors[name.replace("lora_A", "lora_B")] @ a
    state["classifier.bias"] = tensors["base_model.model.classifier.bias"]
    expected = hf.load_model(model)
    expected.load_state_dict(state)
    loaded = hf.load_adapter(base, out).eval()
    assert_close(residue_logits(loaded), residue_logits(expected), 1e-4, 1e-4, "PEFT's logits")
    found = program.logits("card.imported", "--model", model, "--adapter", out)
    assert_close(found, residue_logits(expected), 1e-4, 1e-4, "logits")


def checks():
    """(name, function, arguments) of every check."""
    for arm in hf.PLACEMENTS:
        for base in ("full", "nf4"):
            yield f"training curve, {arm} on {base}", check_training, (arm, base)
    for name, arguments in TRAINED.items():
        yield f"trained adapter, {name}", check_adapter, (name, arguments)
    for kind in ("nf4", "fp4", "int8"):
        yield f"folder written by quantize, {kind}", check_quantized_folder, (kind,)
    for folder, kind in [("tiny_nf4", "nf4"), ("tiny_nf4_head", "nf4"), ("tiny_fp4", "fp4"), ("tiny_int8", "int8")]:
        yield f"quantized folder read, {folder}", check_reading_quantized, (folder, kind)
    for dtype in (torch.bfloat16, torch.float16):
        yield f"quantized folder read, {dtype}", check_reading_16_bits, (dtype,)
    for adapter in ("qkv", "all", "all_rslora"):
        yield f"merge, {adapter}", check_merge, (adapter,)
    yield "imported model", check_import_model, ()
    yield "imported adapter", check_import_adapter, ()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="path of the built qlora")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        program = Program(arguments.program.resolve(), pathlib.Path(folder))
        names = list(checks())
        for name, check, values in names:
            try:
                check(program, *values)
                print(f"ok      {name}", flush=True)
            except Exception as error:  # a check that cannot run has failed; the others still tell something
                failed += 1
                print(f"FAILED  {name}: {error}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
