"""Goldens of pickled/: files of torch.save and pickle, and what must be read from them."""

import json
import pickle

import hf  # before torch, whose environment it sets
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from training import CARD_TARGETS

SEQUENCES = ["MKV", "WHCXLAGVST", "y"]
LABELS = [[0, 1, 0], [0, 0, 1, 1, -100, 0, 0, 0, 0, 1], [1]]
RANK, ALPHA = 3, 5


def tiny_model():
    """An ESM-2 of a few kilobytes; no two of its extents are equal."""
    return hf.randomize(transformers.EsmForTokenClassification(hf.esm_config(12, 2, 2, 20, 1e-5)), 21)


def unusual(state):
    """The same numbers as torch.save may meet them: transposed, shared, sliced, as parameters, of several types."""
    state = dict(state)
    layer = "esm.encoder.layer.0.attention.self."
    state[layer + "query.weight"] = state[layer + "query.weight"].t().contiguous().t()
    both = torch.cat([state[layer + "key.bias"], state[layer + "value.bias"]])
    state[layer + "key.bias"], state[layer + "value.bias"] = both[:12], both[12:]
    state[layer + "key.weight"] = torch.stack([state[layer + "key.weight"]] * 2, dim=2)[:, :, 1]
    state["classifier.bias"] = torch.nn.Parameter(state["classifier.bias"])
    state["esm.encoder.layer.1.output.dense.bias"] = state["esm.encoder.layer.1.output.dense.bias"].double()
    for name, dtype in [("intermediate", torch.float16), ("output", torch.bfloat16)]:
        name = f"esm.encoder.layer.1.{name}.dense.weight"
        state[name] = state[name].to(dtype)
    state["esm.embeddings.position_ids"] = torch.arange(5)[None]
    return state


def card_adapter():
    """Tensors and configuration as PEFT 0.6 saved the card's adapter: LoRA on a classifier that is saved, too."""
    generator = np.random.default_rng(22)

    def draw(*shape):
        return 0.3 * torch.tensor(generator.standard_normal(shape), dtype=torch.float32)

    tensors = {}
    for layer in range(2):
        for name in ("query", "key", "value"):
            module = f"base_model.model.esm.encoder.layer.{layer}.attention.self.{name}"
            tensors |= {f"{module}.lora_A.weight": draw(RANK, 12), f"{module}.lora_B.weight": draw(12, RANK)}
    a, b = draw(RANK, 12), draw(2, RANK)
    head = "base_model.model.classifier."
    tensors |= {head + "weight": draw(2, 12), head + "bias": draw(2), head + "lora_A.weight": a,
                head + "lora_B.weight": b, head + "modules_to_save.lora_A.weight": a,
                head + "modules_to_save.lora_B.weight": b, head + "original_module.lora_A.weight": draw(RANK, 12),
                head + "original_module.lora_B.weight": torch.zeros(2, RANK)}
    config = {"auto_mapping": None, "base_model_name_or_path": "model", "bias": "none", "fan_in_fan_out": False,
              "inference_mode": True, "init_lora_weights": True, "layers_pattern": None, "layers_to_transform": None,
              "lora_alpha": ALPHA, "lora_dropout": 0.5, "modules_to_save": None, "peft_type": "LORA", "r": RANK,
              "rank_pattern": {}, "alpha_pattern": {}, "revision": None, "target_modules": CARD_TARGETS,
              "task_type": "TOKEN_CLS"}
    return tensors, config


def folded(tensors):
    """The adapter that the tensors above compute: LoRA on query, key and value, and a plain classifier."""
    head = "base_model.model.classifier."
    kept = {name: tensor for name, tensor in tensors.items() if ".self." in name or name == head + "bias"}
    product = tensors[head + "lora_B.weight"].double() @ tensors[head + "lora_A.weight"].double()
    kept[head + "weight"] = (tensors[head + "weight"].double() + ALPHA / RANK * product).float()
    return kept


def logits_with(model, tensors):
    """Logits (tokens, 2) of SEQUENCES with W + s B A in place of every W that the adapter changes."""
    state = dict(model.state_dict())
    for name, tensor in tensors.items():
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        if name.endswith("lora_A.weight"):
            state[module + ".weight"] = state[module + ".weight"] + (
                ALPHA / RANK * tensors[name.replace("lora_A", "lora_B")] @ tensor)
        elif "lora_" not in name:
            state[module] = tensor
    model.load_state_dict(state)
    with torch.no_grad():
        return hf.packed_logits(model, [sequence.upper() for sequence in SEQUENCES])


def make_pickled(out):
    root = out / "pickled"
    folders = {name: root / name for name in ("model", "sharded", "legacy", "adapter")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    model = tiny_model()
    state = unusual(model.state_dict())
    for name in ("model", "sharded", "legacy"):
        model.config.save_pretrained(folders[name])
    torch.save(state, folders["model"] / "pytorch_model.bin")
    torch.save(state, folders["legacy"] / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    names = sorted(state)
    shards = {"pytorch_model-00001-of-00002.bin": names[:20], "pytorch_model-00002-of-00002.bin": names[20:]}
    for shard, held in shards.items():
        torch.save({name: state[name] for name in held}, folders["sharded"] / shard)
    (folders["sharded"] / "pytorch_model.bin.index.json").write_text(json.dumps(
        {"metadata": {"total_size": 0}, "weight_map": {name: shard for shard, held in shards.items() for name in held}},
        indent=1) + "\n")
    save_file({name: (tensor.float() if tensor.is_floating_point() else tensor).detach().contiguous().clone()
               for name, tensor in state.items()}, root / "model.safetensors")

    tensors, config = card_adapter()
    torch.save(tensors, folders["adapter"] / "adapter_model.bin")
    (folders["adapter"] / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(folded(tensors), root / "adapter.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items() if "position_ids" not in name})
    with torch.no_grad():
        logits = hf.packed_logits(model, [sequence.upper() for sequence in SEQUENCES])
    save_file({"logits": logits, "logits.adapter": logits_with(model, folded(tensors))}, root / "logits.safetensors")

    for protocol in range(6):
        for what, values in [("sequences", SEQUENCES), ("labels", LABELS)]:
            path = root / f"protocol{protocol}_{what}_chunked_by_family.pkl"
            path.write_bytes(pickle.dumps(values, protocol))
