"""Arms of the benchmark of one model of the world: what each learns from, and what it says."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edaphos.engine.assess.splits import inner_split
from edaphos.engine.branches.cross_fit import without
from edaphos.engine.branches.fitting import lay_ground, member_seeds, with_numbers
from edaphos.engine.branches.group_set import GroupSet
from edaphos.engine.branches.kept_places import KEPT, KeptPlaces
from edaphos.engine.branches.kept_rows import KEPT_ROWS, KeptRows
from edaphos.engine.branches.model_file import load_model, net_name
from edaphos.engine.branches.settings import GsoilcpmSettings, settings_from
from edaphos.engine.branches.training import Task as Training
from edaphos.engine.branches.training import run_tasks
from edaphos.engine.branches.tuning import region_rows
from edaphos.engine.branches.unlabelled import unlabelled_folder
from edaphos.engine.conv.learning_rows import LEARN, STOP, LearningRows, learning_rows
from edaphos.engine.models.forest import ForestModel
from edaphos.engine.models.gsoilcpm import GsoilcpmModel
from edaphos.engine.samples import Samples

from .gsoilcpm_data import groups_of
from .kept_tables import arm_of

Told = Mapping[str, Any]
Floats = NDArray[np.float64]

#: The column of what the model of the world says.
WORLD = "world_said"
MEDIAN = "median"
#: Part of rows that do nothing.
NOTHING = 3


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
    settings
        Of the region's models beside their start: groups of its own, cells between those of a
        window.
    """

    plan: Told
    world: Samples
    model: Path
    train: Samples
    test: Samples
    depths: tuple[tuple[float, float], ...]
    seed: int
    settings: Told = field(default_factory=dict)

    @property
    def own(self) -> tuple[str, ...]:
        """Covariates of the region's own."""
        return tuple(name for group in self.settings.get("own", ()) for name in group["covariates"])


@dataclass(frozen=True)
class Said:
    """What an arm says of the test rows, g/kg, and the settings that it chose.

    `more` is what else the same fit says, by name.
    """

    values: Floats
    settings: Told
    more: Mapping[str, Floats] = field(default_factory=dict)


def parts_of(arm: Told) -> tuple[str, ...]:
    """Return the arms that an arm is made of, by name."""
    released = arm.get("released")
    of = arm.get("said_by")
    return (*arm.get("mean_of", ()), *(one for one in (released, of) if one))


def say(ground: Ground, arm: Told) -> Said:
    """Return what an arm says of the test rows."""
    if arm.get("released"):
        return _released(ground, arm)
    settings = _chosen(ground, arm)
    if "ways" in arm:
        return _region(ground, arm, settings)
    said = _fit(ground, arm, settings)
    more = {MEDIAN: said["soc_q50"]} if "soc_q50" in said else {}
    return Said(said["soc_mean"], settings, more)


def _region(ground: Ground, arm: Told, told: Told) -> Said:
    """Return what a region's model says, and what its nets and each of its forests say alone."""
    model = _net(ground, arm, told)
    said = model.predict_rows(ground.test)
    more = {MEDIAN: said["soc_q50"]}
    settings: dict[str, Any] = {**told, "ways": [asdict(way) for way in model.fitted.ways]}
    beside = model.forests
    if beside is not None:
        settings["weights"] = dict(beside.weights)
        for name, one in beside.apart(ground.test, model.of_nets(ground.test)).items():
            more |= {f"{name}, mean": one["soc_mean"], f"{name}, {MEDIAN}": one["soc_q50"]}
    return Said(said["soc_mean"], settings, more)


def _chosen(ground: Ground, arm: Told) -> Told:
    """Return the settings with the least MAE over a fifth of the training blocks."""
    tuned = arm.get("tuned", [{}])
    if len(tuned) == 1:
        return dict(tuned[0])
    split = inner_split(
        ground.train, folds=5, seed=ground.seed, block_deg=ground.plan["inner_block_deg"]
    )
    inner = _inner(ground, split.held_out(0), ground.plan["forest_tuning"]["trees"])
    errors = [np.abs(_fit(inner, arm, told)["soc_mean"] - inner.test.y).mean() for told in tuned]
    return dict(tuned[int(np.argmin(errors))])


def _fit(ground: Ground, arm: Told, told: Told) -> Mapping[str, Floats]:
    name = arm["name"]
    if name.startswith("forest"):
        train, test = ground.train, ground.test
        settings = {**ground.plan["forest"], **{k: v for k, v in told.items() if k != "weight"}}
        names = tuple(c for group in groups_of(ground.plan) for c in group.covariates)
        if "world +" in name:
            train = _both(ground.world, train, float(told["weight"]))
        else:
            names = (*names, *ground.own)
        if "covariate" in name:
            model = GsoilcpmModel.load(ground.model)
            train, test = (_with_world(some, model) for some in (train, test))
            names = (*names, WORLD)
        forest = ForestModel(
            names, **settings, quantiles=(0.5,), depths=ground.depths, seed=ground.seed
        )
        return forest.fit(train).predict_rows(test)
    return _net(ground, arm, told).predict_rows(ground.test)


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
        tuning["forests"] = arm.get("forests", 0)
        tuning |= arm.get("fine_tuning", {})
        settings = {"start": str(ground.model), "fine_tuning": tuning, **ground.settings}
        settings["training"] = world_settings(ground.plan)["training"]
    with tempfile.TemporaryDirectory(prefix="edaphos-gsoilcpm-") as folder:
        train = linked(ground.train, Path(folder) / "set")
        quantiles = (0.5,) if "ways" in arm else ()
        model = GsoilcpmModel(settings, quantiles, depths=ground.depths, seed=ground.seed)
        return model.fit(train)


def world_settings(plan: Told) -> dict[str, Any]:
    """Return the settings of the model of the world."""
    return {**plan["world"], "groups": groups_of(plan)}


def linked(samples: Samples, folder: Path) -> Samples:
    """Return samples whose set is a link, so that trainings leave what they do beside the link."""
    assert samples.patches is not None  # they were drawn with a set
    folder.symlink_to(samples.patches)
    if unlabelled_folder(samples.patches).exists():
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


def _inner(ground: Ground, out: NDArray[np.bool_], trees: int) -> Ground:
    """Return what arms share where some of the training rows are held out."""
    plan = {**ground.plan, "forest": {**ground.plan["forest"], "trees": trees}}
    train, test = ground.train.take(~out), ground.train.take(out)
    return replace(ground, plan=plan, train=train, test=test)


def _released(ground: Ground, arm: Told) -> Said:
    """Return what another arm says if each of its nets is stopped by the test rows themselves.

    As in the released code. All else is as in that arm: the same nets learn from the same rows;
    what another part of the training rows decided, the test rows decide now.
    """
    start, _ = load_model(ground.model)
    same = arm_of(ground.plan, arm["released"])
    settings = {
        "start": str(ground.model),
        "training": world_settings(ground.plan)["training"],
        "fine_tuning": {
            **ground.plan["fine_tuning"],
            **_chosen(ground, same),
            "part_deg": ground.plan["inner_block_deg"],
        },
    }
    told = GsoilcpmModel(settings, quantiles=(), depths=ground.depths).told
    rows, part, _ = region_rows(ground.train, told, ground.depths, ground.seed)
    table = pd.concat([ground.train.table, ground.test.table], ignore_index=True)
    both = replace(ground.train, table=table)
    all_rows = _of_both(both, told, ground)
    tests, parts = np.arange(len(both)) >= len(ground.train), told.fine_tuning.parts
    nets, seeds = start.nets, member_seeds(ground.seed, parts)
    low, high = min(nets.low, rows.target.min()), max(nets.high, rows.target.max())
    nets = replace(nets, low=float(low), high=float(high))
    held_out, found = np.empty(len(ground.train)), []
    with tempfile.TemporaryDirectory(prefix="edaphos-gsoilcpm-") as folder:
        held = linked(both, Path(folder) / "set").patches
        assert held is not None  # just made
        for out in range(parts):
            role = np.full(len(both), NOTHING)
            role[: len(ground.train)] = np.where(
                without(rows, part, out, parts).part == LEARN, LEARN, NOTHING
            )
            role[tests] = STOP
            laid = lay_ground(
                held,
                replace(all_rows, part=role),
                nets.channels,
                told,
                (),
                nets.centre,
                nets.spread,
                absent=(),
                of=(),
            )
            spec = replace(told.tuned, seed=seeds[out])
            task = Training(
                laid, spec, "released", seeds[out], start=ground.model / net_name(0), way="all"
            )
            (trained,) = run_tasks([task])
            mine = replace(nets, nets=(trained.net,))
            said = mine.together(
                mine.of_rows(GroupSet.open(held), all_rows.patch, all_rows.extra)
            ).centre
            held_out[part == out] = said[: len(ground.train)][part == out]
            found.append(said[tests])
    centre = np.mean(found, axis=0)
    smear = np.average(np.exp(rows.target - held_out), weights=rows.weight)
    return Said(np.maximum(smear * np.exp(centre) - 1, 0.0), {})


def _of_both(both: Samples, told: GsoilcpmSettings, ground: Ground) -> LearningRows:
    """Return training rows and, after them, test rows; their parts are told elsewhere."""
    deg = ground.plan["inner_block_deg"]
    rows = learning_rows(
        both, ground.depths, log1p=True, parts=told.fine_tuning.parts, part_deg=deg, seed=0
    )
    return with_numbers(rows, both, told)


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
        if not (folder / KEPT_ROWS).exists():
            KeptRows.draw(world, plan["kept_rows"], seed).save(folder / KEPT_ROWS)
        if not (folder / KEPT).exists():
            _places(plan, world, folder, depths, seed).save(folder / KEPT)
    return folder


def _places(plan: Told, world: Samples, folder: Path, depths: Any, seed: int) -> KeptPlaces:
    """Return places whose covariates go with a model of the world."""
    told = settings_from(world_settings(plan))
    rows = learning_rows(
        world, depths, log1p=True, parts=told.parts, part_deg=told.part_deg, seed=seed
    )
    assert world.patches is not None  # they were drawn with a set
    held, channels = GroupSet.open(world.patches), load_model(folder)[0].nets.channels
    rows = with_numbers(rows, world, told)
    return KeptPlaces.draw(held, channels, rows, plan["kept_places"], seed)


def key_of(*parts: Any) -> str:
    """Return JSON that is the same for the same parts."""
    return json.dumps(parts, sort_keys=True)
