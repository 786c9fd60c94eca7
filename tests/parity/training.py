"""Goldens of lora/, train/, adamw.*, merge/ and card/."""

import copy
import json
import math

import hf  # before torch, whose environment it sets
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from inference import random_sequences

BASES = ["full", "nf4"]
ADAPTERS = {"qkv": ("qkv", False), "all": ("all", False), "all_rslora": ("all", True)}
CARD_TARGETS = ["query", "key", "value", "EsmSelfOutput.dense", "EsmIntermediate.dense", "EsmOutput.dense",
                "EsmContactPredictionHead.regression", "classifier"]
CLASS_WEIGHTS = torch.tensor([0.6, 7.0])
LEARNING_RATE = 5e-3
EPOCHS, SEQUENCES_PER_STEP = 10, 6


def random_labels(generator, sequence, positive, unknown):
    """A string of 0, 1 and -, in which half of the positives are tryptophan, histidine or cysteine."""
    draws = generator.random(len(sequence))
    rates = [10 * positive if residue in "WHC" else positive for residue in sequence]
    return "".join("-" if draw > 1 - unknown else "1" if draw < rate else "0" for draw, rate in zip(draws, rates))


def random_records(seed, lengths, positive, unknown):
    generator = np.random.default_rng(seed)
    return [(f"protein_{i}", sequence, random_labels(generator, sequence, positive, unknown))
            for i, sequence in enumerate(random_sequences(seed, lengths))]


def fill_adapter(model, seed, names):
    """Random values for the trainable tensors whose name holds one of `names`."""
    generator = np.random.default_rng(seed)
    for name, parameter in sorted(hf.trainable(model).items()):
        draw = torch.tensor(generator.standard_normal(parameter.shape), dtype=torch.float32)
        if any(part in name for part in names):
            parameter.data.copy_(draw / math.sqrt(parameter.shape[-1]) if "lora_B" not in name else 0.1 * draw)
    return model


def batch_loss(model, records):
    labels = torch.cat([hf.encode_labels(labels) for _, _, labels in records])
    logits = hf.packed_logits(model, [sequence for _, sequence, _ in records])
    logits.retain_grad()
    return logits, hf.weighted_loss(logits, labels, CLASS_WEIGHTS)


def make_lora(out):
    folder = out / "lora"
    folder.mkdir()
    records = random_records(6, [9, 1, 40, 73, 22], positive=0.05, unknown=0.1)
    hf.write_three_lines(folder / "batch.txt", records)
    tokens, offsets = hf.pack([hf.encode(sequence) for _, sequence, _ in records])
    labels, _ = hf.pack([hf.encode_labels(labels) for _, _, labels in records])
    save_file({"tokens": tokens, "offsets": offsets, "labels": labels, "class_weights": CLASS_WEIGHTS},
              folder / "batch.safetensors")
    odd = hf.load_model(out / "models/odd")
    for adapter, (placement, rslora) in ADAPTERS.items():
        model = fill_adapter(hf.add_adapter(odd, hf.PLACEMENTS[placement], rslora), 7, [""])
        hf.save_adapter(model, folder / adapter)
        for base in BASES:
            model = hf.load_adapter(hf.quantized_base(odd, base), folder / adapter).eval()
            with torch.no_grad():
                logits = hf.packed_logits(model, [sequence for _, sequence, _ in records])
            model.double()
            logits_f64, loss = batch_loss(model, records)
            loss.backward()
            save_file({"logits": logits, "loss": loss.detach(), "logits_gradient": logits_f64.grad},
                      folder / f"{adapter}.{base}.outputs.safetensors")
            gradients = {name: parameter.grad for name, parameter in hf.trainable(model).items()}
            assert gradients.keys() == load_file(folder / adapter / "adapter_model.safetensors").keys()
            save_file(gradients, folder / f"{adapter}.{base}.gradients.safetensors")


def make_train(out):
    folder = out / "train"
    folder.mkdir()
    lengths = np.random.default_rng(8).integers(5, 81, 30)
    records = random_records(8, lengths, positive=0.05, unknown=0.05)
    hf.write_three_lines(folder / "data.txt", records)
    class_weights = hf.balanced_weights([labels for _, _, labels in records])
    odd = hf.load_model(out / "models/odd")
    for arm, targets in hf.PLACEMENTS.items():
        hf.save_adapter(fill_adapter(hf.add_adapter(odd, targets), 9, ["lora_A", "classifier"]), folder / f"{arm}.init")
        for base in BASES:
            model = hf.load_adapter(hf.quantized_base(odd, base), folder / f"{arm}.init")
            in_double = copy.deepcopy(model).double()
            settings = {"learning_rate": LEARNING_RATE, "epochs": EPOCHS, "sequences_per_step": SEQUENCES_PER_STEP}
            history, history_f64 = hf.train(model, records, **settings), hf.train(in_double, records, **settings)
            (folder / f"{arm}.{base}.json").write_text(json.dumps({
                "learning_rate": LEARNING_RATE, "class_weights": class_weights.tolist(),
                "learning_rates": history["learning_rate"], "loss": history["loss"],
                "grad_norm": history["grad_norm"], "loss_f64": history_f64["loss"],
                "grad_norm_f64": history_f64["grad_norm"]}, indent=1) + "\n")
            save_file({name: parameter.detach() for name, parameter in hf.trainable(model).items()},
                      folder / f"{arm}.{base}.final.safetensors")


def make_adamw(out):
    shapes = {"decayed": (7, 5), "plain": (11,), "tiny_gradients": (13,), "zero_gradients": (6,)}
    decay = {"decayed": 0.3, "plain": 0.0, "tiny_gradients": 0.3, "zero_gradients": 0.3}
    size = {"decayed": 1.0, "plain": 0.1, "tiny_gradients": 1e-9, "zero_gradients": 0.0}
    steps, learning_rate = 20, 1e-2
    rates = [learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    generator = np.random.default_rng(10)
    tensors = {}
    for name, shape in shapes.items():
        parameter = torch.nn.Parameter(torch.tensor(generator.standard_normal(shape), dtype=torch.float32))
        gradients = size[name] * torch.tensor(generator.standard_normal((steps, *shape)), dtype=torch.float32)
        tensors |= {f"{name}.initial": parameter.detach().clone(), f"{name}.gradients": gradients}
        optimizer = torch.optim.AdamW([parameter], betas=(0.9, 0.999), eps=1e-8, weight_decay=decay[name])
        after = []
        for rate, gradient in zip(rates, gradients):
            optimizer.param_groups[0]["lr"] = rate
            parameter.grad = gradient.clone()
            optimizer.step()
            after.append(parameter.detach().clone())
        tensors[f"{name}.steps"] = torch.stack(after)
    save_file(tensors, out / "adamw.safetensors")
    (out / "adamw.json").write_text(json.dumps(
        {"betas": [0.9, 0.999], "eps": 1e-8, "learning_rates": rates, "weight_decay": decay}, indent=1) + "\n")


def make_merge(out):
    odd = hf.load_model(out / "models/odd")
    for adapter in ("all", "all_rslora"):
        merged = hf.load_adapter(odd, out / "lora" / adapter).merge_and_unload()
        merged.save_pretrained(out / "merge" / adapter)


def make_card(out):
    """An adapter with the card's target_modules, built by hand: PEFT 0.21 refuses to make or load one.

    It computes what PEFT's adapter on query, key and value with a trained head computes.
    """
    folder = out / "card/adapter"
    odd = hf.load_model(out / "models/odd")
    model = fill_adapter(hf.add_adapter(odd, hf.PLACEMENTS["qkv"], rank=2, alpha=1), 11, [""])
    hf.save_adapter(model, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"target_modules": CARD_TARGETS, "modules_to_save": None}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    records = hf.read_three_lines(out / "lora/batch.txt")
    with torch.no_grad():
        logits = hf.packed_logits(model, [sequence for _, sequence, _ in records])
    save_file({"logits": logits}, out / "card/outputs.safetensors")
