"""The patches around samples, for models that learn from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from distributed import Client

from edaphos.engine.branches.group_set import GroupSet, draw_set
from edaphos.engine.branches.unlabelled import draw_unlabelled, unlabelled_folder
from edaphos.engine.conv.patches import PatchStore, extract
from edaphos.engine.cube.cube import Cube
from edaphos.engine.errors import InputError
from edaphos.engine.models.protocol import learns_from, patch_size_of
from edaphos.engine.place import Place
from edaphos.engine.progress import QUIET, Reporter
from edaphos.engine.run import Run
from edaphos.engine.samples import Samples
from edaphos.engine.scratch import COPY, hold, scratch_folder
from edaphos.engine.whole_folder import is_whole

from .job import Job, compared_models, year_policy

PATCHES = "patches"


def learns_from_patches(job: Job) -> bool:
    """Whether the model, or one it is compared with, learns from patches."""
    return any(patch_size_of(model) for model in _models(job))


def with_patches(
    job: Job,
    cube: Cube,
    samples: Samples,
    run: Run,
    reporter: Reporter = QUIET,
    client: Client | None = None,
) -> Samples:
    """Return the samples with their patches: as large as any model wants, of all they learn from.

    They are cut once and lie in the run's folder, or on this machine where that is in a bucket;
    nothing is cut if all models have learned already.
    """
    models = [m for m in _models(job) if patch_size_of(m)]
    assessed = not job.recipe.assess.enabled or is_whole(run.path / "assessment")
    if not models or (assessed and is_whole(run.model_folder)):
        return samples
    folder = patches_folder(run.path)
    cut = cut_patches(job, cube, samples, folder, reporter, client)
    if _windows(models):
        _draw_unlabelled(job, cube, models, folder, run, reporter, client)
        held = GroupSet.open(folder)
        windows = {str(size): len(one.planes) for size, one in held.stores.items()}
        run.note(patches={"places": len(held), "bytes": held.nbytes, "digest": held.digest})
        reporter.say(
            f"{len(held):,} places around {len(samples):,} samples; planes in squares of "
            + ", ".join(f"{size} x {size}: {count}" for size, count in windows.items())
        )
        return cut
    store = PatchStore.open(folder)
    told = {"patches": len(store), "size": store.size, "bytes": store.values.nbytes}
    run.note(patches={**told, "planes": len(store.planes), "digest": store.digest})
    reporter.say(
        f"{len(store):,} patches of {store.size} x {store.size} cells and {len(store.planes)} "
        f"planes around {len(samples):,} samples"
    )
    return cut


def cut_patches(
    job: Job,
    cube: Cube,
    samples: Samples,
    folder: Path,
    reporter: Reporter = QUIET,
    client: Client | None = None,
) -> Samples:
    """Return the samples with their patches in `folder`; as they are if no model wants any.

    Models whose groups of covariates have windows of their own get a set instead, which is cut by
    the tasks of `client`.
    """
    table, models = job.recipe.profiles, [m for m in _models(job) if patch_size_of(m)]
    if not models or table is None:
        return samples
    windows = _windows(models)
    if windows:
        return draw_set(
            samples,
            cube,
            job.grid,
            windows,
            folder,
            years=year_policy(table),
            client=client,
            stride=_stride(models),
            reporter=reporter,
        )
    size = max(patch_size_of(model) for model in models)
    variables = tuple(dict.fromkeys(name for model in models for name in learns_from(model)))
    years = year_policy(table)
    return extract(samples, cube, job.grid, variables, size, folder, years=years, reporter=reporter)


def _draw_unlabelled(
    job: Job,
    cube: Cube,
    models: list[object],
    folder: Path,
    run: Run,
    reporter: Reporter,
    client: Client | None,
) -> None:
    """Draw places without samples beside the set, as many as any model learns from."""
    number = max(getattr(model, "unlabelled", 0) for model in models)
    if not number:
        return
    table = job.recipe.profiles
    assert table is not None  # there are samples
    found = draw_unlabelled(
        cube,
        job.grid,
        _windows(models),
        unlabelled_folder(folder),
        number,
        seed=job.recipe.seed,
        years=job.recipe.years,
        classes=getattr(job.model.build(), "biome", None),
        policy=year_policy(table),
        client=client,
        stride=_stride(models),
        reporter=reporter,
    )
    told = {"places": len(found.lon), "bytes": found.held.nbytes, "digest": found.held.digest}
    run.note(unlabelled=told)
    reporter.say(f"{len(found.lon):,} places without samples, drawn evenly over the map's soil")


def _windows(models: list[object]) -> dict[int, tuple[str, ...]]:
    """Return the variables of each window that models want; empty if they want one square for all.

    Raises
    ------
    InputError
        Some want the one, some the other.
    """
    wanted = [getattr(model, "windows", None) for model in models]
    if not any(wanted):
        return {}
    found: dict[int, tuple[str, ...]] = {}
    for one in wanted:
        if one is None:
            raise InputError(
                'assess.compare: models of kind "conv" and "gsoilcpm" cut other squares around the '
                "samples, and one run holds squares of one kind: compare them in runs of their own"
            )
        for size, names in one.items():
            found[size] = tuple(dict.fromkeys((*found.get(size, ()), *names)))
    return found


def _stride(models: list[object]) -> int:
    """Return how many cells lie from one cell of a window to the next.

    Raises
    ------
    InputError
        Models differ in it.
    """
    found = {getattr(model, "stride", 1) for model in models}
    if len(found) > 1:
        raise InputError(
            f"assess.compare: models of one run need squares of one stride, found "
            f"{', '.join(map(str, sorted(found)))}: give all the same, or runs of their own"
        )
    return int(found.pop())


def _models(job: Job) -> list[object]:
    return [spec.build() for spec in (job.model, *compared_models(job.recipe).values())]


def patches_folder(run: Place) -> Path:
    """Return where a run's patches lie; those of a bucket's run go with the process."""
    if isinstance(run, Path):
        return run / PATCHES
    name = hashlib.sha256(f"{run} {PATCHES}".encode()).hexdigest()[:24]
    held = scratch_folder() / f"{COPY}{name}"
    hold(held)
    return held / PATCHES
