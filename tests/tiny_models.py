"""Small random-weight models in Hugging Face layout, one for each PRM family, built by the tests that need them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
    Qwen2Model,
)

CHATML = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA3 = (
    "{{- bos_token }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>", "[PRM]"),
    *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)
CORPUS = [
    "Yes",
    "No",
    "What is 12 + 30 ? First add . Then - take the step . Yes No ки ки \n ки + - + - Yes No Step 1 : 2 : \n\n",
] * 4
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,  # of 32: smaller ones vLLM does not compute on a CPU
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,  # scores of random weights should differ from step to step
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class Shape:
    """Model type, chat template, and whether prompts begin with a token of their own."""

    model_type: str
    template: str
    begins: bool
    build: Callable[[Any], Any]


def with_value_head(config: Any) -> Any:
    """A language model with `v_head.summary`, as TRL saves it."""
    model = AutoModelForCausalLM.from_config(config)
    model.v_head = torch.nn.ModuleDict({"summary": torch.nn.Linear(config.hidden_size, 1)})
    torch.nn.init.normal_(model.v_head.summary.weight, std=0.3)
    return model


def with_process_head(config: Any) -> Any:
    """Qwen's process reward model: a body, and two linear layers with ReLU between."""
    size = config.hidden_size
    model = torch.nn.Module()
    model.model = Qwen2Model(config)
    model.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))
    return model


SHAPES = {
    "qwen": Shape("qwen2", CHATML, False, with_process_head),
    "math-shepherd": Shape("mistral", CHATML, True, AutoModelForCausalLM.from_config),
    "er-prm": Shape("llama", LLAMA3, True, AutoModelForCausalLM.from_config),
    "rlhflow": Shape("llama", LLAMA3, True, AutoModelForCausalLM.from_config),
    "skywork": Shape("qwen2", CHATML, False, with_value_head),
    "pqm": Shape("llama", LLAMA3, True, with_value_head),
    "versaprm": Shape("llama", LLAMA3, True, AutoModelForCausalLM.from_config),
    "trl": Shape("qwen2", CHATML, False, AutoModelForTokenClassification.from_config),
    "verifier": Shape("qwen2", CHATML, False, AutoModelForCausalLM.from_config),
    "orm": Shape("llama", LLAMA3, True, AutoModelForSequenceClassification.from_config),
}
LABELS = {"trl": 2, "orm": 1}
ARCHITECTURES = {
    "qwen": "Qwen2ForProcessRewardModel",
    "math-shepherd": "MistralForCausalLM",
    "er-prm": "LlamaForCausalLM",
    "rlhflow": "LlamaForCausalLM",
    "skywork": "Qwen2ForCausalLM",
    "pqm": "LlamaForCausalLM",
    "versaprm": "LlamaForCausalLM",
    "trl": "Qwen2ForTokenClassification",
    "verifier": "Qwen2ForCausalLM",
    "orm": "LlamaForSequenceClassification",
}


@cache
def byte_level() -> Tokenizer:
    """A byte-level BPE that has learned the families' words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=list(SPECIAL))
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def tokenizer_of(shape: Shape) -> PreTrainedTokenizerFast:
    """The tokenizer of one family's shape."""
    ends = "<|eot_id|>" if shape.begins else "<|im_end|>"
    backend = Tokenizer.from_str(byte_level().to_str())
    if shape.begins:
        begin = ("<|begin_of_text|>", backend.token_to_id("<|begin_of_text|>"))
        backend.post_processor = processors.TemplateProcessing(single=f"{begin[0]} $A", special_tokens=[begin])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|begin_of_text|>" if shape.begins else None,
        eos_token=ends,
        pad_token=ends,
    )
    tokenizer.chat_template = shape.template
    return tokenizer


def build_prm(family: str, folder: Path, seed: int = 0) -> Path:
    """Write a random-weight model and its tokenizer; returns the folder."""
    torch.manual_seed(seed)
    shape = SHAPES[family]
    tokenizer = tokenizer_of(shape)
    extra = {"num_labels": LABELS[family]} if family in LABELS else {}
    config = AutoConfig.for_model(shape.model_type, vocab_size=len(tokenizer), **SHAPE, **extra)
    config.pad_token_id = tokenizer.pad_token_id
    config.architectures = [ARCHITECTURES[family]]
    config.dtype = "float32"
    model = shape.build(config).float()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "model.safetensors")
    config.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """A model's weights."""
    return load_file(folder / "model.safetensors")
