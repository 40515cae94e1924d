"""Retrain every embedded model from nothing: `make zoo` (two to three hours on 2 cores, by the speed of its parts)."""

import tempfile
from pathlib import Path

from overthink.zoo.coding import ABACUS_CODE, spec_course, spec_tokenizer
from overthink.zoo.policies import ABACUS_1M, ABACUS_5M, PRM_START, chain_course, train_policy
from overthink.zoo.prm import train_abacus_prm
from overthink.zoo.tokenizer import build_tokenizer


def main() -> None:
    """Train the policies; then the PRM, from a policy trained for longer, on rollouts of the smallest one."""
    here = Path(__file__).parent
    tokenizer = build_tokenizer()
    for size in (ABACUS_1M, ABACUS_5M):
        train_policy(size, tokenizer, chain_course(size, tokenizer), here / size.name)
    words = spec_tokenizer()
    train_policy(ABACUS_CODE, words, spec_course(ABACUS_CODE, words), here / ABACUS_CODE.name)
    with tempfile.TemporaryDirectory() as start:
        train_policy(PRM_START, tokenizer, chain_course(PRM_START, tokenizer), Path(start))
        train_abacus_prm(Path(start), tokenizer, here / "abacus-prm")


if __name__ == "__main__":
    main()
