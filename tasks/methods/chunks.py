"""What the policy writes in one request, drawn in chunks, so that a method can look at it while it is written.

A chunk goes on from the tokens of those before, so every engine draws it, and a killed run resumes behind the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.records import Sample, SampleStop, Sampling

LongEnough = Callable[[Sample], int | None]  # of all that was written so far, the tokens to end behind, None: go on


def in_chunks(request: Generate, chunk: int, cut: LongEnough) -> Search[tuple[Sample, bool]]:
    """The reply to a request, and whether `cut` ended it: then it has no more than the tokens that `cut` says."""
    pieces: list[Sample] = []
    sampling = request.sampling
    while True:
        left = sampling.max_tokens - sum(len(piece.tokens) for piece in pieces)
        asked = replace(request, path=(*request.path, *pieces), sampling=replace(sampling, max_tokens=min(chunk, left)))
        (piece,) = expect_samples((yield [asked]))
        pieces.append(piece)
        whole = joined(pieces)
        across = _ended_across(whole, len(whole.text) - len(piece.text), sampling)
        whole = whole if across is None else across
        kept = cut(whole)
        if kept is not None:
            return whole.first(kept), True
        is_full = len(piece.tokens) < min(chunk, left) or len(whole.tokens) == sampling.max_tokens
        if across is not None or piece.stop_reason != "length" or is_full:
            return whole, False


def joined(pieces: Sequence[Sample]) -> Sample:
    """Pieces that go on from each other, as one sample that ends as the last did."""
    first, last = pieces[0], pieces[-1]
    begins = [sum(len(piece.text) for piece in pieces[:place]) for place in range(len(pieces))]
    return replace(
        last,
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        token_ends=tuple(begin + end for begin, piece in zip(begins, pieces, strict=True) for end in piece.token_ends),
        logprobs=tuple(one for piece in pieces for one in piece.logprobs),
        prompt_tokens=first.prompt_tokens,
        cached_tokens=first.cached_tokens,
        confidences=_all([piece.confidences for piece in pieces]),
        entropies=_all([piece.entropies for piece in pieces]),
        certainties=_all([piece.certainties for piece in pieces]),
    )


def _all(signals: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    known = [signal for signal in signals if signal is not None]
    return tuple(one for signal in known for one in signal) if len(known) == len(signals) else None


def _ended_across(whole: Sample, border: int, sampling: Sampling) -> Sample | None:
    """What was written up to a mark or stop string that lies across the border of two chunks; None without one."""
    for end in (*sampling.marks, *sampling.stop, *sampling.ends):
        begin = whole.text.find(end, max(0, border - len(end) + 1))
        if 0 <= begin < border < begin + len(end):
            count = next(place for place, last in enumerate(whole.token_ends, 1) if last >= begin + len(end))
            kept = whole.first(count)
            token_ends = tuple(min(last, begin) for last in kept.token_ends)
            reason: SampleStop = "stop" if end in sampling.ends else "delimiter"
            return replace(kept, text=whole.text[:begin], token_ends=token_ends, stop_reason=reason, ended_by=end)
    return None
