"""A training step, or a forward pass, of transformers + PEFT (+ bitsandbytes) on an ESM-2 with random weights: the
other side of against_hf.py, which runs it in a process of its own for every configuration, and of gpu_results.py. Where
PEFT is not installed, which only the latter meets, adapters are those of a few lines below.

Prints a line when it is ready. Then, for every line of standard input, a number of seconds, it works for about that
long and prints a line of JSON. It shares no code with tests/parity/hf.py, which slows torch down for the sake of
reproducible sums.
"""

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time

import torch
import transformers

try:
    import peft
except ImportError:
    peft = None

TARGETS = {
    "qkv": ["query", "key", "value"],
    "all": ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"],
}


class Lora(torch.nn.Module):
    """A linear layer with an adapter of rank 2 and dropout 0.5, as PEFT computes it."""

    def __init__(self, base):
        super().__init__()
        self.base, self.dropout = base, torch.nn.Dropout(0.5)
        self.a = torch.nn.Linear(base.in_features, 2, bias=False)
        self.b = torch.nn.Linear(2, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + (0.5 * self.b(self.a(self.dropout(x.float())))).to(x.dtype)


def add_lora(model, targets):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and any(name.endswith("." + target) for target in targets):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, Lora(module))
    for parameter in model.classifier.parameters():
        parameter.requires_grad_(True)
    return model


def esm_config(size, **more):
    """Of an ESM-2 of these numbers of hidden units, layers and heads."""
    hidden, layers, heads = size
    return transformers.EsmConfig(
        vocab_size=33, hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=layers,
        intermediate_size=4 * hidden, layer_norm_eps=1e-5, max_position_embeddings=1026, pad_token_id=1,
        mask_token_id=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, token_dropout=True,
        emb_layer_norm_before=False, position_embedding_type="rotary", num_labels=2, **more)


def nf4_config(dtype):
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["classifier"])


def lora_config(placement):
    return peft.LoraConfig(task_type=peft.TaskType.TOKEN_CLS, r=2, lora_alpha=1, lora_dropout=0.5, bias="none",
                           target_modules=TARGETS[placement])


def make_model(options):
    config = esm_config(options.size, attn_implementation=options.attention)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    with torch.device(options.device):  # or a processor would draw billions of weights
        model = transformers.EsmForTokenClassification(config)
    if options.base == "nf4":
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = transformers.EsmForTokenClassification.from_pretrained(
                folder, quantization_config=nf4_config(dtype), dtype=dtype, attn_implementation=options.attention)
    model = model.to(dtype) if options.base == "full" else model
    if peft is None:
        return add_lora(model, TARGETS[options.placement]).train()
    return peft.get_peft_model(model, lora_config(options.placement)).train()


def make_batches(options):
    """Lengths of sequences, and to how many tokens they are padded, batch by batch."""
    if not options.lengths:
        return [([options.length] * options.sequences, options.length)]
    if options.pad:  # as the data loader of the original script has them, cut at that length
        lengths = [min(length, options.pad) for length in options.lengths]
        return [(lengths[i:i + options.sequences], options.pad) for i in range(0, len(lengths), options.sequences)]
    batches = []
    for length in sorted(options.lengths):
        if not batches or (len(batches[-1]) + 1) * length > options.tokens:
            batches.append([])
        batches[-1].append(length)
    return [(lengths, max(lengths)) for lengths in batches]


def random_batch(lengths, padded):
    """Random proteins; pads are token 1, and no label is theirs. Where there are none, there is no mask either, as is
    fastest.
    """
    ids = torch.ones((len(lengths), padded), dtype=torch.long)
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(4, 24, (length,))
        row[0], row[length - 1] = 0, 2
    mask = (ids != 1).long()
    labels = (torch.rand(ids.shape) < 0.1).long().masked_fill(mask == 0, -100)
    masks = {} if min(lengths) == padded else {"attention_mask": mask}
    return {"input_ids": ids, "labels": labels} | masks


def precision_of(options):
    """A context for a forward pass."""
    if options.precision == "autocast":
        return torch.autocast(options.device, torch.bfloat16)
    return contextlib.nullcontext()


def make_step(options):
    """A function that trains once on every batch of random proteins, or infers them."""
    torch.manual_seed(1)
    model = make_model(options).to(options.device)
    if options.work == "inference":
        return make_inference(options, model)
    if options.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    batches = [{name: values.to(options.device) for name, values in random_batch(*sizes).items()}
               for sizes in make_batches(options)]
    forward = torch.compile(model) if options.compile else model

    def step():
        for batch in batches:
            optimizer.zero_grad()
            with precision_of(options):
                loss = forward(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return loss.item()

    return step


def make_inference(options, model):
    """Of a model whose adapters are merged where the base is not quantized, which is the fastest way."""
    if options.base == "full" and peft is not None:
        model = model.merge_and_unload()
    model.eval()
    batches = [random_batch(*sizes) for sizes in make_batches(options)]
    batches = [{name: values.to(options.device) for name, values in batch.items() if name != "labels"}
               for batch in batches]
    forward = torch.compile(model) if options.compile else model

    @torch.inference_mode()
    def infer():
        with precision_of(options):
            for batch in batches:
                logits = forward(**batch).logits
        return logits[0, 0, 0].item()

    return infer


def make_parser():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=json.loads, required=True, help="[hidden, layers, heads]")
    parser.add_argument("--pass", dest="work", choices=["training", "inference"], default="training")
    parser.add_argument("--placement", choices=TARGETS, required=True)
    parser.add_argument("--attention", choices=["eager", "sdpa"], required=True)
    parser.add_argument("--precision", choices=["fp32", "bf16", "autocast"], required=True,
                        help="of the base model; adapters are float32")
    parser.add_argument("--base", choices=["full", "nf4"], required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--recompute", action="store_true", help="layers in the backward pass, to save memory")
    parser.add_argument("--length", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--lengths", type=json.loads, default=[], help="instead, tokens of each sequence: in batches of "
                        "like ones, or, with --pad, as they come")
    parser.add_argument("--tokens", type=int, default=4096, help="of a batch of like ones, pads included")
    parser.add_argument("--pad", type=int, default=0, help="tokens that every sequence is padded to")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return parser


def main():
    options = make_parser().parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    step = make_step(options)
    for _ in range(1 if options.lengths else 2):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        cpu = time.process_time()
        if not options.lengths:
            step()  # what other processes pushed out of the caches comes back
        start, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - start < float(line):
            step()
            steps += 1
        elapsed = time.perf_counter() - start
        tokens = sum(sum(lengths) for lengths, _ in make_batches(options))  # pads do not count
        print(json.dumps({"tokens/s": steps * tokens / elapsed,
                          "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
                          "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
