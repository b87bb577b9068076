"""A model to share: a folder of weights and one JSON that says what they mean.

``model.json`` holds the groups with their bands, units and scalers, what the training data were,
scores on rows that taught nothing, the licence, and the versions that wrote it; ``net_<m>.
safetensors`` the weights; ``places.npy`` codes of the places learned from, each shared by some
fifteen places of the Earth; ``kept_places.safetensors``, where a recipe asks for it, covariates of
some of them, by which who has the same maps can find the cells; ``kept_rows.safetensors``, if asked
for, targets and covariates of training rows; ``forests/``, of a region, the forests beside its nets
(:mod:`edaphos.engine.models.gsoilcpm_forests`). Nothing else is needed, and nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..conv.predictive import Predictive
from ..conv.weights import VERSIONED, Seen
from ..errors import InputError, StoreError
from ..models.protocol import Depth
from ..run import versions
from ..training_curve import save_curves
from .branch_fit import BranchFit, WayTried
from .fitted import FittedBranches
from .groups import GroupChannels
from .kept_places import KEPT, KeptPlaces
from .kept_rows import KEPT_ROWS
from .net_file import load_net, save_net
from .settings import GsoilcpmSettings, settings_from

SCHEMA = 1
MODEL, PLACES, KIND = "model.json", "places.npy", "gsoilcpm"
#: Folder of the forests beside a region's nets, and the file in it that holds their weights.
FORESTS, JOINED = "forests", "forests.json"
#: What the JSON of a model tells.
TOLD = (
    *("settings", "quantiles", "depths", "seed", "target", "licence", "groups", "variables"),
    *("grid", "members", "parameters", "scale", "predictive", "rows", "summary", "ways"),
    "versions",
)


def save_model(
    folder: Path,
    fitted: BranchFit,
    told: GsoilcpmSettings,
    quantiles: tuple[float, ...],
    seed: int,
    target: tuple[str, str],
) -> None:
    """Write a fitted model."""
    folder.mkdir(parents=True, exist_ok=True)
    covariances = fitted.covariances or (None,) * len(fitted.nets.nets)
    for m, (net, covariance) in enumerate(zip(fitted.nets.nets, covariances, strict=True)):
        save_net(folder / net_name(m), net, covariance)
    np.save(folder / PLACES, fitted.places, allow_pickle=False)
    if fitted.kept is not None:
        fitted.kept.save(folder / KEPT)
    if fitted.kept_rows is not None:
        fitted.kept_rows.save(folder / KEPT_ROWS)
    if fitted.trainings:
        save_curves(folder, fitted.trainings)
    nets = fitted.nets
    described = {
        "schema": SCHEMA,
        "kind": KIND,
        "settings": asdict(told),
        "quantiles": quantiles,
        "depths": fitted.depths,
        "seed": seed,
        "target": target,
        "licence": told.licence,
        "groups": nets.channels.to_json(),
        "variables": {name: asdict(seen) for name, seen in fitted.variables.items()},
        "grid": {"crs": fitted.crs, "cell": fitted.cell},
        "members": len(nets.nets),
        "parameters": sum(p.numel() for p in nets.nets[0].parameters()),
        "scale": {
            name: getattr(nets, name)
            for name in ("centre", "spread", "low", "high", "head", "levels", "absent")
        },
        "predictive": fitted.predictive.to_json(),
        "rows": fitted.rows,
        "summary": fitted.summary,
        "ways": [asdict(way) for way in fitted.ways],
        "versions": versions(tuple(name for name in VERSIONED if name != "edaphos")),
    }
    (folder / MODEL).write_text(json.dumps(described, indent=1) + "\n")


def load_model(folder: Path) -> tuple[BranchFit, dict[str, Any]]:
    """Read what :func:`save_model` wrote, and the whole of its JSON.

    Raises
    ------
    InputError
        There is no model of this kind.
    StoreError
        It is damaged.
    """
    told = read_card(folder)
    held = [load_net(folder / net_name(m)) for m in range(told["members"])]
    settings = settings_from(told["settings"])
    try:
        scale = told["scale"]
        nets = FittedBranches(
            tuple(net for net, _ in held),
            GroupChannels.from_json(told["groups"]),
            **{k: scale[k] for k in ("centre", "spread", "low", "high", "head")},
            levels=tuple(scale["levels"]),
            absent=tuple(scale["absent"]),
            plain=settings.faithful,
            sees_year=settings.sees_year,
        )
        fitted = BranchFit(
            nets=nets,
            predictive=Predictive.from_json(told["predictive"]),
            depths=depths_of(told),
            variables={name: Seen(**seen) for name, seen in told["variables"].items()},
            crs=told["grid"]["crs"],
            cell=told["grid"]["cell"],
            rows=told["rows"],
            summary=told["summary"],
            places=np.load(folder / PLACES, allow_pickle=False),
            covariances=tuple(covariance for _, covariance in held),
            ways=tuple(WayTried(**way) for way in told["ways"]),
            kept=KeptPlaces.load(folder / KEPT) if (folder / KEPT).is_file() else None,
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise StoreError(f"{folder}: not readable ({error!r}); get the model again") from error
    return fitted, told


def read_card(folder: Path) -> dict[str, Any]:
    """Read the JSON of a model's folder.

    Raises
    ------
    InputError
        There is none, it is of another kind, or of a newer edaphos.
    StoreError
        It is damaged, or files beside it are missing.
    """
    path = folder / MODEL
    if not path.is_file():
        inside = folder / "model"
        raise InputError(
            f"{path}: missing, there is no model here; name the folder of a model, such as "
            f"{inside if (inside / MODEL).is_file() else 'the folder model/ of a run'}"
        )
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise StoreError(f"{path}: not readable ({error}); get the model again") from error
    kind = told.get("kind") if isinstance(told, dict) else None
    if kind != KIND:
        what = f'a model of kind "{kind}"' if kind else "no description of a model"
        raise InputError(f'{path}: {what}; only models of kind "{KIND}" can be fine-tuned')
    if told.get("schema", 0) > SCHEMA:
        raise InputError(
            f"{path}: schema {told['schema']} is newer than this edaphos knows ({SCHEMA})"
        )
    lacking = [name for name in TOLD if name not in told]
    if lacking:
        raise StoreError(f"{path}: tells no {', '.join(lacking)}; get the model again")
    files = [folder / name for name in (PLACES, *map(net_name, range(told["members"])))]
    gone = [file.name for file in files if not file.is_file()]
    if gone:
        raise StoreError(
            f"{folder}: {', '.join(gone)} missing, the folder is not whole; get all files of the "
            "model again"
        )
    joined = folder / FORESTS / JOINED
    if joined.is_file():
        told["mapped is the mean of"] = json.loads(joined.read_text())["weights"]
    return told


def depths_of(told: Mapping[str, Any]) -> tuple[Depth, ...]:
    """Return the depths that a model was fitted for."""
    return tuple((float(top), float(bottom)) for top, bottom in told["depths"])


def net_name(member: int) -> str:
    """Return the name of the file of a member."""
    return f"net_{member}.safetensors"


def digest_of_model(folder: Path) -> str:
    """Return the SHA-256 of all that decides what a model says: its JSON and its weights."""
    told = read_card(folder)
    found = hashlib.sha256()
    nets = [folder / net_name(m) for m in range(told["members"])]
    more = [folder / name for name in (KEPT, KEPT_ROWS) if (folder / name).is_file()]
    forests = sorted(file for file in (folder / FORESTS).rglob("*") if file.is_file())
    for file in (folder / MODEL, *nets, *more, *forests):
        found.update(file.read_bytes())
    return found.hexdigest()


def card_text(told: Mapping[str, Any]) -> str:
    """Return what a model is, for people."""
    quantity, units = told["target"]
    lines = [
        f"model of {quantity} ({units}) with a branch for each of {len(told['groups'])} groups; "
        f"{told['members']} net(s) of {told['parameters']:,} parameters",
        f"licence: {told['licence'] or 'none stated'}",
        f"written by edaphos {told['versions'].get('edaphos', '?')}",
        f"learned on cells of {told['grid']['cell']:g} in {told['grid']['crs']}",
        "",
    ]
    stride = told["settings"].get("stride") or 1
    for group in told["groups"]:
        apart = f", {stride} apart" if stride > 1 and group["window"] > 1 else ""
        lines.append(f"{group['name']}, window of {group['window']} cell(s){apart}:")
        for name in group["covariates"]:
            seen = told["variables"].get(name, {})
            unit = seen.get("units") or "no units"
            lines.append(f"  {name}: {seen.get('kind', '?')}, {seen.get('time', '?')}, {unit}")
    summary = dict(told["summary"])
    world = summary.pop("world", None)
    lines += ["", *_facts("training data", {**told["rows"], **summary})]
    if world is not None:
        lines += ["", *_facts("model of the world that it began with", world)]
    beside = told.get("mapped is the mean of", {})
    if beside:
        shares = ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in beside.items())
        lines += ["", f"mapped is the mean of nets and of forests by what they learned: {shares}"]
    for way in told["ways"]:
        corrected = ", scale corrected" if way["corrected"] else ""
        lines.append(f"  {way['way']}{corrected}: error {way['error']:.4f}")
    return "\n".join(lines)


def _facts(title: str, told: Mapping[str, Any]) -> list[str]:
    return [f"{title}:", *(f"  {name}: {value}" for name, value in told.items())]
