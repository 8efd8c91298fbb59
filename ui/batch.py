"""Many photos, one after the other, into one zip file. No Gradio here."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from enhancers import images
from ui import job
from ui.bundle import Bundle, Row, known, plain_stem
from ui.job import DAMAGE
from ui.runner import Options, Runner, Update

ZIP = "triptych.zip"
MAX_PHOTOS = 100
MAX_PIXELS = 120_000_000
"""Of all photos together: some ten minutes of work, in between which others have their turn."""
MAX_UNPACKED = 512 << 20
"""Bytes that the files in a zip may have together, by its own account."""
MAX_ENTRIES = 1000
"""Files and folders of any kind in a zip; each takes memory as soon as it is opened."""

STOPPED = "Not restored: the batch was stopped."
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENTRY = b"PK\x01\x02"
"""What the directory of a zip has before each entry."""


@dataclass(frozen=True)
class Item:
    """A file of a batch: where it lies, or why it cannot be used."""

    name: str
    path: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Order:
    """What is to be done to every photo."""

    how: str
    """`job.DAMAGE` or `job.DEGRADED`."""
    degradation: str
    severity: float
    damage_seed: float
    seed: float
    methods: Sequence[str]
    options: Options


@dataclass(frozen=True)
class Progress:
    """How far a batch is."""

    text: str
    fraction: float
    rows: tuple[Row, ...]
    """One per picture made, and one per file that was left out."""
    ahead: int = 0
    """How many others are served before."""
    done: bool = False
    """Whether the zip is complete."""


def unpack(files: Sequence[str], folder: Path) -> list[Item]:
    """List the photos given, those in zip files too, which are unpacked into `folder`.

    Raises ValueError, before anything is unpacked, for a batch that is too large.
    """
    if not files:
        raise ValueError("Choose photos first, or a zip file of photos.")
    archives = {file: _entries(Path(file)) for file in files if _is_zip(file)}
    sizes = [len(archives[file]) if isinstance(archives.get(file), list) else 1 for file in files]
    if sum(sizes) > MAX_PHOTOS:
        raise ValueError(
            f"A batch may have up to {MAX_PHOTOS} photos, but this one has {sum(sizes)}; "
            "send it in parts."
        )
    entries = [e for found in archives.values() if isinstance(found, list) for e in found]
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise ValueError(
            f"Zip files may hold up to {MAX_UNPACKED / 1e6:.0f} MB unpacked, but these hold "
            f"{unpacked / 1e6:,.0f} MB; send them in parts."
        )
    items = []
    for number, file in enumerate(files):
        path, found = Path(file), archives.get(file)
        if found is None:
            items.append(Item(path.name, path))
        elif isinstance(found, str):
            items.append(Item(path.name, problem=found))
        else:
            items += _unpacked(path, found, folder / str(number))
    return items


def _is_zip(file: str) -> bool:
    return Path(file).suffix.lower() == ".zip"


def _entries(path: Path) -> list[zipfile.ZipInfo] | str:
    """List the files in a zip that may be photos, or say why it cannot be opened."""
    if path.read_bytes().count(_ENTRY) > MAX_ENTRIES:  # before its directory is made into objects
        raise ValueError(
            f"A zip file may have up to {MAX_ENTRIES:,} entries, but {path.name} has more; "
            "pack only the photos."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_wanted(entry)]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return f"{path.name} is not a zip file, or is damaged; pack it again."
    return entries or f"{path.name} holds no files; pack photos into it."


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file that a person put there: no folder, nothing hidden."""
    parts = entry.filename.replace("\\", "/").split("/")
    return not entry.is_dir() and not any(p.startswith(".") or p == "__MACOSX" for p in parts)


def _unpacked(path: Path, entries: Sequence[zipfile.ZipInfo], folder: Path) -> Iterator[Item]:
    with zipfile.ZipFile(path) as archive:
        for number, entry in enumerate(entries):
            name = entry.filename.replace("\\", "/").split("/")[-1]
            # The name in the zip, which may lead anywhere, does not say where it is put.
            target = folder / str(number) / f"{plain_stem(name)}{Path(name).suffix[:8]}"
            target.parent.mkdir(parents=True)
            if problem := _unpack(archive, entry, target):
                yield Item(name, problem=f"{name} {problem}")
            else:
                yield Item(name, target)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> str:
    """Write one file, which gets no larger than the zip's directory says; what is wrong, if."""
    if entry.flag_bits & 1:
        return "is encrypted; pack it without a password."
    if entry.compress_type not in _READABLE:
        return "is packed by a method that cannot be read; pack it as an ordinary zip."
    try:
        with archive.open(entry) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return "is damaged in the zip file; pack it again."
    return ""


def restore_all(
    runner: Runner,
    items: Sequence[Item],
    order: Order,
    folder: Path,
    stopped: Callable[[], bool],
) -> Iterator[Progress]:
    """Restore every photo and write `folder / ZIP`; a file that cannot be used is named in it.

    Every photo waits in line anew, so that others are served in between. `stopped` is asked at
    least every `runner.HEARTBEAT`; the zip then holds what was finished. Pictures lie in `folder`
    only until they are in the zip. Raises ValueError for settings that fit no photo.
    """
    _check(runner, order)
    rows: list[Row] = []
    stems: set[str] = set()
    pixels = 0
    with Bundle(folder / ZIP) as bundle:
        bundle.settings |= _settings(runner, order)
        for number, item in enumerate(items):
            where = f"{item.name} ({number + 1} of {len(items)})"
            yield Progress(where, number / len(items), tuple(rows))
            try:
                if stopped():
                    raise ValueError(STOPPED)
                task = _prepare(item, order)
                pixels += task.photo.width * task.photo.height
                if pixels > MAX_PIXELS:
                    raise ValueError(
                        f"A batch may have up to {MAX_PIXELS / 1e6:.0f} million pixels, and "
                        f"{item.name} goes beyond; send it in another one."
                    )
                stem = _unused(plain_stem(item.name), stems)
                for step in _restore(runner, task, order, stopped):
                    if isinstance(step, Update):
                        fraction = (number + step.fraction) / len(items)
                        yield Progress(where, fraction, tuple(rows), step.ahead)
                        continue
                    row, picture, meta = step
                    row = replace(row, photo=item.name, file=f"{stem}.{row.method}.png")
                    path = folder / row.file
                    images.save_png(path, picture, task.photo.alpha, metadata=meta)
                    bundle.add(row, path)
                    path.unlink()
                    rows.append(row)
            except ValueError as error:
                rows.append(Row(item.name, problem=str(error)))
                bundle.add(rows[-1])
    yield Progress("", 1, tuple(rows), done=True)


def _check(runner: Runner, order: Order) -> None:
    """Refuse what would fail for every photo alike, before any work."""
    if not order.methods:
        raise ValueError("Choose at least one method.")
    if unknown := [name for name in order.methods if name not in runner.enhancers]:
        methods = ", ".join(runner.enhancers)
        raise ValueError(f"There is no method {unknown[0]!r}; there are {methods}.")
    job.check_seed(order.seed)
    if order.how == DAMAGE:
        job.check_damage(order.degradation, order.severity)
        job.check_seed(order.damage_seed)


def _settings(runner: Runner, order: Order) -> dict:
    """What `settings.json` says of a batch."""
    damage = {"how": order.how}
    if order.how == DAMAGE:
        damage |= {
            "degradation": order.degradation,
            "severity": order.severity,
            "damage_seed": order.damage_seed,
        }
    methods = {}
    for name in order.methods:
        spec = runner.enhancers[name].spec
        defaults = {option.name: option.default for option in spec.options}
        methods[name] = {
            "options": defaults | dict(order.options.get(name, {})),
            "weights_sha256": spec.sha256,
        }
    return {"recipe": damage, "seed": order.seed, "methods": methods}


def _prepare(item: Item, order: Order) -> job.Job:
    if item.path is None:
        raise ValueError(item.problem)
    return job.prepare(item.path, order.how, order.degradation, order.severity, order.damage_seed)


def _unused(stem: str, stems: set[str]) -> str:
    """A name of its own, also on file systems that know no upper and lower case."""
    name, number = stem, 1
    while name.casefold() in stems:
        number += 1
        name = f"{stem}-{number}"
    stems.add(name.casefold())
    return name


def _restore(
    runner: Runner, task: job.Job, order: Order, stopped: Callable[[], bool]
) -> Iterator[Update | tuple[Row, Tensor, dict[str, str]]]:
    """Yield how far one photo is and, for each picture of it, its line and what its file says."""
    size = {"width": task.photo.width, "height": task.photo.height}

    def line(method: str, picture: Tensor, seconds: float | str = "") -> Row:
        scores = known(job.scores(picture, task))
        return Row("", method=method, **size, **scores, seconds=seconds)

    if order.how == DAMAGE:
        yield line("input", task.degraded), task.degraded, job.provenance(task)
    seed = job.check_seed(order.seed)
    chosen = [runner.enhancers[name] for name in order.methods]
    updates = runner.run(
        task.degraded, task.mask, seed=seed, options=order.options, enhancers=chosen
    )
    with closing(updates):
        for update in updates:
            if stopped():
                raise ValueError(STOPPED)
            event = update.event
            if event is None or event.restored is None:
                yield update
                continue
            spec = runner.enhancers[event.name].spec
            meta = job.metadata(task, spec, seed, order.options.get(event.name, {}))
            yield line(event.name, event.restored, round(event.seconds, 3)), event.restored, meta
