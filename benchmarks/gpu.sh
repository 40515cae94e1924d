#!/usr/bin/env bash
# Tries on this machine's GPUs what docs/gpu.md lists, in about 10 minutes on one card, and prints a table to send back.
#   benchmarks/gpu.sh [--cpu] [FOLDER]      --cpu: rehearse without a card what needs none
# CHECKS names some of them, PYTHON the interpreter, SECONDS_EACH bounds a check; OVERTHINK_GPU_POLICY, _PRM and _AWQ name
# real models in place of the embedded ones.
# Exits 0, 1 where a check failed, 2 where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
rehearsal=()
if [ "${1:-}" = --cpu ]; then rehearsal=(--cpu); export CUDA_VISIBLE_DEVICES=; shift; fi
folder=${1:-gpu-checks-$(date +%Y%m%d-%H%M%S)}
limit=${SECONDS_EACH:-240}
names=$("$python" -m benchmarks.gpu_checks list "${rehearsal[@]}") || exit $?
mkdir -p "$folder"
table=$folder/table.md
{
    "$python" -m benchmarks.gpu_checks machine
    printf '\n| point | command | result | figure | seconds |\n|---|---|---|---|--:|\n'
} | tee "$table"
failed=0
for name in ${CHECKS:-$names}; do
    words=(-m benchmarks.gpu_checks run "$name" --folder "$folder")
    begin=$SECONDS
    timeout --kill-after 10 "$limit" "$python" "${words[@]}" >"$folder/$name.out" 2>"$folder/$name.log" </dev/null
    code=$?
    line=$(tail -n 1 "$folder/$name.out" | tr '|' '/')
    case $code in
        0) result=ok figure=$line ;;
        3) result="skipped: $line" figure= ;;
        124 | 137) result="failed: not done after $limit s" figure= ;;
        *) result="failed: ${line:-exit code $code}" figure= ;;
    esac
    case $result in failed*) failed=1 ;; esac
    echo "| $name | \`python ${words[*]}\` | $result | $figure | $((SECONDS - begin)) |" | tee -a "$table"
done
echo "What each check printed is in $folder; send back $table." >&2
exit $failed
