"""The layouts that recipes name: of each data set's published files."""

from typing import Literal

from pydantic import TypeAdapter

from overthink.tasks.datasets.row_layouts import Columns, Preset

NEMO = Columns(question="problem", reference="expected_answer", problem_id="id")  # as NeMo-Skills writes problems
GPQA_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
FUNCTIONS = Columns(
    question="prompt", reference="test", problem_id="task_id", tests="test", prompt="prompt", entry_point="entry_point"
)
PRESETS: dict[str, Preset] = {
    "math500": Preset(
        columns=Columns(
            question="problem", reference="answer", problem_id="unique_id", level="level", subject="subject"
        )
    ),
    "aime24": Preset(columns=Columns(question="problem", reference="extracted_groundtruth")),
    "amc23": Preset(columns=Columns(question="problem", reference="extracted_groundtruth")),
    "gsm8k": Preset(columns=Columns(question="question", reference="answer", reference_after="####")),
    "aime25": Preset(columns=NEMO),
    "aime26": Preset(columns=Columns(question="problem", problem_id="problem_idx")),
    "hmmt": Preset(columns=NEMO.model_copy(update={"subject": "subset_for_metrics"})),
    "olympiadbench": Preset(
        columns=Columns(reference="final_answer", problem_id="id", subject="subfield", tolerance="error")
    ),
    "minerva": Preset(columns=Columns()),
    "math_perturb": Preset(columns=Columns(question="problem", problem_id="problem_id", level="level", subject="type")),
    "mmlu": Preset(columns=Columns(options="choices"), domain="choice"),
    "gpqa": Preset(
        columns=Columns(question="Question", reference="Correct Answer", options=GPQA_OPTIONS),
        domain="choice",
        domain_options={"shuffle": True},  # in the data the first is always right
    ),
    "chembench": Preset(
        columns=Columns(
            question="examples.0.input",
            reference="examples.0.target_scores",
            problem_id="path",
            subject="name",
            options="examples.0.target_scores",
        ),
        domain="choice",
    ),
    "chembench_numbers": Preset(
        columns=Columns(question="examples.0.input", reference="examples.0.target", problem_id="path", subject="name"),
        domain="quantity",
    ),
    "scibench": Preset(
        columns=Columns(question="problem_text", reference="answer_number", subject="source", unit="unit"),
        domain="quantity",
    ),
    "humaneval": Preset(columns=FUNCTIONS, domain="code"),
    "mbpp": Preset(columns=FUNCTIONS, domain="code"),
}

PresetName = Literal[
    "math500",
    "aime24",
    "amc23",
    "gsm8k",
    "aime25",
    "aime26",
    "hmmt",
    "olympiadbench",
    "minerva",
    "math_perturb",
    "mmlu",
    "gpqa",
    "chembench",
    "chembench_numbers",
    "scibench",
    "humaneval",
    "mbpp",
]
NAMED_PRESET: TypeAdapter[PresetName] = TypeAdapter(PresetName)


def preset_of(preset: PresetName | Preset | None) -> Preset | None:
    """The preset that a recipe names or spells out."""
    return preset if isinstance(preset, Preset) else PRESETS.get(preset or "")
