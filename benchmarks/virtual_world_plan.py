"""What the virtual world benchmark runs, read from its file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .virtual_world_make import Variant

FILE = Path(__file__).with_name("virtual_world.toml")

Form = Literal["full", "pilot", "small"]


@dataclass(frozen=True)
class ArmPlan:
    """One arm: `make` and `options` of ``make_arm``.

    Parameters
    ----------
    name
        In tables.
    make, options
        What is made.
    visited
        Whether it needs a site's own first stock, and is scored at the visited sites.
    few
        Whether it is run in the first few worlds only.
    variants
        Names of those it is run in; all if empty.
    """

    name: str
    make: str
    options: dict[str, Any] = field(default_factory=dict)
    visited: bool = False
    few: bool = False
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One world of one variant, and the arms to be run in it."""

    variant: Variant
    seed: int
    arms: tuple[ArmPlan, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that is run.

    Parameters
    ----------
    variants
        The worlds' kinds; `worlds` says which seeds each has.
    arms
        In the order of the tables.
    worlds
        Seeds of each variant, by its name.
    few
        Number of worlds of minor arms.
    learner, process
        Settings.
    test_sites
        Places predicted in each world.
    """

    variants: tuple[Variant, ...]
    arms: tuple[ArmPlan, ...]
    worlds: dict[str, tuple[int, ...]]
    few: int
    learner: dict[str, Any]
    process: dict[str, Any]
    test_sites: int

    def tasks(self) -> list[Task]:
        """Return all worlds, one seed of all variants after the other."""
        seeds = sorted({s for w in self.worlds.values() for s in w})
        return [
            Task(variant, seed, tuple(a for a in self.arms if seed in self.seeds(variant.name, a)))
            for seed in seeds
            for variant in self.variants
            if seed in self.worlds[variant.name]
        ]

    def seeds(self, variant: str, arm: ArmPlan) -> tuple[int, ...]:
        """Return the worlds of a variant in which an arm is run."""
        if arm.variants and variant not in arm.variants:
            return ()
        worlds = self.worlds[variant]
        return worlds[: self.few] if arm.few else worlds

    def digest(self, variant: Variant, arm: ArmPlan) -> str:
        """Return what tells results of these settings from those of others."""
        said = {
            "variant": {k: v for k, v in asdict(variant).items() if k != "name"},
            "arm": [arm.make, arm.options, arm.visited],
            "settings": [self.learner, self.process, self.test_sites],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def read_plan(form: Form = "full", path: Path = FILE) -> Plan:
    """Return what the file says: all of it, the same on pilot worlds, or a quick look."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    main = {"main": tuple(row["name"] for row in told["variant"] if not row.get("few", False))}
    arms = tuple(ArmPlan(**_whole(arm, main)) for arm in told["arm"])
    variants, minor = [], set()
    for row in told["variant"]:
        row = dict(row)
        if row.pop("few", False):
            minor.add(row["name"])
        if "dates" in row:
            row["dates"] = tuple(row["dates"])
        variants.append(Variant(**row))
    learner, few, sites = dict(told["learner"]), told["few"], told["test_sites"]
    seeds = tuple(told["seeds"])
    if form == "pilot":
        seeds = tuple(told["pilot_seeds"])
    if form == "small":
        small = told["small"]
        seeds, sites = tuple(small["seeds"]), small["test_sites"]
        learner["trees"] = small["trees"]
        variants = [
            replace(v, sites=small["sites"]) for v in variants if v.name in small["variants"]
        ]
    return Plan(
        variants=tuple(variants),
        arms=arms,
        worlds={v.name: seeds[:few] if v.name in minor else seeds for v in variants},
        few=few,
        learner=learner,
        process=dict(told["process"]),
        test_sites=sites,
    )


def _whole(arm: dict[str, Any], groups: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return an arm with the variants it is run in written out."""
    named = arm.get("variants", ())
    return {**arm, "variants": tuple(v for name in named for v in groups.get(name, (name,)))}
