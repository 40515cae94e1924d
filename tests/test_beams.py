"""The searches of the script that ours are measured against (benchmarks/beams.py)."""

from benchmarks.beams import Beam, BeamSearch, BeamSearchHf, DiverseSearch, best

START = Beam("Q", "Q")


def grown(search: BeamSearch, *steps: str) -> list[Beam]:
    """The live beams, each with a step such as "a.7": its letter, its score in tenths; "a.7!" has finished."""
    assert len(steps) == len(search.live)
    return [
        Beam(beam.text + step[0], beam.judged, step.endswith("!"), int(step[2]) / 10)
        for beam, step in zip(search.live, steps, strict=True)
    ]


def texts(beams: list[Beam]) -> list[str]:
    return [beam.text for beam in beams]


def test_the_best_are_distinct() -> None:
    beams = [Beam("a", "", score=0.5), Beam("b", "", score=0.9), Beam("b", "", score=0.9), Beam("c", "", score=0.1)]
    assert texts(best(beams, 2)) == ["b", "a"]


def test_a_finished_solution_keeps_its_place() -> None:
    search = BeamSearch(START, 4, 2)
    search.advance(grown(search, "a.9!", "b.8", "c.7", "d.6"))
    assert (texts(search.finished), texts(search.live)) == (["Qa"], ["Qb", "Qb"])
    search.advance(grown(search, "e.1", "f.2"))
    assert texts(search.live) == ["Qbf", "Qbf"]
    search.advance(grown(search, "g.3!", "h.2"))
    assert (texts(search.finished), search.live) == (["Qa", "Qbfg"], [])


def test_finished_solutions_leave_and_the_others_are_repeated() -> None:
    search = BeamSearchHf(START, 4, 2)
    search.advance(grown(search, "a.9!", "b.8", "b.8", "c.7"))
    assert (texts(search.finished), texts(search.live)) == (["Qa"], ["Qb", "Qc", "Qb", "Qc"])
    search.advance(grown(search, "d.1!", "e.2!", "f.3!", "g.4"))
    assert (len(search.finished), search.live) == (4, []), "as many as asked have finished"


def test_each_subtree_goes_on_from_its_best() -> None:
    search = DiverseSearch(START, 4, 2)
    search.advance(grown(search, "a.1", "b.2", "c.9", "d.8"))
    assert texts(search.live) == ["Qb", "Qb", "Qc", "Qc"]
    search.advance(grown(search, "e.9!", "f.2", "g.1", "h.3"))
    assert (texts(search.finished), texts(search.live)) == (["Qbe"], ["Qch", "Qch"])
