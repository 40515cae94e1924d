"""What verifiers of each family are asked, to the letter."""

from typing import Any

import pytest
from pydantic import ValidationError

from overthink.tasks.domains.prompts import Message
from overthink.tasks.engines.policy_prompts import TURN, chat_in_turns
from overthink.tasks.engines.prm.critic_families import CRITIC_FAMILIES, CriticFamilyName
from overthink.tasks.engines.prm_config import GenerativePrmConfig

QUESTION = "What is {2} + 2?"
STEPS = ("2 + 2 = 4", "So it is \\boxed{4}.", "Done")


def chat(family: CriticFamilyName, place: int) -> list[Message]:
    found = CRITIC_FAMILIES[family]
    return chat_in_turns(found.system, TURN.join(found.turns(QUESTION, STEPS, place)))


def test_critic_shows_the_steps_before_and_the_one_that_it_checks() -> None:
    (turn,) = chat("critic", 1)
    assert turn["role"] == "user"
    assert turn["content"].startswith(
        "Check one step of a solution to a problem.\n\nProblem:\nWhat is {2} + 2?\n\nThe steps before:\n2 + 2 = 4\n\n"
        "Step 2, which you check:\nSo it is \\boxed{4}.\n\nIs this step right, "
    )
    assert turn["content"].endswith('"Verdict: Yes" where the step is right, "Verdict: No" where it is wrong.')
    assert "The steps before:\n(none: it is the first)\n" in chat("critic", 0)[0]["content"]


def test_genprm_gives_each_paragraph_a_turn() -> None:
    right = "<output>\n**Judgement**: $\\boxed{Yes}$\n</output>\n"
    assert chat("genprm", 2) == [
        {
            "role": "system",
            "content": "You are a math teacher. Your task is to review and critique the paragraphs in solution step by "
            "step.",
        },
        {"role": "user", "content": "What is {2} + 2?\n2 + 2 = 4"},
        {"role": "assistant", "content": right},
        {"role": "user", "content": "So it is \\boxed{4}."},
        {"role": "assistant", "content": right},
        {"role": "user", "content": "Done"},
    ]
    opening = CRITIC_FAMILIES["genprm"].opening_of(2)
    assert opening == "<analyze>\nLet's analyze the Paragraph 3 step by step: "


def test_thinkprm_shows_the_whole_solution() -> None:
    steps = ("Step 1: 2 + 2 = 4", "So it is 4.")
    (turn,) = CRITIC_FAMILIES["thinkprm"].turns(QUESTION, steps, 1)
    assert turn == (
        "You are given a math problem and a proposed step-by-step solution:\n\n[Math Problem]\n\nWhat is {2} + 2?\n\n"
        "[Solution]\n\nStep 1: 2 + 2 = 4\nStep 2: So it is 4.\n\nReview and critique each step in the proposed "
        "solution to determine whether each step is correct. If the solution is incomplete, only verify the provided "
        "steps."
    )
    assert CRITIC_FAMILIES["thinkprm"].opening_of(1) == "\nLet's verify step by step:"


def test_r_prm_names_the_step_now_and_those_before() -> None:
    system, user = chat("r-prm", 2)
    assert system == {"role": "system", "content": "You are a helpful assistant."}
    assert user["content"].startswith(
        "You are an excellent math teacher. Please verify the correctness of the Now Step."
    )
    assert "\nConclusion: \nPlease verify " in user["content"]
    assert user["content"].endswith(
        "Question: What is {2} + 2?\nPrevious Steps: 2 + 2 = 4\nSo it is \\boxed{4}.\nNow Step: Done\n"
        "Please carefully analyze the correctness of the Now Step.\nReply: "
    )
    first = chat("r-prm", 0)[1]["content"]
    assert "Previous Steps: Since the Now Step is the first step, there are no Previous Steps.\n" in first


def test_the_authors_settings_hold_unless_the_recipe_says_otherwise() -> None:
    verifier = {"engine": "fake"}
    drawn = GenerativePrmConfig.model_validate({"family": "genprm", "verifier": verifier, "temperature": 0}).judging
    assert (drawn.sampling.temperature, drawn.sampling.top_k, drawn.sampling.max_tokens) == (0, 20, 2048)


HTTP = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"family": "thinkprm", "verifier": HTTP}, "which a chat endpoint cannot"),
        ({"family": "critic", "rounds": 2, "verifier": HTTP}, "which a chat endpoint cannot"),
        ({"family": "genprm", "rounds": 2, "verifier": {"engine": "fake"}}, "leave out rounds"),
        ({"verifier": HTTP | {"system_prompt": "Be kind."}}, "leave out prompt_style and system_prompt"),
    ],
)
def test_what_cannot_be_asked_is_refused(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        GenerativePrmConfig.model_validate(said)
