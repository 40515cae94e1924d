"""The flags with which vLLM's server is to be started, as docs/servers.md and the module that prints them say."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from test_readme import SERVERS, blocks, commands
from tiny_models import SHAPES, build_prm, tokenizer_of

from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.vllm.server_flags import flags_of, main, server_flags
from overthink.tasks.engines.vllm.step_serving import MIDDLEWARE
from overthink.tasks.errors import EngineUnavailable
from overthink.tasks.recipes.loading import read_recipe, shipped_recipes
from overthink.tasks.recipes.recipe import Recipe

SETTINGS = {"pooling_type": "ALL", "use_activation": False, "task": "token_classify"}
POOLER = ["--runner", "pooling", "--pooler-config", json.dumps(SETTINGS)]


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("qwen", []),
        ("trl", ["--convert", "classify"]),
        ("orm", ["--convert", "classify"]),
        ("rlhflow", ["-", "+"]),
        ("math-shepherd", ["-", "+"]),
        ("er-prm", ["\u0120-", "\u0120+"]),
        ("versaprm", ["-", "+"]),
        ("verifier", ["No", "Yes"]),
    ],
)
def test_the_flags_of_each_family(family: str, more: list[str]) -> None:
    flags = server_flags(family, tokenizer_of(SHAPES[family]))
    assert flags[:4] == POOLER
    if FAMILIES[family].head.tokens is None:
        assert flags[4:] == more
    else:
        assert flags[4:7] == ["--convert", "classify", "--hf-overrides"]
        overrides = json.loads(flags[7])
        assert overrides == {"classifier_from_token": more, "method": "no_post_processing", "num_labels": 2}


@pytest.mark.parametrize("family", ["skywork", "pqm"])
def test_what_vllm_cannot_serve_is_told(family: str) -> None:
    with pytest.raises(EngineUnavailable, match="use engine: torch"):
        server_flags(family, tokenizer_of(SHAPES[family]))


def test_flags_of_arguments() -> None:
    assert flags_of({"max_model_len": 512, "enforce_eager": True, "chunked": False, "dtype": None}) == [
        *("--max-model-len", "512", "--enforce-eager", "--no-chunked")
    ]


def test_the_flags_are_printed_for_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_prm("trl", tmp_path / "model")
    assert main(["trl", str(folder)]) == 0
    assert shlex.split(capsys.readouterr().out) == [*POOLER, "--convert", "classify"]
    assert main(["nothing", str(folder)]) == 2
    assert "name one of qwen" in capsys.readouterr().err
    assert main(["qwen"]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["qwen", "/nowhere"]) == 2
    assert "point `tokenizer` to one" in capsys.readouterr().err


def test_the_page_on_servers_starts_the_prm_with_the_flags_of_its_family() -> None:
    export, policy, prm, run, *_ = commands(SERVERS)
    assert prm[-4:] == POOLER
    assert all(words[words.index("--middleware") + 1] == MIDDLEWARE for words in (policy, prm))
    assert dict(word.split("=") for word in export[1:]) == {
        "OMP_NUM_THREADS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    printed = re.search(r"`python -m (overthink\.tasks\.engines\.vllm\.server_flags) (\S+) (\S+)`", SERVERS)
    assert printed is not None
    told = subprocess.run([sys.executable, "-m", *printed.groups()], capture_output=True, text=True, check=True)
    assert shlex.split(told.stdout) == POOLER
    recipe = read_recipe(shipped_recipes()[run[2]])
    for words, engine in ((policy, recipe.policy), (prm, recipe.prm)):
        options = dict(pairwise(words))
        assert engine is not None
        assert engine.model_dump()["model"] == options["--served-model-name"]
        assert engine.model_dump()["tokenizer"] == options["--model"]
        assert f":{options['--port']}/v1" in engine.model_dump()["endpoints"][0]


def test_the_hosted_recipe_of_the_page_is_valid() -> None:
    (hosted,) = blocks("yaml", SERVERS)
    assert Recipe.model_validate(yaml.safe_load(hosted)).policy.engine == "openai"
