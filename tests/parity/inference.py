"""Goldens of models/ and forward/."""

import json

import hf  # before torch, whose environment it sets
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

SEQUENCES = ["M", "KX", "MBZUOXA"]
ODD_RESIDUES = "MA-KJLV.GJJX"


def random_sequences(seed, lengths):
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list("LAGVSERTIDPKQNFYMHWCXBUZO"), length)) for length in lengths]


def make_models(out):
    odd = hf.randomize(transformers.EsmForTokenClassification(hf.esm_config(40, 4, 3, 104, 3e-5)), 1)
    odd.save_pretrained(out / "models/odd")
    odd.save_pretrained(out / "models/odd_sharded", max_shard_size="64KB")
    masked = hf.randomize(transformers.EsmForMaskedLM(hf.esm_config(40, 4, 3, 104, 3e-5)), 2)
    masked.esm.load_state_dict(odd.esm.state_dict())
    masked.save_pretrained(out / "models/odd_no_head")

    tiny = out / "models/tiny"
    hf.randomize(transformers.EsmForTokenClassification(hf.esm_config(64, 4, 2, 128, 1e-5)), 3).save_pretrained(tiny)
    for name, kind, skipped in [("tiny_nf4", "nf4", hf.SKIPPED_MODULES), ("tiny_nf4_head", "nf4", None),
                                ("tiny_fp4", "fp4", hf.SKIPPED_MODULES), ("tiny_int8", "int8", hf.SKIPPED_MODULES)]:
        bits = {"load_in_8bit": True} if kind == "int8" else {
            "load_in_4bit": True, "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": "float32"}
        config = transformers.BitsAndBytesConfig(llm_int8_skip_modules=skipped, **bits)
        hf.load_model(tiny, quantization_config=config, dtype=torch.float32).save_pretrained(out / "models" / name)


@torch.no_grad()
def run_alone(model, sequences):
    """Hidden states and logits of each sequence run by itself, packed."""
    places = {"hidden.embedding": model.esm.embeddings, "hidden.final": model.esm.encoder.emb_layer_norm_after,
              "logits": model.classifier}
    places |= {f"hidden.layer.{i}": layer for i, layer in enumerate(model.esm.encoder.layer)}
    packed = {name: [] for name in places}
    # Hooks, because the last of transformers' own hidden states is already normalised.
    hooks = [module.register_forward_hook(lambda module, inputs, output, name=name: packed[name].append(output[0]))
             for name, module in places.items()]
    for sequence in sequences:
        model(input_ids=hf.encode(sequence)[None])
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in packed.items()}


def relative_errors(result, reference):
    return {name: ((result[name].double() - tensor.double()).norm() / tensor.double().norm()).item()
            for name, tensor in reference.items()}


def make_forward(out):
    (out / "forward").mkdir()
    for name, lengths in [("odd", [64, 131, 300]), ("tiny", [64, 131])]:
        folder = out / "models" / name
        sequences = SEQUENCES + random_sequences(4, lengths) + [ODD_RESIDUES]
        model = hf.load_model(folder)
        reference = run_alone(model, sequences)
        tensors = dict(reference)
        tensors["tokens"], tensors["offsets"] = hf.pack([hf.encode(sequence) for sequence in sequences])
        for kind in ("nf4", "fp4", "int8"):
            tensors[f"logits.{kind}"] = run_alone(hf.quantized_base(model, kind), sequences)["logits"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            autocast = run_alone(model, sequences)
        bf16 = run_alone(hf.load_model(folder, dtype=torch.bfloat16), sequences)
        save_file(tensors, out / f"forward/{name}.safetensors")
        (out / f"forward/{name}.json").write_text(json.dumps(
            {"sequences": sequences, "bf16": relative_errors(bf16, reference),
             "bf16_autocast": relative_errors(autocast, reference)}, indent=1) + "\n")
