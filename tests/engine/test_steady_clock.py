"""Dask under a wall clock that is set: what stops without a steady clock, and goes on with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from edaphos.engine.cluster import ClusterSpec, connect
from edaphos.engine.cluster_slurm import job_settings
from edaphos.engine.cluster_srun import step_command
from edaphos.engine.steady_clock import steady_time

#: A process whose wall clock can be set, told by its argument whether to go by a steady one.
SCRIPT = """
import asyncio, json, sys, time

true_time, ahead = time.time, 0.0
time.time = lambda: true_time() + ahead
DAY = 86400.0

from distributed import Client, Scheduler, Worker
from distributed.batched import BatchedSend
from distributed.comm import connect, listen
from tornado.ioloop import IOLoop, PeriodicCallback

if sys.argv[1] == "steady":
    from edaphos.engine.steady_clock import go_by_steady_time
    go_by_steady_time()


async def within(seconds, awaited):
    # by asyncio's own clock, which is monotonic
    try:
        return await asyncio.wait_for(awaited, seconds)
    except asyncio.TimeoutError:
        return None


async def message():
    # whether a message arrives that waited to be sent as the clock was set back
    global ahead
    arrived = asyncio.Queue()

    async def handle(comm):
        for _ in range(2):
            await arrived.put(await comm.read())

    async with listen("inproc://", handle) as listener:
        comm = await connect(listener.contact_address)
        batched = BatchedSend(interval="200ms", loop=IOLoop.current())
        batched.start(comm)
        batched.send("first")
        await arrived.get()
        batched.send("second")
        ahead -= DAY
        found = await within(2, arrived.get())
        batched.abort()
        return found == ["second"]


async def periodic():
    # whether what is done periodically goes on after the clock was set back
    global ahead
    calls = []
    callback = PeriodicCallback(lambda: calls.append(1), 50)
    callback.start()
    await asyncio.sleep(0.2)
    ahead -= DAY
    await asyncio.sleep(0.2)
    before = len(calls)
    await asyncio.sleep(0.5)
    callback.stop()
    return len(calls) > before


async def worker():
    # whether a worker is kept as the clock is set ahead
    global ahead
    options = {"dashboard_address": None, "protocol": "inproc"}
    async with Scheduler(**options) as scheduler, Worker(scheduler.address, nthreads=1):
        ahead += DAY
        await scheduler.check_worker_ttl()
        return len(scheduler.workers) == 1


async def main():
    print(json.dumps({f.__name__: await f() for f in (message, periodic, worker)}))


asyncio.run(main())
"""


@pytest.mark.parametrize(("clock", "goes_on"), [("wall", False), ("steady", True)])
def test_dask_goes_on_where_its_clock_is_steady(clock: str, goes_on: bool) -> None:
    """If the first of the two fails, Dask has mended it and the steady clock may go."""
    command = [sys.executable, "-c", SCRIPT, clock]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(told.stdout) == dict.fromkeys(("message", "periodic", "worker"), goes_on)


def test_the_steady_time_is_the_wall_clocks_while_nobody_sets_it() -> None:
    assert steady_time() == pytest.approx(time.time(), abs=0.5)
    before = steady_time()
    time.sleep(0.1)
    assert 0.1 <= steady_time() - before < 2


def test_all_processes_of_a_run_go_by_the_steady_clock() -> None:
    def clocks() -> set[str]:
        import distributed.batched
        import distributed.scheduler
        import distributed.stealing
        import distributed.worker
        from tornado.ioloop import IOLoop

        names = ("batched", "scheduler", "stealing", "worker")
        found = {vars(vars(distributed)[name])["time"].__name__ for name in names}
        return {*found, IOLoop.time.__name__}

    with connect(ClusterSpec(workers=1)) as client:
        found = [clocks(), client.run_on_scheduler(clocks), *client.run(clocks).values()]
    assert found == [{"steady_time", "_loop_time"}] * 3


def test_workers_of_slurm_are_told_to_go_by_it(monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    spec = ClusterSpec("slurm")
    step = step_command(spec, "tcp://here:1", {"SLURM_JOB_NUM_NODES": "1"})
    for words in (job_settings(spec)["worker_extra_args"], step):
        text = " ".join(words)
        assert "--preload edaphos.engine.steady_clock" in text
        assert "--preload-nanny edaphos.engine.steady_clock" in text
