"""A real Slurm of one node on this machine, for tests and benchmarks.

The node pretends to have more cores than the machine, so that several jobs run side by side, and
two GPUs, so that jobs that ask for some are started and told which are theirs.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .s3 import free_port

CORES = 8
MEMORY_MB = 20000
GPUS = 2
#: Seconds until the node must be ready.
STARTS_WITHIN = 60.0
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "munged")
_SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"

_CONFIGURATION = """\
ClusterName=edaphos
SlurmctldHost=localhost(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
GresTypes=gpu
SlurmctldPort={controller}
SlurmdPort={node}
NodeName=localhost CPUs={cores} RealMemory={memory} NodeAddr=127.0.0.1 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES DefMemPerCPU=500 MaxTime=INFINITE State=UP
"""


def available() -> str | None:
    """Return None where Slurm can be run, else the sentence how to get it."""
    if os.getuid() != 0 or any(shutil.which(name, path=_path()) is None for name in _PROGRAMS):
        return "needs a Slurm of its own; `apt-get install slurm-wlm munge`, and run as root"
    return None


@contextmanager
def slurm() -> Iterator[Path]:
    """Run Slurm in a temporary folder until the block ends; yield the folder.

    ``SLURM_CONF`` and ``PATH`` of this process point to it meanwhile. The partition is ``main``.
    Several may run beside each other.
    """
    missing = available()
    if missing is not None:
        raise RuntimeError(missing)
    with tempfile.TemporaryDirectory(prefix="edaphos-slurm-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # munge wants its socket within everyone's reach
        _write(folder)
        before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PATH")}
        os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        servers: list[subprocess.Popen[bytes]] = []
        try:
            servers.append(_start_munge(folder))
            for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
                log = (folder / f"{command[0]}.out").open("wb")
                servers.append(subprocess.Popen(command, stdout=log, stderr=log))
                log.close()
            _wait(folder, servers)
            yield folder
        finally:
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(["scancel", "--user=root"], timeout=20, check=False)
                _drained()
            for server in reversed(servers):
                server.terminate()
                try:
                    server.wait(15)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def call(*command: str) -> str:
    """Return what a command of Slurm prints.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def state(job: str) -> str:
    """Return a job's state, such as ``PENDING``, ``RUNNING`` or ``COMPLETED``."""
    words = call("scontrol", "show", "job", job, "--oneliner").split()
    return next(word for word in words if word.startswith("JobState=")).split("=")[1]


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM])


def _write(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    devices = [folder / f"gpu{number}" for number in range(GPUS)]
    for device in devices:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # another /dev/null
    (folder / "gres.conf").write_text(
        "".join(
            f"NodeName=localhost Name=gpu File={device} Flags=nvidia_gpu_env\n"
            for device in devices
        )
    )
    (folder / "slurm.conf").write_text(
        _CONFIGURATION.format(
            folder=folder,
            controller=free_port(),
            node=free_port(),
            cores=CORES,
            memory=MEMORY_MB,
            gpus=GPUS,
        )
    )


def _start_munge(folder: Path) -> subprocess.Popen[bytes]:
    """Start a munge with a key of its own, so that it lives and ends with this Slurm alone."""
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    socket = folder / "munge.socket"
    files = {"key-file": key, "socket": socket}
    files |= {f"{name}-file": folder / f"munge.{name}" for name in ("log", "pid", "seed")}
    options = [f"--{name}={file}" for name, file in files.items()]
    with (folder / "munged.out").open("wb") as log:
        process = subprocess.Popen(["munged", "--foreground", *options], stdout=log, stderr=log)
    until = time.monotonic() + STARTS_WITHIN
    probe = ["munge", "-n", f"--socket={socket}"]
    while subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            said = (folder / "munged.out").read_text()[-500:]
            raise RuntimeError(f"munge did not start: {said}")
        time.sleep(0.05)
    return process


def _wait(folder: Path, servers: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and all(server.poll() is None for server in servers):
        told = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False
        )
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.1)
    said = "\n".join(file.read_text()[-800:] for file in sorted(folder.glob("*.out")))
    raise RuntimeError(f"Slurm did not start: {said}")


def _drained() -> None:
    """Wait until no job is left."""
    until = time.monotonic() + 20
    while time.monotonic() < until and call("squeue", "--noheader"):
        time.sleep(0.1)
