"""New layers on top of a frozen body, between it and the head of a PRM.

Before every token the body's state predicts the next token; the new layers compare this prediction with the written
token and collect the result at the steps' places. Untrained layers rarely find this, and memorise hard questions
instead. Two things help. Half of the first layer's heads start as heads that attend to the previous token; and a probe
on that layer, dropped after training, learns for every token of a solution whether the body would have written it too.
"""

from typing import Any

import torch

from overthink.tasks.errors import UserError

LOOK_BACK = 8.0  # size of the biases that make a head look at the token before
FEATURE_NOISE = 0.02  # relative: engines round differently, which must not change a score


class UpperLayers(torch.nn.Module):
    """Layers of the body's own kind, with their norm and the probe."""

    def __init__(self, body: Any, count: int) -> None:
        """Raises UserError where the body's attention has no biases to set, as Qwen2's has."""
        super().__init__()
        settings = {key: value for key, value in body.config.to_dict().items() if key != "layer_types"}
        config = type(body.config)(**{**settings, "num_hidden_layers": count})
        self.model = type(body)._from_config(config, attn_implementation="eager").float()
        self.model.embed_tokens = None
        self.probe = torch.nn.Linear(config.hidden_size, 2)
        for layer in self.model.layers:
            for matrix in layer.parameters():
                if matrix.ndim == 2:  # the usual 0.02 is too small in narrow models: the layers would learn slowly
                    torch.nn.init.orthogonal_(matrix)
        attention = self.model.layers[0].self_attn
        if attention.q_proj.bias is None or attention.k_proj.bias is None:
            raise UserError(
                f"extra_layers needs a base with biases in its attention (Qwen2), not {type(body).__name__}"
            )
        look_back(attention, config)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states and the probe's logits, (prompts, tokens, hidden size) and (prompts, tokens, 2)."""
        if self.training:
            features = features * (1 + FEATURE_NOISE * torch.randn_like(features))
        output = self.model(inputs_embeds=features, attention_mask=mask, use_cache=False, output_hidden_states=True)
        return output.last_hidden_state, self.probe(output.hidden_states[1])


@torch.no_grad()
def look_back(attention: Any, config: Any) -> None:
    """Set half of a layer's heads to attend to the previous token.

    Rotary embeddings turn equal vectors apart by the tokens between them; a query turned back by one token beforehand
    meets the key of the token before it.
    """
    size = attention.head_dim
    turns = config.rope_parameters["rope_theta"] ** (-torch.arange(0, size, 2) / size)
    query = LOOK_BACK * torch.cat([turns.cos(), -turns.sin()])
    key = LOOK_BACK * torch.cat([torch.ones(size // 2), torch.zeros(size // 2)])
    for projection, bias, heads in (
        (attention.q_proj, query, config.num_attention_heads),
        (attention.k_proj, key, config.num_key_value_heads),
    ):
        for head in range(heads // 2):
            rows = slice(head * size, (head + 1) * size)
            projection.weight[rows] = 0
            projection.bias[rows] = bias


@torch.no_grad()
def scale_residual(body: Any, features: torch.Tensor) -> float:
    """Scale the body's output to a size of about 1, at which new layers learn best; returns the factor.

    The norms make the layers themselves blind to that size. `features` are a sample of it, (tokens, hidden size); the
    factor is a power of two, so exact in any dtype.
    """
    factor = 2.0 ** -round(float(features.float().pow(2).mean().sqrt().log2()))
    for writer in (body.embed_tokens, *(part for x in body.layers for part in (x.self_attn.o_proj, x.mlp.down_proj))):
        writer.weight *= factor
    return factor
