"""Building a cube: one task for each shard, which can be interrupted and continued.

A block's record is written after its objects, ``cube.json`` after everything. Records and staged
sources lie in ``.build`` inside the cube's folder until then; a build that finds them goes on only
if they belong to the same recipe and the same source files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..cube.layout import CLASS_FILL, MANIFEST, CubeManifest, objects_digest, read_manifest
from ..errors import InputError
from ..fan_out import fan_out
from ..place import Place, S3Path
from ..progress import QUIET, Reporter
from ..scratch import scratch_folder
from ..store import (
    RecordingStore,
    StoredObject,
    list_objects,
    remove_partial,
    remove_tree,
    safe_key,
    write_atomically,
    zarr_store,
)
from .arrays import block_slices, create_arrays, shard_keys, stored_dtype
from .block_plan import Block, Plan, open_plan
from .packaged import PACKAGE, dataset
from .sources import hash_file, source_files
from .spec import CubeSpec, LayerSpec
from .staging import is_staged, one_at_a_time, stage, staged_path

#: Raised when the bytes that a recipe gives change, so that old unfinished builds are not mixed in.
_BUILD_VERSION = 1
_IDENTITY = "identity.json"
#: Records read at once: in a bucket each waits for the network.
_READERS = 16

#: Share of a layer's values outside its declared range from which range or scale is wrong.
MOST_OUT_OF_RANGE = 0.3


@dataclass(frozen=True)
class Record:
    """What building one block wrote and met."""

    objects: tuple[StoredObject, ...]
    valid: Mapping[str, int]
    filled: Mapping[str, int]
    out_of_range: Mapping[str, int]

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what :meth:`to_json` gave."""
        raw = json.loads(text)
        objects = tuple(StoredObject(**item) for item in raw.pop("objects"))
        for item in objects:
            safe_key(item.key)
        return cls(objects=objects, **raw)


def build_cube(
    spec: CubeSpec, out: Place, *, client: Any = None, reporter: Reporter = QUIET
) -> CubeManifest:
    """Build a cube, or go on where an interrupted build of the same cube stopped.

    Parameters
    ----------
    spec
        What it is to hold.
    out
        Folder of the cube, or its place in a bucket; new, empty, or holding an unfinished or
        finished build of the same cube.
    client
        A ``distributed.Client``; without it everything runs in this process.
    reporter
        Where progress goes.

    Raises
    ------
    InputError
        Where a source cannot be used as declared, holds no value at all, or `out` holds something
        else.
    """
    out = out.absolute()
    spec = replace(spec, base=spec.base.absolute())
    open_plan(spec)
    sources = _sources(spec, client, reporter)
    identity = _identity(spec, sources)
    fresh = _claim(out, identity)
    if fresh is None:
        _clear(out, identity, client)
        reporter.say(f"{out}: this cube is already built")
        return read_manifest(out)
    try:
        manifest = _build(spec, out, sources, identity, client, reporter)
    except InputError:
        if fresh:  # nothing half-written stays behind a refusal
            _clear(out, identity, client)
            remove_tree(out)
        raise
    write_atomically(out / MANIFEST, manifest.to_json())
    _clear(out, identity, client)
    return manifest


def _clear(out: Place, identity: str, client: Any) -> None:
    """Delete records and staged sources."""
    remove_tree(out / ".build")
    if isinstance(out, S3Path):
        staging = _staging(out, identity)
        shutil.rmtree(staging, ignore_errors=True)
        if client is not None:
            client.run(shutil.rmtree, staging, ignore_errors=True, on_error="ignore")


def _staging(out: Place, identity: str) -> Path:
    """Return the folder of staged sources; for a cube in a bucket each machine has its own."""
    if isinstance(out, S3Path):
        own = hashlib.sha256(f"{out} {identity}".encode()).hexdigest()
        return scratch_folder() / f"staged-{own[:24]}"
    return out / ".build" / "staged"


def _build(
    spec: CubeSpec,
    out: Place,
    sources: Mapping[str, Mapping[str, Any]],
    identity: str,
    client: Any,
    reporter: Reporter,
) -> CubeManifest:
    work = out / ".build"
    staged = list(_staged(spec))
    fan_out(
        partial(_stage, spec, out, identity), staged, client, reporter, "reading packed sources"
    )
    plan = open_plan(spec, _staging(out, identity))
    prepared = work / "arrays.json"
    if not prepared.exists():
        remove_tree(out / "stacks")
        (out / "zarr.json").unlink(missing_ok=True)
        metadata = create_arrays(plan, out, spec.title, identity, spec_digest(spec))
        write_atomically(prepared, Record(tuple(metadata), {}, {}, {}).to_json())
    remove_partial(out / "stacks")
    done = _done(out)
    todo = [block for block in plan.blocks() if block.name not in done]
    if done:
        reporter.say(f"{out}: going on; {len(done)} of {len(done) + len(todo)} blocks are done")
    fan_out(partial(build_block, spec, out, identity), todo, client, reporter, "building the cube")
    return _manifest(spec, out, plan, sources, prepared)


def _staged(spec: CubeSpec) -> Iterable[LayerSpec]:
    """Return one layer for each staged array."""
    return {staged_path(x, Path()): x for x in spec.layers if is_staged(x)}.values()


def _stage(spec: CubeSpec, out: Place, identity: str, layer: LayerSpec) -> None:
    stage(layer, source_files(layer, spec.base), _staging(out, identity))


@lru_cache(maxsize=2)
def _opened(spec: CubeSpec, out: Place, identity: str) -> Plan:
    """Open the sources once in a process; `identity` tells changed files of one name apart."""
    return open_plan(spec, _staging(out, identity))


def _stage_here(spec: CubeSpec, out: Place, identity: str) -> None:
    """Stage what has been staged on other machines only."""
    staging = _staging(out, identity)
    missing = [layer for layer in _staged(spec) if not staged_path(layer, staging).exists()]
    if missing:
        with one_at_a_time(staging):
            for layer in missing:
                _stage(spec, out, identity, layer)


def build_block(spec: CubeSpec, out: Place, identity: str, block: Block) -> None:
    """Read, derive and write one block, then its record."""
    if isinstance(out, S3Path):
        _stage_here(spec, out, identity)
    plan = _opened(spec, out, identity)
    stack, rect = plan.stacks[block.stack], plan.rect(block)
    fields = [plan.fields[name] for name in stack.bands]
    values = np.empty((fields[0].steps, len(fields), *rect.shape), stored_dtype(stack))
    valid, filled, outside = (dict.fromkeys(stack.bands, 0) for _ in range(3))
    for band, (name, field) in enumerate(zip(stack.bands, fields, strict=True)):
        for step in range(field.steps):
            window = field.read(step, rect)
            missing = np.isnan(window)
            counts = field.counts(step, rect, window)
            valid[name] += int(window.size - missing.sum())
            filled[name] += counts.filled
            outside[name] += counts.out_of_range
            values[step, band] = (
                np.where(missing, CLASS_FILL, window) if stack.kind == "class" else window
            )
    for key in shard_keys(stack, block):
        # Zarr merges shards at the edge with what is there, which a crash may have left cut.
        (out / key).unlink(missing_ok=True)
    store = RecordingStore(zarr_store(out))
    array = zarr.open_array(store, path=f"{stack.path}/values", mode="r+")
    for target, chosen in block_slices(stack, rect):
        array[target] = values[chosen]
    record = Record(tuple(store.written()), valid, filled, outside)
    write_atomically(out / ".build" / "done" / f"{block.name}.json", record.to_json())


def _sources(spec: CubeSpec, client: Any, reporter: Reporter) -> dict[str, dict[str, Any]]:
    """Return name, size and SHA-256 of each layer's files, and the package they came with."""
    files = {layer.name: source_files(layer, spec.base) for layer in spec.layers}
    unique = sorted({path for paths in files.values() for path in paths})
    hashes = dict(
        zip(unique, fan_out(hash_file, unique, client, reporter, "hashing sources"), strict=True)
    )
    sources: dict[str, dict[str, Any]] = {}
    for layer in spec.layers:
        entry: dict[str, Any] = {
            "files": [{"name": p.name, "sha256": hashes[p]} for p in files[layer.name]]
        }
        if layer.file.startswith(PACKAGE):
            packaged = dataset(layer)
            entry["package"] = f"{packaged.distribution} {packaged.version}"
        sources[layer.name] = entry
    return sources


def _identity(spec: CubeSpec, sources: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the hash of everything that decides the cube's bytes; where files lie does not."""
    text = json.dumps([_BUILD_VERSION, _settings(spec), sources], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def spec_digest(spec: CubeSpec) -> str:
    """Return the hash of a cube's settings, whatever its source files hold."""
    return hashlib.sha256(
        json.dumps(_settings(spec), sort_keys=True, default=list).encode()
    ).hexdigest()


def check_spec(spec: CubeSpec, cube: Place) -> None:
    """Refuse a finished cube that was built from other settings than `spec`."""
    held = zarr.open_group(zarr_store(cube, read_only=True), mode="r").attrs.get("edaphos_spec")
    if held is not None and held != spec_digest(spec):
        raise InputError(
            f"{cube}: this cube was built from other layers or settings than its TOML names now; "
            "delete the folder to build it again, or name another folder under cube.path"
        )


def _settings(spec: CubeSpec) -> dict[str, Any]:
    raw = asdict(spec)
    raw.pop("base")
    for layer in raw["layers"]:
        layer["file"], layer["files"] = Path(layer["file"]).name, len(layer["files"])
        if not layer["directional"]:
            del layer["directional"]  # cubes built before there was such a setting stay the same
    return raw


def _claim(out: Place, identity: str) -> bool | None:
    """Take the folder for this build: True if new, False if it goes on, None if finished."""
    marker = out / ".build" / _IDENTITY
    if (out / MANIFEST).exists():
        read_manifest(out)
        found = zarr.open_group(zarr_store(out), mode="r").attrs.get("edaphos_build")
        if found == identity:
            return None
        raise InputError(
            f"{out} holds another cube, or one of other source files or settings; choose another "
            "folder or remove it"
        )
    present = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; a cube needs a folder of its own")
    if marker.exists():
        if json.loads(marker.read_text())["identity"] == identity:
            return False
        raise InputError(
            f"{out} holds an unfinished build of another cube, or of other sources or settings; "
            "choose another folder or remove it"
        )
    if present - {".build"}:
        raise InputError(
            f"{out} is not empty and holds no cube (found {', '.join(sorted(present)[:3])}); "
            "choose another folder"
        )
    write_atomically(marker, json.dumps({"identity": identity}))
    return True


def _records(out: Place, names: Iterable[str]) -> dict[str, Record]:
    """Return the records of blocks by name."""
    folder, names = out / ".build" / "done", list(names)

    def read(name: str) -> Record:
        return Record.from_json((folder / f"{name}.json").read_text())

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(names, pool.map(read, names), strict=True))


def _done(out: Place) -> set[str]:
    """Return names of blocks whose record exists and whose objects are there in full size."""
    present = list_objects(out / "stacks")
    recorded = (key.removesuffix(".json") for key in list_objects(out / ".build" / "done"))
    done = set()
    for name, record in _records(out, recorded).items():
        keys = {item.key.removeprefix("stacks/"): item.size for item in record.objects}
        if all(present.get(key) == size for key, size in keys.items()):
            done.add(name)
    return done


def _manifest(
    spec: CubeSpec,
    out: Place,
    plan: Plan,
    sources: Mapping[str, Mapping[str, Any]],
    prepared: Place,
) -> CubeManifest:
    """Collect the records, refuse layers without any value, and describe the cube."""
    records = _records(out, (block.name for block in plan.blocks())).values()
    files = {layer.name: layer.file for layer in spec.layers}
    variables = {}
    described = {name: dict(entry) for name, entry in sources.items()}
    for name, variable in plan.variables.items():
        valid = sum(record.valid.get(name, 0) for record in records)
        if valid == 0:
            origin = files.get(name) or f"derived from {', '.join(variable.derived_from)}"
            raise InputError(
                f'layer "{name}" ({origin}) holds no value at all: every cell is missing. Check '
                "its nodata, scale, valid_min and valid_max, band or variable"
            )
        filled = sum(record.filled.get(name, 0) for record in records)
        variables[name] = replace(variable, filled_cells=filled)
        if name in described:
            outside = sum(record.out_of_range.get(name, 0) for record in records)
            read = valid - filled + outside
            if outside > MOST_OUT_OF_RANGE * read:
                share = outside / read
                raise InputError(
                    f'layer "{name}" ({files.get(name, name)}): {share:.0%} of its values '
                    "lie outside valid_min to valid_max; is its scale right (stored times ten?), "
                    "or the range too narrow?"
                )
            described[name] |= {
                "valid_cells": valid,
                "out_of_range_cells": outside,
                "notes": list(plan.notes[name]),
            }
    objects = [item for record in records for item in record.objects]
    objects += Record.from_json(prepared.read_text()).objects
    kept = tuple(sorted((o for o in objects if o.key.startswith("stacks/")), key=lambda o: o.key))
    return CubeManifest(
        stacks=plan.stacks,
        variables=variables,
        masks=plan.masks,
        objects=kept,
        digest=objects_digest(kept),
        sources=described,
    )
