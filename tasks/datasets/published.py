"""Where the data sets of the presets are published: what `overthink datasets` lists beside their layouts.

What we do not know is None. The sizes of files are counted, where we have read them; the rest is what publishers say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from overthink.tasks.datasets.presets import PresetName


@dataclass(frozen=True)
class InFiles:
    """Files in the preset's layout: whose they are, how many problems are in them, and their licence."""

    publisher: str
    problems: int | None
    licence: str | None


@dataclass(frozen=True)
class OnHub:
    """A data set of the Hugging Face hub, as `source: hub` takes it.

    `revision` is `main` where we know no commit. `columns` are those that differ there from the preset's.
    """

    dataset: str
    problems: int | None
    licence: str | None
    revision: str = "main"
    split: str = "test"
    config: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """Where the data set of a preset is to be had."""

    files: InFiles | None = None
    hub: OnHub | None = None


ARENA = "CC-BY-NC-SA-4.0"
ARENA_COLUMNS = {"reference": "answer", "problem_id": "problem_idx"}
MBPP_ON_HUB = {"tests": "test_list", "test_setup": "test_imports"}
PUBLISHED: Mapping[PresetName, Published] = {
    "math500": Published(
        InFiles("RyanLiu112/compute-optimal-tts, from openai/prm800k", 500, "MIT"),
        OnHub("HuggingFaceH4/MATH-500", 500, None, "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    ),
    "aime24": Published(
        InFiles("RyanLiu112/compute-optimal-tts", 30, "MIT"),
        OnHub(
            "HuggingFaceH4/aime_2024",
            30,
            None,
            "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
            "train",
            columns={"reference": "answer", "problem_id": "id"},
        ),
    ),
    "amc23": Published(
        InFiles("RyanLiu112/compute-optimal-tts", 40, "MIT"),
        OnHub("math-ai/amc23", 40, None, columns={"question": "question", "reference": "answer", "problem_id": "id"}),
    ),
    "gsm8k": Published(
        InFiles("openai/grade-school-math, test", 1319, "MIT"),
        OnHub("openai/gsm8k", 1319, "MIT", "740312add88f781978c0658806c59bc2815b9866", config="main"),
    ),
    "aime25": Published(
        InFiles("NVIDIA/NeMo-Skills", 30, "Apache-2.0"),
        OnHub("MathArena/aime_2025", 30, ARENA, split="train", columns=ARENA_COLUMNS),
    ),
    "aime26": Published(hub=OnHub("MathArena/aime_2026", 30, ARENA, split="train")),
    "hmmt": Published(
        InFiles("NVIDIA/NeMo-Skills, the lines hmmt-24-25 of comp-math-24-25", 196, "Apache-2.0"),
        OnHub("MathArena/hmmt_feb_2025", 30, ARENA, split="train", columns=ARENA_COLUMNS),
    ),
    "olympiadbench": Published(
        InFiles("QwenLM/Qwen2.5-Math, text in English", 675, "MIT"),
        OnHub("Hothan/OlympiadBench", 674, "Apache-2.0", split="train", config="OE_TO_maths_en_COMP"),
    ),
    "minerva": Published(hub=OnHub("math-ai/minervamath", 272, None)),
    "math_perturb": Published(InFiles("Kaffaljidhmah2/MATH-Perturb, hard; not for training", 279, "Apache-2.0")),
    "mmlu": Published(
        InFiles("QwenLM/Qwen2.5-Math, MMLU-STEM", None, "MIT"),
        OnHub("cais/mmlu", 14042, "MIT", "c30699e8356da336a370243923dbaf21066bb9fe", config="all"),
    ),
    "gpqa": Published(hub=OnHub("Idavidrein/gpqa", 198, "CC-BY-4.0", split="train", config="gpqa_diamond")),
    "chembench": Published(InFiles("lamalab-org/chembench-paper, the multiple choice", None, "MIT")),
    "chembench_numbers": Published(InFiles("lamalab-org/chembench-paper, the numbers", None, "MIT")),
    "scibench": Published(
        InFiles("mandyyyyii/scibench", None, "MIT"),
        OnHub("xw27/scibench", None, None, split="train"),
    ),
    "humaneval": Published(
        InFiles("openai/human-eval", 164, "MIT"),
        OnHub("openai/openai_humaneval", 164, "MIT"),
    ),
    "mbpp": Published(
        InFiles("microsoft/CodeT, MBPP sanitized", 427, "CC-BY-4.0"),
        OnHub("google-research-datasets/mbpp", 257, "CC-BY-4.0", config="sanitized", columns=MBPP_ON_HUB),
    ),
}
