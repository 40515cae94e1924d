"""The answer in a solution: the last `\\boxed{}`, then an explicit "answer is"; leniently also the last number."""

from tasks.problems.answers import Extraction, extract_answer, last_box

__all__ = ["Extraction", "extract_answer", "last_box"]
