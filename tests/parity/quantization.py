"""Goldens of quant/: bitsandbytes' bytes for ordinary and awkward tensors."""

import hf  # before torch, whose environment it sets
import bitsandbytes.functional as bnb
import numpy as np
import torch
from safetensors.torch import save_file

TYPES = ["nf4", "fp4"]
ROUNDED = ["square", "minute"]  # cases that are expanded to 16 bits as well


def with_neighbours(values):
    """Each value between the float32 just below and the one just above."""
    values = np.float32(values)
    return np.concatenate([np.nextafter(values, np.float32(-2)), values, np.nextafter(values, np.float32(2))])


def blocks_of(values, scales, block=64):
    """Rows of `block` values scaled by each of `scales`; a row starts with the scale itself, its absmax."""
    row_count = -(-len(values) // (block - 1))
    rows = np.zeros((row_count, block), np.float32)
    rows[:, 0] = 1
    rows[:, 1:].flat[:len(values)] = values
    return torch.tensor(np.concatenate([rows * np.float32(scale) for scale in scales]))


def four_bit_cases(generator):
    def normal(*shape):
        return torch.tensor(generator.standard_normal(shape), dtype=torch.float32)

    cases = {"square": normal(40, 40), "feed_forward": normal(104, 40) * 0.05, "odd_count": normal(7, 9),
             "short_block": normal(3, 50), "single": torch.tensor([[-0.3]]), "large": normal(160, 320) * 0.1,
             "zeros": torch.zeros(2, 64)}
    cases["zero_block"] = normal(4, 64)
    cases["zero_block"][1] = 0
    cases["zero_block"][3, 1:] = 0
    cases["minute"] = normal(4, 64) * torch.tensor([[1e-30], [1e-38], [1e-42], [1.0]])
    cases["minute"][3, ::2] *= 1e-40
    codebooks = [np.sort(bnb.get_4bit_type(kind, device="cpu").numpy()) for kind in TYPES]
    midpoints = np.concatenate([(book[:-1] + book[1:]) / np.float32(2) for book in codebooks])
    cases["ties"] = blocks_of(with_neighbours(midpoints), [1, 0.37])
    cases["codebook"] = blocks_of(np.concatenate(codebooks), [1, 0.37, 3, 1e-6])
    cases["signs"] = normal(5, 64)
    cases["signs"][0] = -0.0
    cases["signs"][1] = -cases["signs"][1].abs()
    cases["signs"][2] = cases["signs"][2].abs()
    cases["signs"][3, ::2], cases["signs"][3, 1::2] = 4.0, -4.0
    cases["signs"][4, 5:9] = -0.0
    return cases


def make_4bit(cases):
    tensors = {f"{kind}_map": bnb.get_4bit_type(kind, device="cpu") for kind in TYPES}
    for case, values in cases.items():
        tensors[f"{case}.input"] = values
        for kind in TYPES:
            for block in (64, 128):
                codes, single = bnb.quantize_4bit(values, blocksize=block, quant_type=kind)
                _, state = hf.quantize_4bit(values, kind, block)
                tensors["dynamic_map"] = state.state2.code
                prefix = f"{case}.{kind}.{block}."
                tensors[prefix + "codes"] = codes.flatten()
                tensors[prefix + "absmax"] = single.absmax
                tensors[prefix + "absmax_codes"] = state.absmax
                tensors[prefix + "nested_absmax"] = state.state2.absmax
                tensors[prefix + "nested_offset"] = state.offset
                tensors[prefix + "dequantized"] = hf.dequantize_4bit(codes, state)
                if case in ROUNDED:
                    for name, dtype in [("bf16", torch.bfloat16), ("half", torch.float16)]:
                        tensors[prefix + f"dequantized_{name}"] = hf.dequantize_4bit(codes, state, dtype).float()
    return tensors


def make_int8(cases, generator):
    cases = {name: cases[name] for name in ("square", "feed_forward", "odd_count", "short_block")}
    cases["zero_row"] = torch.tensor(generator.standard_normal((3, 8)), dtype=torch.float32)
    cases["zero_row"][1] = 0
    steps = (np.arange(-127, 127) + 0.5).astype(np.float32)  # halves: round to even
    cases["ties"] = torch.tensor(np.stack([np.append(steps, 127), np.append(steps, 127) / 127]).astype(np.float32))
    tensors = {}
    for case, values in cases.items():
        codes, scales = hf.quantize_int8(values)
        tensors |= {f"{case}.input": values, f"{case}.codes": codes, f"{case}.scb": scales,
                    f"{case}.dequantized": hf.dequantize_int8(codes, scales)}
    return tensors


def make_quant(out):
    (out / "quant").mkdir()
    generator = np.random.default_rng(5)
    cases = four_bit_cases(generator)
    save_file(make_4bit(cases), out / "quant/4bit.safetensors")
    save_file(make_int8(cases, generator), out / "quant/int8.safetensors")
