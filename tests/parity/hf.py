"""What the parity scripts share: tokens, small random models, quantized bases, adapters, the training loop.

Import it before torch: it sets environment variables that torch reads once.
"""

import copy
import math
import os

os.environ["ATEN_CPU_CAPABILITY"] = "avx2"  # torch then sums in one order on every x86 machine
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"  # and so do its products, which AMX would sum in another
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # bitsandbytes would compile some of its functions

import bitsandbytes.functional as bnb
import numpy as np
import peft
import torch
import transformers
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from torch.nn.functional import cross_entropy
from transformers.models.esm import modeling_esm

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PLACEMENTS = {
    "qkv": ["query", "key", "value"],
    "all": ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"],
}
SKIPPED_MODULES = ["classifier", "esm.contact_head.regression"]
IGNORED_LABEL = -100
CLS, PAD, EOS, UNKNOWN = 0, 1, 2, 3
RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO.-"  # ids from 4


def _rotate(q, k, cos, sin, unsqueeze_dim=1):
    """Rotary embedding that keeps float64; transformers' own goes through float32."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)

    def turn(x):
        return (x.to(dtype) * cos + modeling_esm.rotate_half(x.to(dtype)) * sin).to(x.dtype)

    return turn(q), turn(k)


modeling_esm.apply_rotary_pos_emb = _rotate


# Tokens and batches

def encode(sequence):
    """Token ids of one sequence with <cls> and <eos>."""
    ids = [4 + RESIDUES.index(residue) if residue in RESIDUES else UNKNOWN for residue in sequence]
    return torch.tensor([CLS, *ids, EOS])


def encode_labels(labels):
    """Labels of one sequence from a string of 0, 1 and - (unknown), aligned with encode()."""
    values = {"0": 0, "1": 1, "-": IGNORED_LABEL}
    return torch.tensor([IGNORED_LABEL, *(values[label] for label in labels), IGNORED_LABEL])


def pack(tensors):
    """Concatenated int32 rows and the offsets of their sequences."""
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return torch.cat(tensors).int(), offsets.int()


def packed_logits(model, sequences):
    """Logits (tokens, 2) of a padded batch, padding removed."""
    tokens = [encode(sequence) for sequence in sequences]
    padded = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PAD)
    mask = padded != PAD
    return model(input_ids=padded, attention_mask=mask.long()).logits[mask]


def weighted_loss(logits, labels, class_weights):
    """sum(w_y * nll) / sum(w_y) over the labelled tokens."""
    return cross_entropy(logits, labels, weight=class_weights.to(logits.dtype), ignore_index=IGNORED_LABEL)


def balanced_weights(label_strings):
    """n / (2 n_class) over the labelled residues."""
    text = "".join(label_strings)
    counts = np.array([text.count("0"), text.count("1")], dtype=np.float64)
    return torch.tensor(counts.sum() / (2 * counts), dtype=torch.float32)


def read_three_lines(path):
    """[(id, sequence, labels)] of a three-line file."""
    with open(path) as file:
        lines = file.read().splitlines()
    return [(lines[i][1:], lines[i + 1], lines[i + 2]) for i in range(0, len(lines), 3)]


def write_three_lines(path, records):
    with open(path, "w") as file:
        file.writelines(f">{name}\n{sequence}\n{labels}\n" for name, sequence, labels in records)


# Models

def esm_config(hidden, heads, layers, intermediate, eps):
    return transformers.EsmConfig(
        vocab_size=33, hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=layers,
        intermediate_size=intermediate, layer_norm_eps=eps, max_position_embeddings=1026, pad_token_id=PAD,
        mask_token_id=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, token_dropout=True,
        emb_layer_norm_before=False, position_embedding_type="rotary", num_labels=2,
        attn_implementation="eager")


def randomize(model, seed):
    """Fills every parameter, biases and LayerNorms included, with values that make the outputs vary."""
    generator = np.random.default_rng(seed)
    for name, parameter in sorted(model.named_parameters()):
        draw = torch.tensor(generator.standard_normal(parameter.shape), dtype=torch.float32)
        if "LayerNorm.weight" in name or "layer_norm_after.weight" in name or "layer_norm.weight" in name:
            draw = 1 + 0.2 * draw
        elif name.endswith("bias"):
            draw = 0.2 * draw
        elif "word_embeddings" not in name:
            draw = draw * 1.5 / math.sqrt(parameter.shape[-1])
        parameter.data.copy_(draw)
    return model.eval()


def load_model(folder, **options):
    model = transformers.EsmForTokenClassification.from_pretrained(folder, attn_implementation="eager", **options)
    return model.eval()


def quantize_4bit(weight, kind, block=64):
    """Packed codes and the doubly quantized state."""
    return bnb.quantize_4bit(weight, blocksize=block, compress_statistics=True, quant_type=kind)


def dequantize_4bit(codes, state, dtype=torch.float32):
    """The tensor by bitsandbytes' portable implementation.

    Its AVX-512 one (0.50.2) gives wrong values for rows that are a multiple of 16 but not a whole number of blocks,
    such as the 480 columns of the 35M model with blocks of 64.
    """
    absmax = state.absmax
    if state.nested:
        absmax = bnb.dequantize_blockwise(absmax, state.state2) + state.offset
    return _dequantize_4bit_compute(codes.reshape(-1), absmax, state.code, state.blocksize, state.shape, dtype)


def quantize_int8(weight):
    """Codes and row scales as bitsandbytes makes them of a linear layer, from the weight in float16."""
    codes, scales, _ = bnb.int8_vectorwise_quant(weight.half())
    return codes, scales


def dequantize_int8(codes, scales):
    return bnb.int8_vectorwise_dequant(codes, scales)


def dequantized(weight, kind):
    """The float32 weight that remains after quantization: nf4, fp4 or int8."""
    if kind == "int8":
        return dequantize_int8(*quantize_int8(weight))
    return dequantize_4bit(*quantize_4bit(weight, kind))


def quantized_base(model, kind):
    """A copy of the model whose encoder linear layers went through quantization; kind `full` changes nothing."""
    model = copy.deepcopy(model)
    if kind != "full":
        for module in model.esm.encoder.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.data = dequantized(module.weight.data, kind)
    return model


# Adapters

def add_adapter(model, targets, rslora=False, rank=3, alpha=5):
    """PEFT's adapter without dropout and with a trained head, on a copy of the model."""
    config = peft.LoraConfig(task_type=peft.TaskType.TOKEN_CLS, r=rank, lora_alpha=alpha, lora_dropout=0.0, bias="none",
                             target_modules=targets, use_rslora=rslora)
    model = peft.get_peft_model(copy.deepcopy(model), config)
    config.target_modules = targets  # in a fixed order, where PEFT makes a set of them
    config.base_model_name_or_path = "models/odd"
    return model


def save_adapter(model, folder):
    """PEFT's folder without the model card."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()


def load_adapter(model, folder):
    """PEFT's adapter from a folder, trainable, on a copy of the model."""
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), folder, is_trainable=True)


def trainable(model):
    """Trainable parameters by their name in adapter_model.safetensors."""
    return {name.replace(".modules_to_save.default", "").replace(".default", ""): parameter
            for name, parameter in model.named_parameters() if parameter.requires_grad}


def train(model, records, *, learning_rate, epochs, sequences_per_step, weight_decay=0.3, clip=0.5):
    """Trains in file order; returns loss, grad_norm (before clipping) and learning_rate of each step."""
    model.eval()  # no dropout anywhere
    parameters = trainable(model)
    decay = [p for name, p in parameters.items() if not name.endswith("bias")]
    no_decay = [p for name, p in parameters.items() if name.endswith("bias")]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": weight_decay},
                                   {"params": no_decay, "weight_decay": 0.0}], betas=(0.9, 0.999), eps=1e-8)
    class_weights = balanced_weights([labels for _, _, labels in records])
    batches = [records[i:i + sequences_per_step] for i in range(0, len(records), sequences_per_step)]
    steps = epochs * len(batches)
    history = {"loss": [], "grad_norm": [], "learning_rate": []}
    for step in range(steps):
        batch = batches[step % len(batches)]
        labels = torch.cat([encode_labels(labels) for _, _, labels in batch])
        rate = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = weighted_loss(packed_logits(model, [sequence for _, sequence, _ in batch]), labels, class_weights)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        optimizer.step()
        history["loss"].append(loss.item())
        history["grad_norm"].append(norm.item())
        history["learning_rate"].append(rate)
    return history
