"""What the body of abacus-prm learns from: mistakes anywhere, and truths about columns that decide about equations."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.datasets.chains import Chain, Operation, draw_chain, right_steps
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.training.prm_model import load_base
from overthink.zoo.body import RESIDUAL_SCALE, Checker, Scribe, batched, deepened, draw_solutions, train_body
from overthink.zoo.columns import NO_DIGIT, UNKNOWN, Truth, carries, truth_of
from overthink.zoo.mistakes import Equation, Solution, write_solution
from overthink.zoo.tokenizer import build_tokenizer

ZOO = Path(__file__).parents[1] / "zoo"
CHAIN = Chain(57, (Operation("+", 68), Operation("-", 95)))
U, NONE = UNKNOWN, NO_DIGIT


def truth(*equations: Equation, boxed: int | None = None, chain: Chain = CHAIN, asked: bool = True) -> Truth:
    solution = Solution(chain, equations, boxed, len(chain.operations) + 1)
    return truth_of(solution, lambda value: list(str(value).encode()), asked)


def test_the_truth_about_a_right_solution() -> None:
    found = truth(Equation(57, Operation("+", 68), 125), Equation(125, Operation("-", 95), 30), boxed=30)
    #               5  7  +  6  8  =  1     2  5  .  1  2  5  -  9  5  =  3  0  .  3  0  .
    assert found.length == [U, U, U, U, U, 3, U, U, U, U, U, U, U, U, U, U, 2, U, U, U, U, U, U]
    assert found.left == [U, U, U, U, U, U, NONE, 5, 7, U, U, U, U, U, U, U, U, 2, 5, U, U, U, U]
    assert found.right == [U, U, U, U, U, U, NONE, 6, 8, U, U, U, U, U, U, U, U, 9, 5, U, U, U, U]
    assert found.carry_in == [U, U, U, U, U, U, 1, 1, 0, U, U, U, U, U, U, U, U, 0, 0, U, U, U, U]
    assert found.carry_out == [U, U, U, U, U, U, 0, 1, 1, U, U, U, U, U, U, U, U, 1, 0, U, U, U, U]
    assert found.fits == [1] * 23
    assert [label for label in found.step if label != U] == [1, 1, 1]
    assert [label for label in found.so_far if label != U] == [1, 1, 1]


def test_the_truth_about_mistakes() -> None:
    wrong = truth(Equation(57, Operation("+", 68), 135), Equation(135, Operation("-", 95), 40), boxed=40)
    assert wrong.fits[6:10] == [1, 1, 0, 1], "the tens ask for two carries, the ones give one"
    assert [label for label in wrong.step if label != U] == [0, 1, 1]
    assert [label for label in wrong.so_far if label != U] == [0, 0, 0]
    short = truth(Equation(57, Operation("+", 68), 15))
    assert short.fits == [1, 1, 1, 1, 1, 1, U, U, 0]
    copied = truth(Equation(57, Operation("+", 78), 135))
    assert copied.fits == [1, 1, 1, 0, U, U, 1, 1, 1, 1]
    assert copied.step[-1] == 0
    assert truth(Equation(57, Operation("+", 78), 135), asked=False).step[-1] == 1, (
        "nobody can know without the question"
    )


@settings(deadline=None)
@given(st.integers(10, 9999), st.sampled_from("+-*"), st.integers(2, 999), st.data())
def test_a_result_fits_where_it_is_right(left: int, symbol: str, operand: int, data: st.DataObject) -> None:
    operation = Operation(symbol, operand % 8 + 2 if symbol == "*" else operand)
    due = operation.apply(left)
    if due < 10:
        return
    result = data.draw(st.one_of(st.just(due), st.integers(10 ** (len(str(due)) - 1), 10 ** len(str(due)) - 1)))
    found = truth(Equation(left, operation, result), chain=Chain(left, (operation,)))
    assert all(found.fits) == (result == due)
    assert all(
        0 <= carry <= 9 for place in range(len(str(due))) for carry in carries(Equation(left, operation, result), place)
    )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans())
def test_labels_are_checked_arithmetic(seed: int, length: int, asked: bool) -> None:
    source = random.Random(seed)
    chain = draw_chain(source, length)
    solution = write_solution(chain, source)
    found = truth_of(solution, lambda value: list(str(value).encode()), asked)
    judged = [label for label in found.so_far if label != U]
    if asked:
        assert judged == right_steps(chain, solution.steps)
    assert len({len(row) for row in vars(found).values()}) == 1
    own = [label for label in found.step if label != U]
    assert solution.astray <= length or len(own) == len(solution.steps)


def test_first_mistakes_are_anywhere() -> None:
    source, places = random.Random(0), Counter[int]()
    for _ in range(4000):
        solution = write_solution(draw_chain(source, 3), source)
        labels = right_steps(solution.chain, solution.steps)
        places[labels.index(False) if False in labels else -1] += 1
    assert set(places) == {-1, 0, 1, 2, 3}
    assert min(places.values()) > 400


def test_every_token_has_its_truth() -> None:
    scribe, source = Scribe(build_tokenizer()), random.Random(0)
    for solution, asked in draw_solutions(source):
        written = scribe.written(solution, asked)
        assert {len(row) for row in written.truth.values()} == {len(written.ids)}
        assert sum(written.truth["so_far"] != U) == len(solution.steps)
        assert written.truth["so_far"][-1] != U


def test_the_deepened_policy_still_writes_what_the_policy_writes() -> None:
    """Fresh layers stand on top: what is beneath them hands on what it did, but for its scale.

    To a norm smaller sums are as good as a larger epsilon.
    """
    from transformers import Qwen2Config, Qwen2Model

    scribe, source = Scribe(build_tokenizer()), random.Random(0)
    ids = batched([scribe.written(*drawn) for drawn in draw_solutions(source)[:2]]).ids
    epsilon = Qwen2Config.from_pretrained(str(ZOO / "abacus-5m")).rms_norm_eps / RESIDUAL_SCALE**2
    policy = Qwen2Model.from_pretrained(str(ZOO / "abacus-5m"), dtype=torch.float32, rms_norm_eps=epsilon)
    policy.norm = torch.nn.Identity()
    with torch.no_grad():
        states = deepened(ZOO / "abacus-5m")(input_ids=ids, output_hidden_states=True).hidden_states
        beneath = states[6] / RESIDUAL_SCALE
        own = policy(input_ids=ids).last_hidden_state
        assert (beneath - own).norm() < 1e-5 * own.norm()
        answers = Checker(deepened(ZOO / "abacus-5m"))(ids)
    assert answers["carry_in"].shape == (*ids.shape, 10)


def test_a_trained_body_is_a_base_for_prm_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, small in {"UPDATES": 2, "WITH_QUESTION": 2, "WITHOUT_QUESTION": 6, "HELD_OUT": 12}.items():
        monkeypatch.setattr(f"overthink.zoo.body.{name}", small)
    train_body(ZOO / "abacus-5m", build_tokenizer(), tmp_path)
    assert "so_far" in capsys.readouterr().out
    base = load_base(locate_model(ModelConfig(model=str(tmp_path))), frozen=True)
    assert (base.config.num_hidden_layers, base.dtype) == (8, torch.bfloat16)
    shipped = load_base(locate_model(ModelConfig(model="zoo/abacus-prm")), frozen=True)
    assert base.state_dict().keys() == shipped.state_dict().keys(), (
        "what is shipped serves as a base like the body alone"
    )
