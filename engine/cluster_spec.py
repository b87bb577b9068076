"""Where a run computes, in plain values."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from .errors import InputError

#: Prefixes of the addresses of running schedulers.
ADDRESSES = ("tcp://", "tls://", "ucx://")


@dataclass(frozen=True)
class SlurmSpec:
    """What is asked of Slurm.

    Parameters
    ----------
    queue, account
        Partition and account; Slurm's defaults where None.
    cores, memory
        Of a job of workers; the memory as Dask writes it, such as ``16GB``.
    walltime
        Of a job of workers, such as ``04:00:00``.
    gpus
        Of a job: it starts one worker for each, instead of one for each core.
    directives
        Further ``#SBATCH`` options of each job, such as ``--constraint=skylake``.
    prologue
        Shell lines before the workers start, such as ``module load cuda``.
    python
        The interpreter on the nodes; this one's path where None.
    interface
        Network interface that workers reach the scheduler by, such as ``ib0``.
    nested
        Whether a job may submit jobs. If not, the workers are started by ``srun`` inside the job
        that the run itself computes in.
    logs
        Folder of the jobs' output, which the nodes must see.
    """

    queue: str | None = None
    account: str | None = None
    cores: int = 4
    memory: str = "16GB"
    walltime: str = "04:00:00"
    gpus: int = 0
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str | None = None
    interface: str | None = None
    nested: bool = True
    logs: str = "edaphos-jobs"

    @property
    def processes(self) -> int:
        """Workers of a job."""
        return self.gpus or self.cores

    @property
    def options(self) -> tuple[str, ...]:
        """Options of ``sbatch`` for GPUs, and those of the directives.

        Directives that ask for GPUs in a site's own way are left to do so.
        """
        own = any(option.startswith(("--gres", "--gpus", "-G")) for option in self.directives)
        asked = (f"--gres=gpu:{self.gpus}",) if self.gpus and not own else ()
        return (*asked, *self.directives)


@dataclass(frozen=True)
class ClusterSpec:
    """Where and how wide to compute.

    Parameters
    ----------
    kind
        ``local``, ``slurm``, or the address of a running scheduler such as ``tcp://host:8786``.
    workers
        Worker processes; 0 takes one for each core of this machine, or one job of Slurm. On Slurm
        they are rounded up to whole jobs.
    tiles_at_once
        Tiles a worker holds at once: one computes while others read and write.
    max_workers
        On Slurm, workers are added up to here while there is work for them; 0 adds none.
    tls
        Whether what is sent between the processes is encrypted, with keys made for this run.
    slurm
        What is asked of Slurm.
    """

    kind: str = "local"
    workers: int = 0
    tiles_at_once: int = 2
    max_workers: int = 0
    tls: bool = False
    slurm: SlurmSpec = field(default_factory=SlurmSpec)

    @property
    def processes(self) -> int:
        """Worker processes of a local cluster; of others, the cores of the client's machine."""
        cores = len(os.sched_getaffinity(0))
        return self.workers or cores if self.kind == "local" else cores

    @property
    def planned_workers(self) -> int:
        """Worker processes that a plan reckons with: of Slurm those of the jobs asked for first.

        Of a standing scheduler nobody has told how many it has where `workers` is 0: one.
        """
        if self.kind == "local":
            return self.processes
        return self.jobs[0] * self.slurm.processes if self.kind == "slurm" else self.workers or 1

    @property
    def jobs(self) -> tuple[int, int]:
        """Slurm jobs at least and at most."""
        least = -(-max(self.workers, 1) // self.slurm.processes)
        return least, max(least, -(-self.max_workers // self.slurm.processes))

    def check(self) -> None:
        """Refuse what is no cluster, or contradicts itself.

        Raises
        ------
        InputError
            Naming the field.
        """
        if self.kind not in ("local", "slurm") and not self.kind.startswith(ADDRESSES):
            raise InputError(
                f'cluster "{self.kind}": expected "local", "slurm", or the address of a Dask '
                "scheduler such as tcp://host:8786 or tls://host:8786"
            )
        if self.max_workers and self.kind != "slurm":
            raise InputError(
                f'cluster.max_workers is {self.max_workers}, which only kind = "slurm" knows; '
                f'leave it out with kind = "{self.kind}"'
            )
        if 0 < self.max_workers < self.workers:
            raise InputError(
                f"cluster.max_workers is {self.max_workers}, below cluster.workers "
                f"({self.workers}); raise it or leave it out"
            )
        if self.max_workers and not self.slurm.nested:
            raise InputError(
                "cluster.max_workers cannot be kept with cluster.slurm.nested = false, where all "
                "workers live in one job; give cluster.workers alone"
            )
