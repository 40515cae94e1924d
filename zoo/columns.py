"""What is true of each token of a written solution: the questions that checking it comes down to.

Written arithmetic can be checked without redoing it, column by column: a column's three digits tell the carry that must
have come in and the carry that goes out, and what comes in must be what went out on the right of it. Three digits and
an operation make some 3,000 facts, however large the numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from overthink.tasks.datasets.chains import Operation, right_steps
from overthink.zoo.mistakes import Equation, Solution

UNKNOWN = -100
NO_DIGIT = 10


@dataclass
class Truth:
    """A row of answers for each question, one a token; UNKNOWN where a question does not arise.

    `length`: digits of the right result, at "=". At each digit of a result that is as long: the `left` and `right`
    digit of its column (NO_DIGIT: none), its `carry_in` and its `carry_out`. `fits`: whether a token agrees with what
    was written before it. At the end of a step: whether it is right by itself, `step`, and whether all are, `so_far`.
    """

    length: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    carry_in: list[int] = field(default_factory=list)
    carry_out: list[int] = field(default_factory=list)
    fits: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    so_far: list[int] = field(default_factory=list)

    def add(self, **known: int) -> None:
        """What is known of one token more."""
        for name, values in vars(self).items():
            values.append(known.get(name, UNKNOWN))


def truth_of(solution: Solution, boxed_tokens: Callable[[int], list[int]], asked: bool) -> Truth:
    """What is true of the tokens of a solution, the one that ends each step included.

    An equation has a token for each character; `boxed_tokens` are those of an answer. Where the question is not shown
    (`asked` is false), an operation is taken as it is written.
    """
    truth, value, so_far = Truth(), solution.chain.start, 1
    labels = right_steps(solution.chain, solution.steps)
    for index, equation in enumerate(solution.equations):
        known = asked and index < solution.astray
        copied = _left_side(truth, equation, value, solution.chain.operations[index] if known else equation.operation)
        closed = _result(truth, equation)
        right = int(copied and equation.result == equation.due)
        so_far = int(labels[index]) if asked else so_far * right
        truth.add(fits=closed, step=right if known or not asked else UNKNOWN, so_far=so_far)
        value = equation.result
    if solution.boxed is not None:
        written, due = boxed_tokens(solution.boxed), boxed_tokens(value)
        known = not asked or len(solution.equations) < solution.astray
        for fit in _aligned(written, due):
            truth.add(fits=fit if known else UNKNOWN)
        right = int(written == due)
        judged = right if known else UNKNOWN
        truth.add(fits=judged, step=judged, so_far=int(labels[-1]) if asked else so_far * right)
    return truth


def _left_side(truth: Truth, equation: Equation, value: int, asked: Operation) -> bool:
    """Up to "=" the text is fixed by the value before and the operation asked for; returns whether it is so."""
    sides = ((equation.left, equation.operation), (value, asked))
    written, due = (f"{left}{operation.symbol}{operation.operand}=" for left, operation in sides)
    *before, last = _aligned(written, due)
    for fit in before:
        truth.add(fits=fit)
    truth.add(fits=last, length=len(str(equation.due)))
    return written == due


def _aligned(written: Sequence[object], due: Sequence[object]) -> list[int]:
    """For each token written, whether it is the one due; UNKNOWN once one was not."""
    fits, same = [], True
    for place, token in enumerate(written):
        fit = place < len(due) and token == due[place]
        fits.append(int(fit) if same else UNKNOWN)
        same = same and fit
    return fits


def _result(truth: Truth, equation: Equation) -> int:
    """The columns of a result; returns whether it may end there."""
    digits, operand = str(equation.result), equation.operation.operand
    if len(digits) != len(str(equation.due)):
        for _ in digits:
            truth.add()
        return 0
    beyond = 10 ** len(digits)  # what is left of the result's columns must cancel out with the first carry
    waiting = equation.left // beyond - operand // beyond if equation.operation.symbol == "-" else 0
    for exponent in reversed(range(len(digits))):
        carry_in, carry_out = carries(equation, exponent)
        truth.add(
            left=_digit(equation.left, exponent),
            right=operand if equation.operation.symbol == "*" else _digit(operand, exponent),
            carry_in=carry_in,
            carry_out=carry_out,
            fits=int(carry_out == waiting),
        )
        waiting = carry_in
    return int(waiting == 0)


def _digit(number: int, exponent: int) -> int:
    return number // 10**exponent % 10 if number >= 10**exponent else NO_DIGIT


def carries(equation: Equation, exponent: int) -> tuple[int, int]:
    """What must have come into a result's column, modulo 10, and what goes out of it then; a borrow is a carry."""
    symbol, operand = equation.operation.symbol, equation.operation.operand
    left, result = (number // 10**exponent % 10 for number in (equation.left, equation.result))
    right = operand if symbol == "*" else operand // 10**exponent % 10
    if symbol == "-":
        carry_in = (left - right - result) % 10
        return carry_in, (result + right + carry_in - left) // 10
    made = left * right if symbol == "*" else left + right
    carry_in = (result - made) % 10
    return carry_in, (made + carry_in - result) // 10
