# Sourced by kill.sh and ranks.sh, with the program's path as $1: a folder to work in, what is trained, and what an
# interrupted run must leave.
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
goldens=$(cd "$(dirname "$0")/../goldens" && pwd)
folder=$(mktemp -d)
cd "$folder"
RANDOM=1

training=("$program" train --model "$goldens/models/odd" --train "$goldens/train/data.txt"
  --valid "$goldens/train/data.txt" --select mcc --epochs 40 --batch-sequences 2 --dropout 0.3
  --checkpoint-every 3 --quiet --out)

# Fails unless a run left, to the bit, what an uninterrupted one did.
same() { # WHOLE OUT
  local file
  for file in adapter_model.safetensors adapter_config.json metrics.json qlora.json; do
    cmp "$1/$file" "$2/$file"
  done
  cmp <(cut -d, -f1-6 "$1/history.csv") <(cut -d, -f1-6 "$2/history.csv")
}
