"""Problem sets: checked problems of one domain, whose name says what they are."""

from dataclasses import replace
from typing import Any

from pydantic import ConfigDict

from overthink.storage.keys import content_key
from overthink.tasks.datasets.row_layouts import SourceModel
from overthink.tasks.domains.known_domains import MATH, DomainName, domain_of
from overthink.tasks.records import Problem


class ProblemSet(SourceModel):
    """Checked problems of one domain. `dropped` holds the errors of rows left out with `--skip-bad-rows`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    title: str
    problems: tuple[Problem, ...]
    dropped: tuple[str, ...] = ()
    domain: DomainName = MATH.name

    @property
    def content(self) -> list[Any]:
        """What determines grades: each problem's key and reference, and what else its domain compares answers by."""
        compared = domain_of(self.domain).grading_fields
        found = [
            {name: one.fields[name] for name in compared if one.fields.get(name) is not None} for one in self.problems
        ]
        return [
            [one.problem_key, one.reference, *([fields] if fields else [])]
            for one, fields in zip(self.problems, found, strict=True)
        ]

    @property
    def name(self) -> str:
        """The title and a digest of all ids, questions and references: different sets have different names."""
        content = self.content
        # Sets of mathematics keep the names that they had before there were other domains.
        if self.domain != MATH.name:
            content.append(self.domain)
        return f"{self.title}@{content_key(content)[:8]}"

    def in_domain(self, domain: DomainName) -> "ProblemSet":
        """The same problems in a domain, which each then names; those of mathematics name their set, as before."""
        if domain == MATH.name:
            return self
        problems = tuple(replace(problem, domain=domain) for problem in self.problems)
        return self.model_copy(update={"problems": problems, "domain": domain})
