"""The public tables as SQL views over stored parts and the stages that runs use."""

from collections.abc import Sequence

from overthink.storage.schemas import SIGNALS
from overthink.storage.stage_kinds import MAKE_ROLLOUTS, StageKind

# Sums over rows of `call_costs`: null where a row's value is null, 0 where there are no rows.
COST_SUMS = """
    sum_of(input_tokens, kind = 'generate') AS policy_prompt_tokens,
    sum_of(cached_tokens, kind = 'generate') AS policy_cached_tokens,
    sum_of(output_tokens, kind = 'generate') AS policy_completion_tokens,
    sum_of(input_tokens + output_tokens, kind = 'score') AS prm_tokens,
    sum_of(cached_tokens, kind = 'score') AS prm_cached_tokens,
    sum_of(output_tokens, kind = 'score') AS prm_completion_tokens,
    sum_of(flops, kind = 'generate') AS policy_flops,
    sum_of(flops, kind = 'score') AS prm_flops,
    sum_of(engine_seconds, kind != 'execute') AS engine_seconds,
    sum_of(gpu_seconds, kind != 'execute') AS gpu_seconds,
    sum_of(cpu_seconds, kind = 'execute') AS cpu_seconds"""
SUM_OF = """CREATE MACRO sum_of(amount, counted) AS
    CASE WHEN count(*) FILTER (counted) = count(amount) FILTER (counted)
         THEN coalesce(sum(amount) FILTER (counted), 0) END"""
# Whether a selector reads step scores. Older parts lack the column; the names of their selectors say it.
READS_PRM = "coalesce(e.reads_prm, starts_with(e.selector, 'prm_'))"

# What tests say of programs; answers that several graders read are there several times.
OF_TESTS = ("tests_passed", "generated_passed")
TESTED_ANSWERS = f"(SELECT DISTINCT rollout_id, {', '.join(OF_TESTS)} FROM parts_answers)"

ROLLOUT_KINDS = ", ".join(f"'{kind}'" for kind in sorted(MAKE_ROLLOUTS))
# Which calls of a stage belong to a run: where calls are per sample, only those of the samples that the run uses.
CALLS_OF_USE = f"""(u.kind IN ('{StageKind.SEARCH}', '{StageKind.LABEL}')
              OR u.kind IN ('{StageKind.SAMPLE}', '{StageKind.SCORE}', '{StageKind.TEST}') AND c.sample_index < u.n)"""

# The rollouts of runs: a stage may hold more samples and problems than a run takes of it.
USED_ROLLOUTS = f"""parts_rollouts r
        JOIN stage_uses u ON u.kind IN ({ROLLOUT_KINDS}) AND u.stage_key = r.stage_key
                         AND r.sample_index < u.n
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = r.problem_key"""


def _unpivoted(table: str, columns: Sequence[str], step_index: str, source: str) -> str:
    """The signals in the columns of a table, one a row; unknown ones have none."""
    return f"""SELECT rollout_id, signal, {step_index} AS step_index, value, '{source}' AS source
        FROM (UNPIVOT {table} ON {", ".join(columns)} INTO NAME signal VALUE value)"""


VIEWS = {
    "runs": "SELECT * FROM stored_runs",
    "problems": "SELECT DISTINCT * EXCLUDE (stage_key) FROM parts_problems",
    "rollouts": f"""
        SELECT u.run_id, u.method_id, r.* EXCLUDE (stage_key, problem_key), a.answer, a.answer_key
        FROM {USED_ROLLOUTS}
        LEFT JOIN (SELECT g.run_id, g.method_id, a.rollout_id, a.answer, a.answer_key FROM parts_answers a
                   JOIN stage_uses g ON g.kind = '{StageKind.GRADE}' AND g.stage_key = a.stage_key) a
               ON a.run_id = u.run_id AND a.method_id = u.method_id AND a.rollout_id = r.rollout_id""",
    "steps": "SELECT * EXCLUDE (stage_key) FROM parts_steps",
    "scores": "SELECT * EXCLUDE (stage_key) FROM parts_scores",
    "critiques": "SELECT * EXCLUDE (stage_key) FROM parts_critiques",
    # Whatever is known of rollouts and steps without a reference: `step_index` is null of a whole rollout.
    "signals": f"""
        SELECT rollout_id, 'prm' AS signal, step_index, score AS value, prm AS source FROM parts_scores
        UNION ALL BY NAME {_unpivoted("parts_rollouts", SIGNALS, "NULL::INTEGER", "sampling")}
        UNION ALL BY NAME {_unpivoted("parts_steps", SIGNALS, "step_index", "sampling")}
        UNION ALL BY NAME {_unpivoted(TESTED_ANSWERS, OF_TESTS, "NULL::INTEGER", "tests")}""",
    "test_results": "SELECT * EXCLUDE (stage_key) FROM parts_test_results",
    "step_labels": "SELECT * EXCLUDE (stage_key) FROM parts_step_labels",
    "nodes": f"""
        SELECT u.run_id, u.method_id, n.* EXCLUDE (stage_key, problem_key) FROM parts_nodes n
        JOIN stage_uses u ON u.kind IN ({ROLLOUT_KINDS}) AND u.stage_key = n.stage_key
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = n.problem_key""",
    # Of several versions of a grader the latest counts, so that a regraded rollout is there once. Version 1
    # of the grader of mathematics had the name of the library that it used.
    "grades": """
        SELECT rollout_id, latest.* EXCLUDE (stage_key), reference FROM (
            SELECT rollout_id, reference, replace(grader, 'math-verify ', 'math ') AS name, arg_max(
                       {'grader': grader, 'grader_version': coalesce(grader_version, 1), 'correct': correct,
                        'detail': detail, 'stage_key': stage_key},
                       {'version': coalesce(grader_version, 1), 'stage_key': stage_key}) AS latest
            FROM parts_grades GROUP BY ALL)""",
    # What each run itself makes of its rollouts, which others may grade by other references or tolerances.
    "verdicts": f"""
        SELECT s.run_id, s.method_id, g.* EXCLUDE (stage_key) FROM parts_grades g
        JOIN stage_uses s ON s.kind = '{StageKind.GRADE}' AND s.stage_key = g.stage_key
        SEMI JOIN (SELECT u.run_id, u.method_id, r.rollout_id FROM {USED_ROLLOUTS}) used
               ON used.run_id = s.run_id AND used.method_id = s.method_id AND used.rollout_id = g.rollout_id""",
    "decisions": f"""
        SELECT u.run_id, u.method_id, d.* EXCLUDE (stage_key, problem_key) FROM parts_decisions d
        JOIN stage_uses u ON u.kind = '{StageKind.DECIDE}' AND u.stage_key = d.stage_key
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = d.problem_key""",
    "groups": f"""
        SELECT u.run_id, u.method_id, g.* EXCLUDE (stage_key, problem_key) FROM parts_groups g
        JOIN stage_uses u ON u.kind = '{StageKind.SELECT}' AND u.stage_key = g.stage_key""",
    "selections": f"""
        SELECT u.run_id, u.method_id, s.* EXCLUDE (stage_key) FROM parts_selections s
        JOIN stage_uses u ON u.kind = '{StageKind.SELECT}' AND u.stage_key = s.stage_key""",
    "prm_metrics": f"""
        SELECT u.run_id, m.* EXCLUDE (stage_key) FROM parts_prm_metrics m
        JOIN stage_uses u ON u.kind = '{StageKind.MEASURE}' AND u.stage_key = m.stage_key""",
    "calls": f"""
        SELECT u.run_id, u.method_id, c.* EXCLUDE (stage_key, problem_key) FROM parts_calls c
        JOIN stage_uses u ON u.stage_key = c.stage_key
             AND {CALLS_OF_USE}
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = c.problem_key""",
    "reported": f"""
        SELECT u.run_id, u.method_id, r.* EXCLUDE (stage_key, problem_key) FROM parts_reported r
        JOIN stage_uses u ON u.kind = '{StageKind.IMPORT}' AND u.stage_key = r.stage_key""",
    # A program is no model's work: it has the CPU seconds that it took, and neither FLOPs nor engine seconds. Of the
    # uses that a run makes of a stage, as several methods do, the one with the most samples is in the total of the run.
    "call_costs": f"""
        WITH at_work AS (
            SELECT stage_key,
                   sum(greatest(0, ended - greatest(began, coalesce(latest, began)))) / nullif(sum(ended - began), 0)
                       AS share
            FROM (SELECT *, max(ended) OVER (PARTITION BY stage_key ORDER BY began, ended
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest
                  FROM (SELECT stage_key, epoch(started_at) AS began, began + latency_ms / 1000 AS ended
                        FROM parts_calls WHERE kind != 'execute'))
            GROUP BY stage_key)
        SELECT u.run_id, u.method_id, u.in_total, c.problem_id, c.sample_index, c.kind, c.call_key, c.input_tokens,
               c.cached_tokens, c.output_tokens,
               2e0 * CASE c.kind WHEN 'generate' THEN r.policy_parameters WHEN 'score' THEN r.prm_parameters END
                   * (c.input_tokens::DOUBLE - c.cached_tokens + c.output_tokens) AS flops,
               CASE WHEN c.kind != 'execute' THEN c.latency_ms / 1000 * u.share END AS engine_seconds,
               engine_seconds * u.gpus AS gpu_seconds, c.cpu_seconds
        FROM parts_calls c
        JOIN (SELECT s.*, w.share, row_number() OVER (PARTITION BY s.run_id, s.stage_key
                                                      ORDER BY s.n DESC NULLS FIRST) = 1 AS in_total
              FROM stage_uses s LEFT JOIN at_work w ON w.stage_key = s.stage_key) u ON u.stage_key = c.stage_key
             AND {CALLS_OF_USE}
        JOIN run_problems p ON p.run_id = u.run_id AND p.problem_key = c.problem_key
        JOIN stored_runs r ON r.run_id = u.run_id""",
    "costs": f"SELECT run_id, method_id, problem_id, {COST_SUMS} FROM call_costs GROUP BY ALL",
    "summary": f"""
        WITH asked AS (SELECT run_id, method_id, {COST_SUMS} FROM call_costs GROUP BY ALL),
        told AS (
            SELECT run_id, method_id, CASE WHEN count(value) = count(*) THEN sum(value) END AS policy_completion_tokens
            FROM reported WHERE measure = 'policy_tokens' AND problem_id IS NOT NULL GROUP BY run_id, method_id),
        imports AS (SELECT run_id, method_id FROM stage_uses WHERE kind = '{StageKind.IMPORT}'),
        -- of an import another tool's file tells the tokens; all that ran here are programs
        spent AS (
            FROM asked ANTI JOIN imports USING (run_id, method_id)
            UNION ALL BY NAME
            SELECT run_id, method_id, t.policy_completion_tokens, a.cpu_seconds
            FROM imports LEFT JOIN told t USING (run_id, method_id) LEFT JOIN asked a USING (run_id, method_id)),
        made AS (SELECT run_id, method_id, bool_or(kind = '{StageKind.IMPORT}') AS imported,
                        -- null: all of it is one budget's
                        CASE WHEN count(*) FILTER (makes) = 1 THEN any_value(n) FILTER (makes) END AS samples,
                        -- a search whose rollouts are scored in a stage of their own asked no PRM
                        bool_or(kind = '{StageKind.SEARCH}')
                            AND (samples IS NULL OR NOT bool_or(kind = '{StageKind.SCORE}')) AS searched
                 FROM (SELECT *, kind IN ({ROLLOUT_KINDS}) AS makes FROM stage_uses) GROUP BY run_id, method_id),
        guesses AS (SELECT run_id, avg(chance) AS chance
                    FROM problems JOIN stored_runs USING (problem_set) GROUP BY run_id)
        SELECT u.run_id, u.method_id, e.selector, e.n, e.problems, e.accuracy, e.ci_low, e.ci_high,
               e.accuracy_low, e.accuracy_high, e.unknown, e.estimator, g.chance,
               s.policy_completion_tokens * e.n / coalesce(m.samples, e.n) AS policy_tokens,
               CASE WHEN m.searched OR m.imported OR {READS_PRM}
                    THEN s.prm_tokens * e.n / coalesce(m.samples, e.n) ELSE 0 END AS prm_tokens,
               (s.policy_flops + CASE WHEN m.searched OR {READS_PRM}
                                      THEN s.prm_flops ELSE 0 END) * e.n / coalesce(m.samples, e.n) AS flops,
               s.cpu_seconds * e.n / coalesce(m.samples, e.n) AS cpu_seconds
        FROM parts_estimates e
        JOIN stage_uses u ON u.kind = '{StageKind.SELECT}' AND u.stage_key = e.stage_key
        JOIN made m ON m.run_id = u.run_id AND m.method_id = u.method_id
        LEFT JOIN spent s ON s.run_id = u.run_id AND s.method_id = u.method_id
        LEFT JOIN guesses g ON g.run_id = u.run_id""",
}
