"""What a run has before it: how much of each stage is stored already, and how large what is lacking is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.analysis.method_ids import method_name
from overthink.tasks.counted import counted
from overthink.tasks.stages.node import PlainNode, StageNode

Alike = tuple[StageKind, str | None]  # stages whose samples take the same time: a kind and, of a search, its method


@dataclass(frozen=True)
class StageAhead:
    """A stage that a run makes: its parts, those of them that are stored, and the samples that the others lack.

    `journaled` are the answered calls in its journals, None where another process is writing one; `gpus` are None where
    unknown.
    """

    alike: Alike
    n: int
    parts: int
    stored: int
    samples: int
    journaled: int | None
    gpus: int | None = None

    @property
    def kind(self) -> str:
        """The kind in words."""
        return str(self.alike[0])


def stages_ahead(
    store: Store, nodes: Iterable[StageNode], gpus: Mapping[str, int | None]
) -> dict[StageNode, StageAhead]:
    """The stages that take time; `gpus` by the key of the stage. Reads their manifests."""
    return {node: _ahead(store, node, gpus.get(node.key)) for node in nodes if takes_time(node)}


def takes_time(node: StageNode) -> bool:
    """Whether a stage counts among those of its run; an instant one does not."""
    return not (isinstance(node, PlainNode) and node.instant)


def _ahead(store: Store, node: StageNode, gpus: int | None) -> StageAhead:
    units, stage = node.problems.units, store.stage(node.key)
    size = node.shard_size or len(units)
    parts = -(-len(units) // size)
    lacking = stage.shards(units, node.n, size)
    extents = [extent for shard in lacking for extent in shard.extents]
    return StageAhead(
        alike=_alike(node),
        n=node.n,
        parts=parts,
        stored=parts - len(lacking),
        samples=sum(len(extent.units) * (extent.last - extent.first) for extent in extents),
        journaled=stage.journals.count(),
        gpus=gpus,
    )


def _alike(node: StageNode) -> Alike:
    is_search = node.kind == StageKind.SEARCH and node.method_id is not None
    return node.kind, method_name(str(node.method_id)) if is_search else None


def what_was_found(ahead: Sequence[StageAhead]) -> str | None:
    """What earlier lives and other runs left, in a line; None where there is nothing."""
    whole = sum(stage.stored == stage.parts for stage in ahead)
    stored, parts = sum(stage.stored for stage in ahead), sum(stage.parts for stage in ahead)
    known = [stage.journaled for stage in ahead if stage.journaled is not None]
    at_least = "" if len(known) == len(ahead) else "at least "
    calls = f"{at_least}{counted(sum(known), 'answered call')} in journals"
    if not stored and not sum(known) and len(known) == len(ahead):
        return None
    return f"found {whole} of {counted(len(ahead), 'stage')} done, {stored:,} of {counted(parts, 'part')}, {calls}"
