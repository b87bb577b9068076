"""The ``[cluster]`` table of a recipe: where it computes, and how wide."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edaphos.engine.cluster import ClusterSpec, SlurmSpec

from .config import Table

#: Minutes, or hours:minutes:seconds, or days-hours, and so on: as ``sbatch --time`` takes them.
WALLTIME = r"^(\d+-)?\d+(:\d{1,2}){0,2}$"
MEMORY = r"^\d+(\.\d+)? ?([kMGT]i?)?B$"


def _one_line(value: str) -> str:
    if "\n" in value:
        raise ValueError("one line each, found several")
    return value


def _option(value: str) -> str:
    if not value.startswith("-"):
        raise ValueError('options of sbatch begin with "-", such as "--constraint=skylake"')
    return _one_line(value)


Word = Annotated[str, Field(pattern=r"^[^\s]+$")]
Walltime = Annotated[str, Field(pattern=WALLTIME)]
Memory = Annotated[str, Field(pattern=MEMORY)]
Directive = Annotated[str, AfterValidator(_option)]
Line = Annotated[str, AfterValidator(_one_line)]


class ClientTable(Table):
    """The job that `edaphos submit` runs the recipe in; it fits the model and hands out tiles."""

    cores: int = Field(4, ge=1, le=1024, description="cores")
    memory: Memory = Field("16GB", description="memory")
    walltime: Walltime | None = Field(
        None, description="its walltime, if not that of the workers; it comes back until it is done"
    )
    lead: int = Field(
        300,
        ge=60,
        le=86400,
        description="seconds before its end at which it stops, finishes its tiles and comes back",
    )


class SlurmTable(Table):
    """What is asked of Slurm."""

    queue: Word | None = Field(None, description="partition, if not the default one")
    account: Word | None = Field(None, description="account, if not your default one")
    cores: int = Field(4, ge=1, le=1024, description="cores of a job: a worker on each")
    memory: Memory = Field("16GB", description="memory of a job, shared by its workers")
    walltime: Walltime = Field("04:00:00", description="walltime of a job of workers")
    gpus: int = Field(0, ge=0, le=64, description="GPUs of a job; if any, a worker on each")
    directives: tuple[Directive, ...] = Field(
        (), description='further options of sbatch, such as ["--constraint=skylake"]'
    )
    prologue: tuple[Line, ...] = Field(
        (), description='shell lines before workers start, such as ["module load cuda"]'
    )
    python: Word | None = Field(None, description="the interpreter on the nodes, if not this one")
    interface: Word | None = Field(None, description="network between the nodes, such as ib0")
    nested: bool = Field(
        True, description="whether a job may submit jobs; if not, one job holds all workers"
    )
    logs: str = Field("edaphos-jobs", description="folder of the jobs' output, seen by all nodes")
    client: ClientTable = Field(ClientTable(), description="the job that holds the run")


class ClusterTable(Table):
    """Where it computes."""

    kind: str = Field(
        "local", description='"local", "slurm", or a scheduler such as tcp://host:8786'
    )
    workers: int = Field(
        0, ge=0, le=4096, description="worker processes; 0: one a core here, or one job of Slurm"
    )
    max_workers: int = Field(
        0, ge=0, le=4096, description="on Slurm, as many as there is work for, up to here"
    )
    tiles_at_once: int = Field(
        2, ge=1, le=8, description="tiles a worker holds: one computes, others read and write"
    )
    tls: bool = Field(False, description="encrypt what processes send each other")
    slurm: SlurmTable = Field(SlurmTable(), description="what is asked of Slurm")


def cluster_spec(table: ClusterTable, kind: str | None, workers: int | None) -> ClusterSpec:
    """Return where to compute; the command line's kind and workers win over the table's.

    Raises
    ------
    InputError
        The kind is unknown, or fields contradict each other.
    """
    other_kind = kind is not None and kind != table.kind
    spec = ClusterSpec(
        kind=kind or table.kind,
        workers=table.workers if workers is None else workers,
        tiles_at_once=table.tiles_at_once,
        # what another kind would refuse is of no use where the command line chose that kind
        max_workers=0 if other_kind or workers is not None else table.max_workers,
        tls=table.tls,
        slurm=SlurmSpec(**table.slurm.model_dump(exclude={"client"})),
    )
    spec.check()
    return spec
