"""Problems that are read from no rows: chains, specs, and questions in the recipe itself."""

from overthink.storage.keys import content_key
from overthink.tasks.datasets.chains import Chain, generate_chains
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.datasets.sources import ChainsSource, QuestionsSource, SpecsSource
from overthink.tasks.datasets.spec_tests import GradedSpec, generate_specs
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def chain_id(chain: Chain) -> str:
    """A chain's id: its length, and a digest of its question."""
    return f"chain-{len(chain.operations):02d}-{content_key(chain.question)[:12]}"


def drawn_chains(source: ChainsSource) -> list[Chain]:
    """The chains of a source. Raises ProblemError where there are too few."""
    try:
        return generate_chains(source.split, source.count, source.shortest, source.longest, source.seed)
    except ValueError as error:
        raise ProblemError(f"chains: {error}") from error


def chain_problems(source: ChainsSource) -> ProblemSet:
    """The problems of a source of chains. Raises ProblemError where there are too few."""
    problems = []
    for chain in drawn_chains(source):
        # Ids depend on the content, so that a larger set of the same chains shares rollouts with a smaller one.
        problem_id = chain_id(chain)
        problems.append(
            Problem(
                problem_key=problem_key(problem_id, chain.question),
                problem_id=problem_id,
                question=chain.question,
                reference=str(chain.values[-1]),
                domain="chains",
                level=str(len(chain.operations)),
                subject="arithmetic",
            )
        )
    return ProblemSet(title=f"chains-{source.split}", problems=tuple(problems))


def spec_problems(source: SpecsSource) -> ProblemSet:
    """The problems of a source of specs. Raises ProblemError where there are too few."""
    try:
        drawn = generate_specs(source.split, source.count, source.shortest, source.longest, source.seed)
    except ValueError as error:
        raise ProblemError(f"specs: {error}") from error
    return ProblemSet(title=f"specs-{source.split}", problems=tuple(map(_spec_problem, drawn)))


def _spec_problem(tested: GradedSpec) -> Problem:
    spec = tested.spec
    problem_id = f"spec-{len(spec.clauses)}-{content_key(spec.question)[:12]}"
    return Problem(
        problem_key=problem_key(problem_id, spec.question),
        problem_id=problem_id,
        question=spec.question,
        reference="\n".join(tested.hidden),
        level=str(len(spec.clauses)),
        subject="programs",
        fields=tested.fields,
    )


def question_problems(source: QuestionsSource) -> ProblemSet:
    """The questions of a recipe as problems."""
    names = {f"question-{content_key(question)[:12]}": question for question in source.questions}
    problems = [Problem(problem_key(name, question), name, question, None) for name, question in names.items()]
    return ProblemSet(title="questions", problems=tuple(problems))
