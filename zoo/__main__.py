"""Retrain every embedded model from nothing: `make zoo` (about two hours on 2 cores, by the speed of its parts)."""

from pathlib import Path

from zoo.policies import ABACUS_1M, ABACUS_5M, train_policy
from zoo.prm import train_abacus_prm
from zoo.tokenizer import build_tokenizer


def main() -> None:
    """Train both policies; then the PRM, on the larger one and on rollouts of the smaller one."""
    here = Path(__file__).parent
    tokenizer = build_tokenizer()
    for size in (ABACUS_1M, ABACUS_5M):
        train_policy(size, tokenizer, here / size.name)
    train_abacus_prm(here / "abacus-5m", tokenizer, here / "abacus-prm")


if __name__ == "__main__":
    main()
