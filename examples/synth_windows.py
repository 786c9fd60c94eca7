"""How far a model that sees only a window gets on the synthetic task, and how far the partner takes it.

Usage: windows.py FOLDER, where FOLDER is what `qlora synth` wrote. Trains gradient-boosted trees on
the residues within 5, 15 and 30 positions of each residue, and prints average precision and the best
MCC on the test families: as they are, and multiplied by whether the sequence holds, by pattern, the
partner of the ligand whose motif the window shows (the oracle knows the partners, not the labels).
Needs numpy and scikit-learn 1.9.1.
"""

import re
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

CLASSES = {"h": "[FILMV]", "o": "[ST]", "p": "[KR]", "s": "[ACGS]", "x": ".", "?": "."}
MOTIFS = {
    "nucleotide": ["hhhhGxxxxGKohh", "phhhhGxGxxGxxh", "hhGxGxhGxVhx", "hPNxxxHIGHhh"],
    "metal": ["hhxHExxHhh", "xhCPxCGxxhp", "hhDxDxDGxIxxxEh", "xCxxCxxxFxxxxxLxxHxxxH"],
    "substrate": ["hhhhGHSxGGxhh", "hQGxCGSCWxhs", "hhhDTGohhhhhh", "hxSGTSMAxPhh"],
}
PARTNERS = {"nucleotide": "RhhhhDEooW", "metal": "hGNExxSDhY", "substrate": "hhHGGGhxPM"}


def pattern(text):
    return re.compile("(?=(" + "".join(CLASSES.get(letter, letter) for letter in text) + "))")


def read(path):
    lines = path.read_text().split()
    return list(zip(lines[1::3], lines[2::3]))


def windows(proteins, half):
    rows = []
    for sequence, _ in proteins:
        codes = np.frombuffer(sequence.encode(), np.uint8) - ord("A")
        padded = np.pad(codes, half, constant_values=26)
        rows.append(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1))
    return np.concatenate(rows)


def partner_present(proteins):
    """Per residue: 1 where it lies in a motif whose partner the sequence holds, by pattern."""
    rows = []
    for sequence, _ in proteins:
        row = np.zeros(len(sequence))
        for ligand, motifs in MOTIFS.items():
            if not pattern(PARTNERS[ligand]).search(sequence):
                continue
            for motif in motifs:
                for hit in pattern(motif).finditer(sequence):
                    row[hit.start() : hit.start() + len(motif)] = 1
        rows.append(row)
    return np.concatenate(rows)


def best_mcc(labels, scores):
    candidates = np.unique(np.quantile(scores, np.linspace(0.9, 0.9999, 60)))
    return max(matthews_corrcoef(labels, scores >= threshold) for threshold in candidates)


def main(folder):
    train, test = read(folder / "train.txt"), read(folder / "test.txt")
    target = np.array([label == "1" for _, labels in train for label in labels])
    labels = np.array([label == "1" for _, labels in test for label in labels])
    lengths = np.array([len(sequence) for sequence, _ in train + test])
    print(f"positive residues: train {target.mean():.4f}, test {labels.mean():.4f}")
    print(f"lengths: mean {lengths.mean():.0f}, from {lengths.min()} to {lengths.max()}")
    present = partner_present(test)
    for half in (5, 15, 30):
        model = HistGradientBoostingClassifier(max_iter=200, random_state=0)
        model.fit(windows(train, half), target)
        scores = model.predict_proba(windows(test, half))[:, 1]
        for name, s in ((f"window +-{half}", scores), ("  with partner", scores * present)):
            print(
                f"{name:16} AP {average_precision_score(labels, s):.3f}"
                f"  ROC-AUC {roc_auc_score(labels, s):.3f}  best MCC {best_mcc(labels, s):.3f}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
