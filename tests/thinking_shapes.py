"""Tokenizers and templates of policies that think, as the families have them."""

from chat_shapes import GEMMA, IM, MISTRAL, QWEN3, R1, R1_SPECIAL, ChatShape, S

THINK = ("<think>", "</think>")
HARMONY = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ '<|start|>assistant<|channel|>analysis<|message|>' }}{% endif %}"
    "{{ '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
HARMONY_SPECIAL = ("<|startoftext|>", "<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>")
NO_THOUGHT = f"{{%- set enable_thinking = false %}}{QWEN3}"
EXAONE = (
    "{% for message in messages %}{{ '[|' + message.role + '|]' + message.content + '[|endofturn|]\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]<thought>\n' }}{% endif %}"
)
MAGISTRAL = MISTRAL + "{# thoughts stand between [THINK] and [/THINK] #}"
GEMMA_THINKS = GEMMA + "{# <think> </think> #}"
GRANITE = QWEN3 + "{# Here is my thought process: Here is my response: #}"
KNOWN = {
    "R1, opened by the template": ChatShape("bytes", R1, R1_SPECIAL, 1, name="R1-Distill-tiny"),
    "Qwen3, opened by the policy": ChatShape("bytes", QWEN3, (*IM, *THINK), 1, model_type="qwen3"),
    "Qwen3, an empty block in the prompt": ChatShape("bytes", NO_THOUGHT, (*IM, *THINK), 1, model_type="qwen3"),
    "gpt-oss, channels": ChatShape("bytes", HARMONY, HARMONY_SPECIAL, 1, model_type="gpt_oss"),
    "Magistral, brackets": ChatShape("legacy", MAGISTRAL, (*S, "[THINK]", "[/THINK]"), 2, model_type="mistral"),
    "EXAONE, another word": ChatShape(
        "bytes", EXAONE, ("[BOS]", "[|endofturn|]", "<thought>", "</thought>"), 1, model_type="exaone"
    ),
    "Gemma, no system role": ChatShape(
        "never", GEMMA_THINKS, ("<bos>", "<end_of_turn>", "<start_of_turn>", *THINK), 2, model_type="gemma"
    ),
    "Qwen3, marks without tokens": ChatShape("bytes", QWEN3, IM, 1, model_type="qwen3"),
}
