"""Pre-trains the nano ESM-2 of examples/data/nano-esm2 on synthetic families that occur in no split.

    qlora synth --out corpus --pretraining 12000
    python pretrain_nano.py corpus/pretrain.fasta examples/data/nano-esm2

Masked language modelling with the conventions of ESM-2: 15 % of the residues, of which 80 % become
<mask>, 10 % another residue and 10 % stay. Crops of 96 residues, in which motifs are learned cheaply, for the
first 60 % of the steps, then of 256, in which partners are in reach. One core. Needs torch
2.11.0 and transformers 5.17.0.
"""

import argparse
import math
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

from synth_windows import MOTIFS, PARTNERS, pattern

SPECIAL = ["<cls>", "<pad>", "<eos>", "<unk>"]
LETTERS = "LAGVSERTIDPKQNFYMHWCXBUZO.-"
VOCABULARY = [*SPECIAL, *LETTERS, "<null_1>", "<mask>"]
CLS, PAD, EOS, MASK = 0, 1, 2, 32
FIRST, LAST = 4, 23  # tokens of the twenty residues
TOKEN_OF = np.full(256, 3, dtype=np.int64)
TOKEN_OF[np.frombuffer(LETTERS.encode(), np.uint8)] = np.arange(FIRST, FIRST + len(LETTERS))


def nano_config():
    return EsmConfig(
        vocab_size=len(VOCABULARY),
        pad_token_id=PAD,
        mask_token_id=MASK,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=1026,
        layer_norm_eps=1e-5,
        initializer_range=0.1,  # about 1 / sqrt(hidden_size): with 0.02 learning starts late
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
    )


def read_fasta(path):
    return [record.split("\n", 1)[1].replace("\n", "") for record in path.read_text()[1:].split("\n>")]


def collate(sequences):
    """Tokens with <cls> and <eos>, padded to the longest: (sequences, tokens)."""
    batch = torch.full((len(sequences), 2 + max(map(len, sequences))), PAD)
    for row, sequence in zip(batch, sequences):
        codes = np.frombuffer(sequence.encode(), np.uint8)
        row[0], row[len(sequence) + 1] = CLS, EOS
        row[1 : len(sequence) + 1] = torch.from_numpy(TOKEN_OF[codes])
    return batch


def corrupt(batch, generator):
    """The masked input, and the labels: -100 where nothing is to be predicted."""
    draw = torch.rand(batch.shape, generator=generator)
    chosen = (batch >= FIRST) & (batch <= LAST) & (draw < 0.15)
    others = torch.randint(FIRST, LAST + 1, batch.shape, generator=generator)
    tokens = torch.where(chosen & (draw < 0.15 * 0.8), MASK, batch)
    tokens = torch.where(chosen & (draw >= 0.15 * 0.8) & (draw < 0.15 * 0.9), others, tokens)
    return tokens, torch.where(chosen, batch, -100)


def batches(sequences, length, tokens_per_batch, rng):
    """Endless crops of at most `length` residues, each batch of similar lengths."""
    while True:
        crops = []
        for sequence in sequences:
            start = rng.integers(max(1, len(sequence) - length + 1))
            crops.append(sequence[start : start + length])
        order = np.argsort([len(crop) + rng.random() for crop in crops])
        groups, group = [], []
        for index in order:
            group.append(crops[index])
            if len(group) * (len(crops[index]) + 2) >= tokens_per_batch:
                groups.append(group)
                group = []
        rng.shuffle(groups)
        yield from groups


def mlm_loss(model, tokens, labels):
    logits = model(tokens, attention_mask=(tokens != PAD).long()).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


@torch.no_grad()
def evaluate(model, held_out):
    """Nats a masked residue, the model's and those of the residues' frequencies."""
    generator = torch.Generator().manual_seed(0)
    frequency = np.bincount(TOKEN_OF[np.frombuffer("".join(held_out).encode(), np.uint8)])
    log_frequency = torch.from_numpy(np.log(frequency / frequency.sum() + 1e-12))
    loss = unigram = count = 0.0
    for i in range(0, len(held_out), 16):
        tokens, labels = corrupt(collate([s[:256] for s in held_out[i : i + 16]]), generator)
        masked = labels[labels >= 0]
        loss += mlm_loss(model, tokens, labels).item() * len(masked)
        unigram -= log_frequency[masked].sum().item()
        count += len(masked)
    return loss / count, unigram / count


@torch.no_grad()
def evaluate_motifs(model, held_out):
    """Accuracy at one masked residue of each motif: the conserved ones, and the contact, which only
    the partner tells."""
    hits = {"conserved": [], "contact, partner there": [], "contact, partner lost": []}
    for sequence in (s for s in held_out if len(s) <= 256):
        cases = []
        for ligand, motifs in MOTIFS.items():
            present = pattern(PARTNERS[ligand]).search(sequence)
            contact = "contact, partner there" if present else "contact, partner lost"
            for motif in motifs:
                for match in pattern(motif).finditer(sequence):
                    conserved = [m.start() for m in re.finditer("[A-Z]", motif)]
                    cases += [("conserved", match.start() + i) for i in conserved]
                    cases.append((contact, match.start() + len(motif) - 1))
        if not cases:
            continue
        batch = collate([sequence] * len(cases))
        rows = torch.arange(len(cases))
        columns = torch.tensor([position + 1 for _, position in cases])
        expected = batch[rows, columns].clone()
        batch[rows, columns] = MASK
        found = model(batch).logits[rows, columns].argmax(-1) == expected
        for (kind, _), hit in zip(cases, found.tolist()):
            hits[kind].append(hit)
    return {kind: (float(np.mean(values)), len(values)) for kind, values in hits.items()}


def save(model, folder):
    model.save_pretrained(folder)
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = Path(scratch) / "vocab.txt"
        vocabulary.write_text("\n".join(VOCABULARY))
        EsmTokenizer(str(vocabulary)).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("fasta", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a batch")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    sequences = read_fasta(options.fasta)
    held_out, sequences = sequences[-300:], sequences[:-300]  # whole families: they come in order
    model = EsmForMaskedLM(nano_config())
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)

    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
    warmup = options.steps // 20
    scale = lambda step: min(
        (step + 1) / warmup, 0.02 + 0.49 * (1 + math.cos(math.pi * step / options.steps))
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, scale)
    generator = torch.Generator().manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    motif_crops = batches(sequences, 96, options.tokens, rng)
    partner_crops = batches(sequences, 256, options.tokens, rng)
    start, seen = time.time(), 0
    for step in range(1, options.steps + 1):
        crops = motif_crops if step <= 0.6 * options.steps else partner_crops
        tokens, labels = corrupt(collate(next(crops)), generator)
        loss = mlm_loss(model, tokens, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        seen += int((tokens != PAD).sum())
        if step % 1000 == 0 or step == options.steps:
            model.eval()
            held, unigram = evaluate(model, held_out)
            model.train()
            print(
                f"step {step}: held-out {held:.4f} nats (unigram {unigram:.4f}),"
                f" {seen / 1e6:.1f} M tokens, {seen / (time.time() - start):.0f} tokens/s",
                flush=True,
            )
            save(model, options.out)
    model.eval()
    for kind, (accuracy, count) in evaluate_motifs(model, held_out).items():
        print(f"{kind}: accuracy {accuracy:.3f} of {count}")


if __name__ == "__main__":
    main()
