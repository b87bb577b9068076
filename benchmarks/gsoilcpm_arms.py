"""Arms of the benchmark of one model of the world: what each learns from, and what it says."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, flock
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.splits import inner_split
from edaphos.engine.branches.fitting import lay_ground, with_numbers
from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.branches.model_file import load_model, net_name
from edaphos.engine.branches.training import Task as Training
from edaphos.engine.branches.training import run_tasks
from edaphos.engine.branches.unlabelled import unlabelled_folder
from edaphos.engine.conv.learning_rows import LEARN, STOP, learning_rows
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples

from .gsoilcpm_data import groups_of
from .kept_tables import arm_of

Told = Mapping[str, Any]
Floats = NDArray[np.float64]

#: The column of what the model of the world says.
WORLD = "world_said"


@dataclass(frozen=True)
class Ground:
    """What the arms of a region share in one split.

    Parameters
    ----------
    plan
        As the TOML has it.
    world
        Rows outside the region and its buffer.
    model
        Folder of the model of the world, which learned from them.
    train, test
        Rows of the region.
    depths
        Learned, cm.
    seed
        Of all that is random.
    """

    plan: Told
    world: Samples
    model: Path
    train: Samples
    test: Samples
    depths: tuple[tuple[float, float], ...]
    seed: int


@dataclass(frozen=True)
class Said:
    """What an arm says of the test rows, g/kg, and the settings that it chose."""

    values: Floats
    settings: Told


def parts_of(arm: Told) -> tuple[str, ...]:
    """Return the arms that an arm is made of, by name."""
    released = arm.get("released")
    return (*arm.get("stack", ()), *arm.get("mean_of", ()), *((released,) if released else ()))


def say(ground: Ground, arm: Told, known: Mapping[str, Said]) -> Said:
    """Return what an arm says of the test rows.

    What other arms said of the same rows is taken from `known`, by name, where a stack needs it.
    """
    if "stack" in arm:
        return _stacked(ground, arm, known)
    if arm.get("released"):
        return _released(ground, arm, known)
    settings = _chosen(ground, arm)
    return Said(_fit(ground, arm, settings), settings)


def _chosen(ground: Ground, arm: Told) -> Told:
    """Return the settings with the least MAE over a fifth of the training blocks."""
    tuned = arm.get("tuned", [{}])
    if len(tuned) == 1:
        return dict(tuned[0])
    split = inner_split(
        ground.train, folds=5, seed=ground.seed, block_deg=ground.plan["inner_block_deg"]
    )
    inner = _inner(ground, split.held_out(0), ground.plan["forest_tuning"]["trees"])
    errors = [np.abs(_fit(inner, arm, told) - inner.test.y).mean() for told in tuned]
    return dict(tuned[int(np.argmin(errors))])


def _fit(ground: Ground, arm: Told, told: Told) -> Floats:
    name = arm["name"]
    if name.startswith("forest"):
        train, test = ground.train, ground.test
        settings = {**ground.plan["forest"], **{k: v for k, v in told.items() if k != "weight"}}
        names = tuple(c for group in groups_of(ground.plan) for c in group.covariates)
        if "world +" in name:
            train = _both(ground.world, train, float(told["weight"]))
        if "covariate" in name:
            model = GsoilcpmModel.load(ground.model)
            train, test = (_with_world(some, model) for some in (train, test))
            names = (*names, WORLD)
        forest = ForestModel(
            names, **settings, quantiles=(), depths=ground.depths, seed=ground.seed
        )
        return forest.fit(train).predict_rows(test)["soc_mean"]
    return _net(ground, arm, told).predict_rows(ground.test)["soc_mean"]


def _net(ground: Ground, arm: Told, told: Told) -> GsoilcpmModel:
    """Return a net fitted to the region; what its trainings leave is removed."""
    settings = world_settings(ground.plan)
    if arm["name"] == "net from scratch":
        inner = ground.plan["inner_block_deg"]
        settings |= {"parts": 5, "part_deg": inner, "unlabelled": {}}
        settings["training"] = {**settings["training"], **ground.plan["fine_tuning"], **told}
    else:
        tuning = {"ways": tuple(arm["ways"]), "trust_units": True, **told}
        tuning |= {**ground.plan["fine_tuning"], "part_deg": ground.plan["inner_block_deg"]}
        tuning["correction"] = arm.get("correction", "none")
        settings = {"start": str(ground.model), "fine_tuning": tuning}
        settings["training"] = world_settings(ground.plan)["training"]
    with tempfile.TemporaryDirectory(prefix="edaphos-gsoilcpm-") as folder:
        train = linked(ground.train, Path(folder) / "set")
        model = GsoilcpmModel(settings, quantiles=(), depths=ground.depths, seed=ground.seed)
        return model.fit(train)


def world_settings(plan: Told) -> dict[str, Any]:
    """Return the settings of the model of the world."""
    return {**plan["world"], "groups": groups_of(plan)}


def linked(samples: Samples, folder: Path) -> Samples:
    """Return samples whose set is a link, so that trainings leave what they do beside the link."""
    assert samples.patches is not None  # they were drawn with a set
    folder.symlink_to(samples.patches)
    unlabelled_folder(folder).symlink_to(unlabelled_folder(samples.patches))
    return replace(samples, patches=folder)


def _both(world: Samples, region: Samples, weight: float) -> Samples:
    """Return rows of the world and of the region, these weighing more."""
    heavier = region.table.assign(weight=weight * region.table["weight"])
    return replace(world, table=pd.concat([world.table, heavier], ignore_index=True))


def _with_world(samples: Samples, model: GsoilcpmModel) -> Samples:
    said = model.predict_rows(samples)["soc_mean"].astype(np.float32)
    table = samples.table.assign(**{WORLD: said})
    return replace(samples, table=table, features=(*samples.features, WORLD))


def _stacked(ground: Ground, arm: Told, known: Mapping[str, Said]) -> Said:
    """Return the weighted mean of arms, with the weights of least absolute error in inner folds.

    Weights are tenths. Forests of inner folds have fewer trees (``stack_trees``).
    """
    parts = [arm_of(ground.plan, name) for name in arm["stack"]]
    whole = [known.get(part["name"]) or say(ground, part, known) for part in parts]
    folds = ground.plan["stack_folds"]
    split = inner_split(
        ground.train, folds=folds, seed=ground.seed + 1, block_deg=ground.plan["inner_block_deg"]
    )
    said = np.empty((len(ground.train), len(parts)))
    for fold in range(folds):
        out = split.held_out(fold)
        inner = _inner(ground, out, ground.plan["stack_trees"])
        for k, (part, one) in enumerate(zip(parts, whole, strict=True)):
            said[out, k] = _fit(inner, part, one.settings)
    tried = [np.array(w) / 10 for w in product(range(11), repeat=len(parts)) if sum(w) == 10]
    weights = min(tried, key=lambda w: float(np.abs(said @ w - ground.train.y).mean()))
    values = np.stack([one.values for one in whole], axis=1) @ weights
    return Said(values, dict(zip(arm["stack"], weights.tolist(), strict=True)))


def _inner(ground: Ground, out: NDArray[np.bool_], trees: int) -> Ground:
    """Return what arms share where some of the training rows are held out."""
    plan = {**ground.plan, "forest": {**ground.plan["forest"], "trees": trees}}
    train, test = ground.train.take(~out), ground.train.take(out)
    return replace(ground, plan=plan, train=train, test=test)


def _released(ground: Ground, arm: Told, known: Mapping[str, Said]) -> Said:
    """Return what another arm says after the epoch that is best on the test rows themselves.

    All else is as in that arm, its learning rate, too, but that no part of the training rows is
    held back to stop or to calibrate: as in the released code, all of them are learned from.
    """
    start, _ = load_model(ground.model)
    same = arm_of(ground.plan, arm["released"])
    other = known.get(same["name"])
    chosen = _chosen(ground, same) if other is None else other.settings
    settings = {
        "start": str(ground.model),
        "training": world_settings(ground.plan)["training"],
        "fine_tuning": {**ground.plan["fine_tuning"], **chosen},
    }
    model = GsoilcpmModel(settings, quantiles=(), depths=ground.depths)
    table = pd.concat([ground.train.table, ground.test.table], ignore_index=True)
    both = replace(ground.train, table=table)
    deg = ground.plan["inner_block_deg"]  # parts are told anew below
    rows = learning_rows(both, ground.depths, log1p=True, parts=3, part_deg=deg, seed=ground.seed)
    tests = np.arange(len(both)) >= len(ground.train)
    rows = with_numbers(replace(rows, part=np.where(tests, STOP, LEARN)), both, model.told)
    nets = start.nets
    with tempfile.TemporaryDirectory(prefix="edaphos-gsoilcpm-") as folder:
        held = linked(both, Path(folder) / "set").patches
        assert held is not None  # just made
        laid = lay_ground(
            held, rows, nets.channels, model.told, (), nets.centre, nets.spread, absent=(), of=()
        )
        spec = replace(model.told.tuned, seed=ground.seed, patience=model.told.tuned.epochs)
        task = Training(
            laid, spec, "released", ground.seed, start=ground.model / net_name(0), way="all"
        )
        (trained,) = run_tasks([task])
        tuned = replace(nets, nets=(trained.net,))
        said = tuned.of_rows(GroupSet.open(held), rows.patch, rows.extra)
    centre = tuned.together(said).centre
    smear = np.exp(rows.target - centre)[~tests].mean()  # as other arms have it, by training rows
    return Said(np.maximum(smear * np.exp(centre[tests]) - 1, 0.0), chosen)


def pretrained(plan: Told, world: Samples, folder: Path, depths: Any, seed: int) -> Path:
    """Return the folder of a model of the world, learned by one process if it is not there."""
    with folder.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (folder / "model.json").exists():
            with tempfile.TemporaryDirectory(prefix="edaphos-", dir=folder.parent) as partial:
                samples = linked(world, Path(partial) / "set")
                model = GsoilcpmModel(world_settings(plan), quantiles=(), depths=depths, seed=seed)
                model.fit(samples).save(Path(partial) / "model")
                (Path(partial) / "model").rename(folder)
    return folder


def key_of(*parts: Any) -> str:
    """Return JSON that is the same for the same parts."""
    return json.dumps(parts, sort_keys=True)
