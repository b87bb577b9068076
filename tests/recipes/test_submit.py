"""Submitting a run to Slurm: the script, coming back after a signal, and real jobs to the end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaphos.engine.cluster import ClusterSpec, SlurmSpec
from edaphos.engine.errors import InputError, RunError, Stopped
from edaphos.engine.ledger import Ledger
from edaphos.engine.map_store import MAP
from edaphos.engine.place import place
from edaphos.engine.recovery import verify_map
from edaphos.engine.run import Run
from edaphos.engine.signals import stop_signals
from edaphos.engine.store import checksum, list_objects
from edaphos.recipes.cli import app
from edaphos.recipes.cluster_schema import ClientTable
from edaphos.recipes.submit import batch_job, job_of, job_script, requeue_self, submit

from .small import Country, make_country

SECONDS = 120
TILES = 16
CLUSTER = """
[cluster]
kind = "slurm"

[cluster.slurm]
queue = "main"
cores = 1
memory = "2GB"
walltime = "00:10:00"
interface = "lo"
logs = "{logs}"
{more}

[cluster.slurm.client]
cores = 1
memory = "2GB"
lead = 60
"""


def edaphos(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def directives(script: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in script.splitlines() if line.startswith("#SBATCH")]


def objects(out: Path) -> dict[str, str]:
    folder = out / MAP
    return {key: checksum((folder / key).read_bytes()) for key in list_objects(folder)}


# -- the script ----------------------------------------------------------------------------------


def test_a_dry_run_prints_the_script_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/my models")
    country = make_country(tmp_path / "a country")
    more = 'account = "soil"\nprologue = ["module load x"]\ndirectives = ["--constraint=a b"]'
    text = country.recipe.read_text() + CLUSTER.format(logs="logs", more=more)
    country.recipe.write_text(text)
    script = edaphos("submit", country.recipe, "--out", "my run", "--workers", 3, "--dry-run")
    told = directives(script)
    assert {"--partition=main", "--account=soil", "--signal=B:USR1@60", "--requeue"} <= set(told)
    assert {"--open-mode=append", "--time=00:10:00", "--cpus-per-task=1"} <= set(told)
    assert "--constraint='a b'" in told
    (output,) = [one for one in told if one.startswith("--output")]
    assert output.startswith(f"--output='{tmp_path}/edaphos-jobs/my run-")
    lines = script.splitlines()
    assert "export PYTHONPATH=" in script
    assert "/my models" in script
    assert lines.index("module load x") < lines.index(f"cd {tmp_path} || exit 1")
    assert lines[-1].startswith("exec ")
    for part in (f"run '{country.recipe}'", f"--out '{tmp_path}/my run'", "--cluster slurm"):
        assert part in lines[-1]
    assert lines[-1].endswith("--workers 3")
    assert not (tmp_path / "my run").exists()


def test_a_region_goes_along_and_a_wrong_one_is_told_before_the_job_does(tmp_path) -> None:
    country = make_country(tmp_path / "c")
    words = ["submit", str(country.recipe), "--out", str(tmp_path / "run"), "--dry-run"]
    asked = ["--region", "-5,45,11,48", "--years", "2000,2005-2007"]
    done = CliRunner().invoke(app, [*words, *asked])
    assert done.exit_code == 0, done.output
    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[-4:] == asked
    for wrong in (("--region", "5,45"), ("--years", "soon")):
        done = CliRunner().invoke(app, [*words, *wrong])
        assert done.exit_code == 2
        assert f'{wrong[0]} "{wrong[1]}": expected' in done.output


def test_one_job_for_all_asks_for_every_node_and_gpu(tmp_path) -> None:
    slurm = SlurmSpec(cores=8, gpus=2, memory="10GiB", nested=False)
    spec = ClusterSpec("slurm", 5, slurm=slurm)
    told = directives(job_script(spec, ClientTable(), tmp_path, "x", ["run"]))
    assert {"--nodes=3", "--ntasks=3", "--cpus-per-task=8"} <= set(told)
    assert {"--gres=gpu:2", "--mem=10240M"} <= set(told)


def test_gpus_asked_for_in_a_sites_own_way_are_asked_for_once(tmp_path) -> None:
    slurm = SlurmSpec(gpus=2, nested=False, directives=("--gpus-per-node=a100:2",))
    script = job_script(ClusterSpec("slurm", slurm=slurm), ClientTable(), tmp_path, "x", ["run"])
    asked = [line for line in directives(script) if line.startswith(("--gpu", "--gres"))]
    assert asked == ["--gpus-per-node=a100:2"]


def test_a_bucket_is_no_place_for_a_script(s3_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = place(f"{s3_folder}/world")
    told = directives(job_script(ClusterSpec("slurm"), ClientTable(), out, "x", ["run"]))
    (output,) = [one for one in told if one.startswith("--output")]
    assert output.startswith(f"--output={tmp_path}/edaphos-jobs/world-")


def test_a_lead_as_long_as_the_job_is_refused(tmp_path) -> None:
    spec = ClusterSpec("slurm", slurm=SlurmSpec(walltime="5"))
    with pytest.raises(InputError, match=r"client.lead is 300 s, no less than the walltime 5"):
        job_script(spec, ClientTable(), tmp_path, "x", ["run"])


def test_wrong_fields_are_named(tmp_path) -> None:
    country = make_country(tmp_path)
    more = 'walltime = "a day"\ndirectives = ["constraint=x"]\nprologue = ["a\\nb"]'
    table = CLUSTER.format(logs="logs", more=more).replace('walltime = "00:10:00"\n', "")
    country.recipe.write_text(country.recipe.read_text() + table)
    result = CliRunner().invoke(app, ["submit", str(country.recipe), "--dry-run"])
    assert result.exit_code == 2
    for field in ("walltime: ", "directives.0: ", "prologue.0: "):
        assert f"cluster.slurm.{field}" in result.stderr


def test_no_slurm_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="`sbatch` is not on this machine"):
        submit(tmp_path, "")
    assert not list(tmp_path.iterdir())


# -- signals -------------------------------------------------------------------------------------


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """Stand-ins for Slurm's programs that note their arguments, and fail where told to."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def program(name: str, answer: str = "", code: int = 0) -> None:
        file = folder / name
        words = f'echo {name} "$@" >> {tmp_path}/calls\necho "{answer}"\necho no >&2\nexit {code}\n'
        file.write_text(f"#!/bin/sh\n{words}")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("edaphos.recipes.submit.END_WITHIN", 0.2)  # nobody ends this process
    program("scontrol")
    program("sbatch", "88")
    return program


@pytest.fixture
def environ(tmp_path) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "77",
        "EDAPHOS_SIGNAL_LEAD": "60",
        "EDAPHOS_JOB_SCRIPT": str(tmp_path / "job.sh"),
        "EDAPHOS_JOB_RECORD": str(tmp_path / "job.json"),
    }


def calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_a_job_that_may_not_come_back_is_submitted_anew(tmp_path, pretended, environ) -> None:
    pretended("scontrol", code=1)
    assert requeue_self(environ).startswith("job 88 is submitted in place of 77")
    assert json.loads((tmp_path / "job.json").read_text())["job"] == "88"
    pretended("sbatch", code=1)
    with pytest.raises(RunError, match=r"job 77 could not be queued again \(no\), nor"):
        requeue_self(environ)


def run_signalled(environ: dict[str, str], *numbers: int, wait: float = 0.0) -> None:
    """Run in a job that gets signals; as a run does, ask between tiles."""
    said: list[str] = []
    with batch_job(said.append, environ) as signals:
        assert signals.stop_reason() is None
        for number in numbers:
            os.kill(os.getpid(), number)
        until = time.monotonic() + wait
        while not said and time.monotonic() < until:
            time.sleep(0.05)
        reason = signals.stop_reason()
        try:
            raise Stopped(reason)
        finally:
            environ["said"] = "|".join(said)


def test_a_job_out_of_time_comes_back(tmp_path, pretended, environ) -> None:
    with pytest.raises(Stopped, match="SIGUSR1"):
        run_signalled(environ, signal.SIGUSR1)
    assert calls(tmp_path) == ["scontrol requeue 77"]


def test_a_job_that_is_ended_stays_away(tmp_path, pretended, environ) -> None:
    with pytest.raises(Stopped, match="SIGTERM"):
        run_signalled(environ, signal.SIGUSR1, signal.SIGTERM)
    assert calls(tmp_path) == []


def test_a_run_that_ends_in_time_does_not_come_back(tmp_path, pretended, environ) -> None:
    with batch_job(print, environ):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert calls(tmp_path) == []


def test_a_run_that_does_not_stop_in_time_comes_back_all_the_same(
    tmp_path, pretended, environ
) -> None:
    environ["EDAPHOS_SIGNAL_LEAD"] = "30"  # and so a second until it is late
    with pytest.raises(Stopped):
        run_signalled(environ, signal.SIGUSR1, wait=20)
    assert environ["said"] == "not all tiles ended in time; job 77 is queued again"
    assert calls(tmp_path) == ["scontrol requeue 77"]


def test_outside_of_a_job_nothing_comes_back(tmp_path, pretended) -> None:
    with pytest.raises(Stopped, match="SIGUSR1"):
        run_signalled({}, signal.SIGUSR1)
    assert calls(tmp_path) == []


def ended(*, asked: bool) -> None:
    with stop_signals() as signals:
        if asked:
            signals.stop_reason()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked
        assert "SIGTERM" in str(signals.stop_reason())
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the second SIGTERM was not heeded")


@pytest.mark.parametrize("asked", [True, False])
def test_sigterm_ends_what_nobody_would_stop(asked) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        ended(asked=asked)
    assert signal.getsignal(signal.SIGTERM) is before


# -- real jobs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def country(tmp_path_factory) -> Country:
    return make_country(tmp_path_factory.mktemp("submitted"), tile_size=32)


@pytest.fixture(scope="module")
def undisturbed(country: Country) -> dict[str, str]:
    edaphos("run", country.recipe, "--out", country.folder / "here", "--workers", 1, "--quiet")
    return objects(country.folder / "here")


def wait_for(slurm, job: str, out: Path, states: tuple[str, ...] = ("COMPLETED",)) -> None:
    until = time.monotonic() + SECONDS
    while (state := slurm.state(job)) not in states:
        logs = "".join(file.read_text() for file in out.parent.rglob(f"job-{job}.log"))
        assert state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"), (state, logs)
        assert time.monotonic() < until, (state, logs)
        time.sleep(0.1)


@pytest.mark.parametrize("nested", [True, False])
def test_a_submitted_run_makes_the_same_map(
    slurm, country, undisturbed, tmp_path, monkeypatch, nested
) -> None:
    if nested:
        pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    recipe = country.recipe.with_name(f"nested-{nested}.toml")
    more = f"nested = {str(nested).lower()}"
    recipe.write_text(
        country.recipe.read_text() + CLUSTER.format(logs=tmp_path / "logs", more=more)
    )
    out = tmp_path / "run"
    told = edaphos("submit", recipe, "--out", out)
    job = job_of(out)
    assert job is not None
    assert f"job {job} makes {out}" in told
    assert f"edaphos stop {out}" in told
    with pytest.raises(InputError, match=f"job {job} already makes this run"):
        submit(out, "")
    wait_for(slurm, job, out)
    assert objects(out) == undisturbed
    assert verify_map(Run.open(out)) == []


def test_a_signalled_run_drains_comes_back_and_ends(slurm, tmp_path, monkeypatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    country = make_country(tmp_path / "slow", trees=40, resolution=0.02, tile_size=128)
    table = CLUSTER.format(logs=tmp_path / "logs", more="")
    country.recipe.write_text(country.recipe.read_text() + table)
    out = tmp_path / "run"
    edaphos("submit", country.recipe, "--out", out)
    job = job_of(out)
    assert job is not None
    ledger = Ledger(out)
    until = time.monotonic() + SECONDS
    while len(ledger.finished()) < 2:
        assert time.monotonic() < until, slurm.state(job)
        time.sleep(0.05)
    slurm.call("scancel", "--signal=USR1", "--batch", job)
    wait_for(slurm, job, out, ("PENDING",))
    kept = len(ledger.finished())
    assert 2 <= kept < TILES
    assert ledger.failures() == {}, "a tile was cut off"
    assert slurm.call("squeue", "--noheader", "--format=%A") == job, "workers are left"
    # Slurm lets a job that comes back wait for two minutes
    slurm.call("scontrol", "update", f"jobid={job}", "StartTime=now")
    wait_for(slurm, job, out)
    (log,) = tmp_path.rglob(f"job-{job}.log")
    assert f"job {job} is queued again" in log.read_text()
    assert Run.open(out).manifest()["provenance"]["production"]["skipped"] == kept
    assert len(ledger.finished()) == TILES
    assert verify_map(Run.open(out)) == []
