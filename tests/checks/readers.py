"""readers.py PROGRAM: what the program writes for others is read by them: TensorBoard's own reader, gemmi, Biopython,
and GenomeTools' validator of GFF3 (gt). Needs tests/parity/requirements.txt."""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import gemmi
from Bio.PDB import MMCIFParser, PDBParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MODEL = PROJECT / "tests/goldens/models/odd"
DATA = PROJECT / "tests/goldens/train/data.txt"
THREE = {"M": "MET", "G": "GLY", "W": "TRP", "K": "LYS", "H": "HIS"}
CHAINS = {"A": [("M", 10, " "), ("G", 10, "A"), ("K", 11, " ")], "B": [("W", 1, " "), ("H", 2, " ")]}


def check(holds, what):
    if not holds:
        sys.exit(f"readers.py: {what}")
    print(what)


def run(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def atoms():
    serial = 0
    for chain, residues in CHAINS.items():
        for letter, number, code in residues:
            for name in ("N", "CA"):
                serial += 1
                yield serial, name, THREE[letter], chain, number, code


def pdb():
    return "".join(
        f"ATOM  {serial:5d}  {name:<3} {residue} {chain}{number:4d}{code}   {serial:8.3f}{0:8.3f}{0:8.3f}{1:6.2f}{5:6.2f}"
        f"          {name[0]:>2}\n" for serial, name, residue, chain, number, code in atoms())


def mmcif():
    columns = ["group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id", "label_asym_id",
               "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv", "auth_seq_id",
               "auth_asym_id", "pdbx_PDB_model_num"]
    rows = [f"ATOM {serial} {name[0]} {name} . {residue} {chain} {number} {code if code != ' ' else '?'} {serial}.0 0.0 "
            f"0.0 1.00 5.00 {number} {chain} 1" for serial, name, residue, chain, number, code in atoms()]
    return "data_A\nloop_\n" + "".join(f"_atom_site.{column}\n" for column in columns) + "\n".join(rows) + "\n#\n"


def expected_factors(folder, structure):
    """By chain, number, insertion code and atom, from the table of probabilities."""
    run("predict", "--model", MODEL, "--structure", structure, "--format", "tsv", "--out", folder / "sites.tsv")
    with open(folder / "sites.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    places = [(chain, number, code) for chain, residues in CHAINS.items() for _, number, code in residues]
    return {(*place, atom): 100 * float(row["probability"])
            for place, row in zip(places, rows, strict=True) for atom in ("N", "CA")}


def check_structures(folder):
    for name, text, parser in (("a.pdb", pdb(), PDBParser), ("a.cif", mmcif(), MMCIFParser)):
        (folder / name).write_text(text, encoding="utf-8")
        coloured = folder / f"coloured-{name}"
        run("predict", "--model", MODEL, "--structure", folder / name, "--out", coloured)
        expected = expected_factors(folder, folder / name)
        by_gemmi = {(chain.name, residue.seqid.num, residue.seqid.icode, atom.name): atom.b_iso
                    for chain in gemmi.read_structure(str(coloured))[0] for residue in chain for atom in residue}
        structure = parser(QUIET=True).get_structure("a", str(coloured))
        by_biopython = {(chain.id, residue.id[1], residue.id[2], atom.get_name()): atom.bfactor
                        for chain in structure[0] for residue in chain for atom in residue}
        for reader, found in (("gemmi", by_gemmi), ("Biopython", by_biopython)):
            check(found.keys() == expected.keys() and all(abs(found[k] - expected[k]) < 0.00501 for k in found),
                  f"{reader} reads {name} with the probabilities as B-factors")


def check_events(folder):
    run("train", "--model", MODEL, "--train", DATA, "--epochs", 2, "--batch-sequences", 8, "--out", folder / "run")
    events = EventAccumulator(str(folder / "run")).Reload()
    with open(folder / "run/history.csv", encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    tag = next(tag for tag in events.Tags()["scalars"] if "loss" in tag)
    found = [event.value for event in events.Scalars(tag)]
    check(len(found) == len(losses) and all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(found, losses)),
          f"TensorBoard reads {len(found)} losses")


def check_features(folder):
    (folder / "a.fasta").write_text(">sp|P1|A B;C=D\nMKVLWAAKRRGDEHHCWY\n>two%\nMKV\n", encoding="utf-8")
    run("predict", "--model", MODEL, "--fasta", folder / "a.fasta", "--format", "gff3", "--threshold", "0", "--out",
        folder / "a.gff3")
    said = subprocess.run(["gt", "gff3validator", folder / "a.gff3"], capture_output=True, text=True, check=False)
    check(said.returncode == 0 and "valid" in said.stdout, "GenomeTools takes the GFF3")
    run("predict", "--model", MODEL, "--fasta", folder / "a.fasta", "--format", "jsonl", "--out", folder / "a.jsonl")
    lines = (folder / "a.jsonl").read_text(encoding="utf-8").splitlines()
    check([len(json.loads(line)["sequence"]) for line in lines] == [18, 3], "Python reads the JSON lines")


PROGRAM = pathlib.Path(sys.argv[1]).resolve()
with tempfile.TemporaryDirectory() as scratch:
    check_structures(pathlib.Path(scratch))
    check_events(pathlib.Path(scratch))
    check_features(pathlib.Path(scratch))
