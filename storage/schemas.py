"""The columns of every stored table, as in the Parquet files.

Parts are shared between runs, so they carry no run_id: the SQL views add it (see `storage/views.py`). `problem_key` is
the content address of a problem's id and question, and of what else is put to the policy; it ties a rollout to its
problem in every run that holds it.

`logprob_sum` and the signals are under the policy's own distribution, at temperature 1 and before top_p, whatever
`sampling` the text was drawn with. `text` is what follows the reasoning, `completion_tokens` counts both.
"""

import pyarrow as pa

_PROBLEM = [("problem_key", pa.string()), ("problem_id", pa.string())]
# What sampling computes of the tokens of a step or rollout, reasoning included; null where it did not.
SIGNALS = (
    "logprob_mean",
    "confidence_mean",
    "confidence_tail",
    "confidence_lowest",
    "confidence_bottom",
    "entropy_mean",
    "self_certainty",
)
_SIGNALS = [(name, pa.float64()) for name in SIGNALS]
# Over the answers with a known verdict; bounds with all unknown ones wrong, and all right; the share of unknown ones.
_ESTIMATE = [
    ("accuracy", pa.float64()),
    ("accuracy_low", pa.float64()),
    ("accuracy_high", pa.float64()),
    ("unknown", pa.float64()),
    ("estimator", pa.string()),
]

SCHEMAS: dict[str, pa.Schema] = {
    "problems": pa.schema(
        [
            ("problem_set", pa.string()),
            *_PROBLEM,
            ("question", pa.string()),
            ("reference", pa.string()),
            ("domain", pa.string()),
            ("level", pa.string()),
            ("subject", pa.string()),
            ("fields", pa.string()),  # JSON: all columns of the problem's row; null where it had none
            ("chance", pa.float64()),  # of a guess to be right; null where that says nothing
        ]
    ),
    "rollouts": pa.schema(
        [
            *_PROBLEM,
            ("sample_index", pa.int32()),
            ("rollout_id", pa.string()),
            ("text", pa.string()),
            ("step_count", pa.int32()),
            ("prompt_tokens", pa.int32()),
            ("completion_tokens", pa.int32()),
            ("logprob_sum", pa.float64()),
            ("stop_reason", pa.string()),
            ("reasoning_text", pa.string()),
            ("reasoning_tokens", pa.int32()),
            *_SIGNALS,
        ]
    ),
    "steps": pa.schema(
        [
            ("rollout_id", pa.string()),
            ("step_index", pa.int32()),
            ("text", pa.string()),
            ("completion_tokens", pa.int32()),
            ("logprob_sum", pa.float64()),
            *_SIGNALS,
        ]
    ),
    "scores": pa.schema(
        [("rollout_id", pa.string()), ("prm", pa.string()), ("step_index", pa.int32()), ("score", pa.float64())]
    ),
    # What a verifier wrote of a step before it judged it: `score` is the critique's own, null without a verdict.
    "critiques": pa.schema(
        [
            ("rollout_id", pa.string()),
            ("prm", pa.string()),
            ("step_index", pa.int32()),
            ("critique", pa.int32()),  # its number among those of the step
            ("text", pa.string()),
            ("verdict", pa.bool_()),  # whether it says that the step is right; null where it does not say
            ("score", pa.float64()),
            ("completion_tokens", pa.int32()),
            ("stop_reason", pa.string()),
        ]
    ),
    "step_labels": pa.schema(
        [("rollout_id", pa.string()), ("labeller", pa.string()), ("step_index", pa.int32()), ("label", pa.float64())]
    ),
    "prm_metrics": pa.schema(
        [
            ("prm", pa.string()),
            ("source", pa.string()),
            ("measure", pa.string()),
            ("aggregation", pa.string()),
            ("labeller", pa.string()),
            ("point", pa.float64()),
            ("value", pa.float64()),
            ("count", pa.int64()),
        ]
    ),
    "nodes": pa.schema(
        [
            *_PROBLEM,
            ("node_id", pa.string()),
            ("parent_id", pa.string()),
            ("depth", pa.int32()),
            ("draw", pa.int32()),
            ("text", pa.string()),
            ("score", pa.float64()),
            ("value", pa.float64()),
            ("kept", pa.bool_()),
            ("dropped", pa.string()),
            ("finished", pa.bool_()),
            ("completion_tokens", pa.int32()),
            ("lookahead_tokens", pa.int32()),
            # Of methods that revise: answer, critique or check; null of a step.
            ("role", pa.string()),
        ]
    ),
    "answers": pa.schema(
        [
            *_PROBLEM,
            ("rollout_id", pa.string()),
            ("sample_index", pa.int32()),
            ("answer", pa.string()),
            ("answer_key", pa.string()),
            # Of programs, where they were run: the share of public tests passed, the number of generated ones, a digest
            # of what it made of the inputs, and one of which generated tests it passed; null where unknown.
            ("tests_passed", pa.float64()),
            ("generated_passed", pa.float64()),
            ("behaviour", pa.string()),
            ("agreement", pa.string()),
        ]
    ),
    "grades": pa.schema(
        [
            ("rollout_id", pa.string()),
            ("grader", pa.string()),
            ("grader_version", pa.int32()),
            ("correct", pa.bool_()),
            ("detail", pa.string()),
            ("reference", pa.string()),
        ]
    ),
    "test_results": pa.schema(
        [
            ("rollout_id", pa.string()),
            ("suite", pa.string()),
            ("passed", pa.list_(pa.bool_())),  # a verdict for each test; null where unknown
            ("behaviour", pa.string()),
            ("ended", pa.string()),
            ("detail", pa.string()),
            ("cpu_seconds", pa.float64()),
        ]
    ),
    "decisions": pa.schema(
        [
            *_PROBLEM,
            ("predicted", pa.float64()),
            ("difficulty", pa.string()),
            ("budget", pa.int32()),
            ("chosen", pa.string()),
            ("selector", pa.string()),
            ("expected_accuracy", pa.float64()),
            ("expected_tokens", pa.float64()),
            ("expected_flops", pa.float64()),
        ]
    ),
    "groups": pa.schema(
        [
            *_PROBLEM,
            ("rollout_id", pa.string()),
            ("sample_index", pa.int32()),
            ("answer_group", pa.string()),
        ]
    ),
    "selections": pa.schema(
        [
            ("problem_id", pa.string()),
            ("n", pa.int32()),
            ("selector", pa.string()),
            ("answer", pa.string()),
            ("correct", pa.bool_()),
            *_ESTIMATE,
        ]
    ),
    "estimates": pa.schema(
        [
            ("selector", pa.string()),
            ("n", pa.int32()),
            ("problems", pa.int32()),
            *_ESTIMATE,
            ("ci_low", pa.float64()),
            ("ci_high", pa.float64()),
            ("reads_prm", pa.bool_()),  # whether the selector reads step scores; null in older parts
        ]
    ),
    "reported": pa.schema(
        [
            *_PROBLEM,
            ("sample_index", pa.int32()),
            ("field", pa.string()),
            ("measure", pa.string()),
            ("selector", pa.string()),
            ("n", pa.int32()),
            ("answer", pa.string()),
            ("correct", pa.bool_()),
            ("value", pa.float64()),
        ]
    ),
    "calls": pa.schema(
        [
            *_PROBLEM,
            ("sample_index", pa.int32()),
            ("kind", pa.string()),
            ("call_key", pa.string()),
            ("model", pa.string()),
            ("input_tokens", pa.int32()),
            ("cached_tokens", pa.int32()),
            ("output_tokens", pa.int32()),
            ("latency_ms", pa.float64()),
            ("started_at", pa.timestamp("us", tz="UTC")),
            ("cpu_seconds", pa.float64()),  # of a program; null of other calls
        ]
    ),
}


def with_columns_of(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """A table with exactly the columns of `schema`: null where the table was written before a column existed."""
    absent = pa.nulls(table.num_rows)
    named = [table[name] if name in table.column_names else absent for name in schema.names]
    return pa.table(dict(zip(schema.names, named, strict=True))).cast(schema)
