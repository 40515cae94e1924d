"""The stages of one method of a recipe: rollouts, their scores, their grades, and the selected answers."""

from dataclasses import dataclass
from functools import cached_property

from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.domains.program_domain import ProgramDomain
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.engines.sandbox.choosing import sandbox_identity
from overthink.tasks.errors import UserError
from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.plan.policy_thinking import check_words, reasoning_identity, thinking_of
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.methods import AnyMethod, BudgetForcing, Cot
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.revision_methods import RevisionConfig
from overthink.tasks.stages.grade import GradeNode
from overthink.tasks.stages.identity import JsonObject
from overthink.tasks.stages.node import Input, Problems, StageNode
from overthink.tasks.stages.revise import RevisionNode
from overthink.tasks.stages.run_tests import RunTestsNode
from overthink.tasks.stages.sample import SampleNode
from overthink.tasks.stages.score import ScoreNode
from overthink.tasks.stages.search import SearchNode
from overthink.tasks.stages.select import SelectNode, SelectSettings


def problems_of(problem_set: ProblemSet) -> Problems:
    """The problems of a run that grades, whose stage holds their references too."""
    return Problems(problem_set.name, problem_set.problems, problem_set.content)


def tests_node(recipe: Recipe | ImportRecipe, problems: Problems, made: Input) -> RunTestsNode | None:
    """The tests of a stage's rollouts; None where they are no programs.

    Raises EngineUnavailable where no sandbox holds, so that nothing is drawn that cannot be graded.
    """
    if not isinstance(recipe.grader.domain, ProgramDomain):
        return None
    return RunTestsNode(
        problems=problems,
        method_id=made.method_id,
        n=made.n,
        shard_size=recipe.shard_size,
        rollouts=made,
        grader=recipe.grader,
        sandbox=sandbox_identity(),
    )


def grade_node(recipe: Recipe | ImportRecipe, problems: Problems, made: Input, tests: Input | None) -> GradeNode:
    """The grades of a stage's rollouts, of programs by their tests."""
    return GradeNode(
        problems=problems,
        method_id=made.method_id,
        n=made.n,
        shard_size=recipe.shard_size,
        rollouts=made,
        grader=recipe.grader,
        tests=tests,
    )


def select_node(recipe: Recipe, method: AnyMethod, grades: GradeNode, scores: Input | None) -> SelectNode:
    """The recipe's selectors applied to a method's graded and, with a PRM, scored rollouts."""
    settings = SelectSettings(recipe.budgets_of(method), recipe.chosen_selectors(), method.independent, recipe.seed)
    return SelectNode(
        problems=grades.problems,
        method_id=grades.method_id,
        n=grades.n,
        rollouts=grades.rollouts,
        grades=grades,
        scores=scores,
        settings=settings,
    )


@dataclass(frozen=True)
class Planner:
    """Makes the nodes of a recipe for a set of problems, with the engines it names."""

    recipe: Recipe
    problems: Problems
    policy: EngineIdentity
    prm: EngineIdentity | None

    @cached_property
    def thinking(self) -> Thinking | None:
        """How the policy reasons. Raises UserError where the recipe forces reasoning that there is none of."""
        return thinking_of(self.recipe.reasoning, self.policy)

    @property
    def reasoning(self) -> JsonObject:
        """What of it determines rollouts."""
        return reasoning_identity(self.thinking, self.recipe.reasoning, self.policy)

    def method(self, method: AnyMethod) -> list[StageNode]:
        """All stages of a method."""
        made = self.searched(method) if method.is_search else self.sampled(method, method.method_id)
        scores = made if method.is_guided else self.scores(made)
        tests, grades = self.graded(made)
        chosen = select_node(self.recipe, method, grades, scores)
        return [made, *([] if scores in (None, made) else [scores]), *tests, grades, chosen]

    def graded(self, made: Input) -> tuple[list[StageNode], GradeNode]:
        """The tests of a stage's rollouts, if they are programs, and their grades."""
        tests = tests_node(self.recipe, self.problems, made)
        return [] if tests is None else [tests], grade_node(self.recipe, self.problems, made, tests)

    def sampled(self, method: AnyMethod, method_id: str) -> SampleNode:
        """The rollouts of a method that needs no verifier."""
        recipe = self.recipe
        self.check_thinking(method)
        return (RevisionNode if isinstance(method, RevisionConfig) else SampleNode)(
            problems=self.problems,
            method_id=method_id,
            n=method.n,
            shard_size=recipe.shard_size,
            policy=self.policy,
            seed=0 if isinstance(method, Cot) else recipe.seed,
            sampling=recipe.sampling,
            grader=recipe.grader,
            thinking=self.thinking,
            reasoning=self.reasoning,
            method=method,
        )

    def check_thinking(self, method: AnyMethod) -> None:
        """Raise UserError for a method that needs a policy that thinks, or one that does not, where it is the other."""
        if isinstance(method, RevisionConfig) and self.thinking is not None:
            raise UserError(
                f"{method.method_id} goes on from answers of policies that do not think, and {self.policy.name} does: "
                "choose budget_forcing or best_of_n, or switch its thinking off (prompt.chat_template_kwargs)"
            )
        if not isinstance(method, BudgetForcing):
            return
        if self.thinking is None:
            raise UserError(
                f"{method.method_id} needs a policy that thinks, and {self.policy.name} does not: name "
                "reasoning.marks, or let it think (prompt.chat_template_kwargs)"
            )
        check_words(method.method_id, (method.text,), self.thinking.marks)

    def searched(self, method: AnyMethod) -> SearchNode:
        """The rollouts of a search."""
        recipe = self.recipe
        assert self.prm is not None or not method.is_guided, "a recipe with a guided search names a PRM"
        return SearchNode(
            problems=self.problems,
            method_id=method.method_id,
            n=method.n,
            shard_size=recipe.shard_size,
            policy=self.policy,
            prm=self.prm if method.is_guided else None,
            seed=recipe.seed,
            sampling=recipe.sampling,
            grader=recipe.grader,
            thinking=self.thinking,
            reasoning=self.reasoning,
            method=method,
        )

    def scores(self, made: Input) -> ScoreNode | None:
        """The PRM's scores of a stage's rollouts, where the recipe names one."""
        if self.prm is None:
            return None
        return ScoreNode(
            problems=self.problems,
            method_id=made.method_id,
            n=made.n,
            shard_size=self.recipe.shard_size,
            prm=self.prm,
            seed=self.recipe.seed,
            rollouts=made,
        )
