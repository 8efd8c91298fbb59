"""Restore photos from the shell: `python -m enhancers photos/*.jpg --method gan --out restored`.

Exits with 0 when every photo was restored, 1 when some were not (each is named on stderr, all the
others are written), 2 for wrong arguments, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import enhancers
from enhancers import images
from enhancers.base import Enhancer, OnStep, Option


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; exits by itself for wrong arguments."""
    parser = _parser()
    args = parser.parse_args(argv)
    methods = list(enhancers.NAMES) if args.method == "all" else [args.method]
    options = _options(parser, args, methods)
    try:
        files = _files(parser, args, methods)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # what matters becomes an ImageError
            return _run(files, methods, options, args)
    except KeyboardInterrupt:
        print("Interrupted; the photos written so far are complete.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m enhancers",
        description="Restore photos; each becomes DIR/<stem>.<method>.png.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="photo, folder of photos, or glob pattern")
    add("--method", choices=(*enhancers.NAMES, "all"), default="all", help="default: all")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    add(
        "--mask",
        metavar="PNG",
        help="picture as large as the photo, white where pixels are to be invented",
    )
    add("--seed", type=_whole(0), default=0, metavar="N", help="same seed, same pixels; default: 0")
    add(
        "--max-pixels",
        type=_whole(1),
        default=images.MAX_PIXELS,
        metavar="N",
        help="refuse larger photos; default: %(default)s",
    )
    add("--device", type=_device, default="cpu", help="cpu, cuda, ...; default: cpu")
    for name in enhancers.NAMES:
        group = parser.add_argument_group(enhancers.TITLES[name])
        for option in enhancers.OPTIONS[name]:
            group.add_argument(
                _flag(name, option),
                dest=_flag(name, option),
                type=_checked(option),
                metavar="N",
                help=f"{option.low:g} to {option.high:g}, default: {option.default:g}. "
                + option.help.replace("%", "%%"),
            )
    return parser


def _flag(name: str, option: Option) -> str:
    return f"--{name}-{option.name.replace('_', '-')}"


def _whole(low: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) < 2**63:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low}, but got {text}")
        return int(text)

    return parse


def _checked(option: Option) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, but got {text}") from None
        try:
            return option.check(number)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _device(text: str) -> str:
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text} cannot be used here: {reason}") from None
    return text


def _options(
    parser: argparse.ArgumentParser, args: argparse.Namespace, methods: list[str]
) -> dict[str, dict[str, float]]:
    """Collect every method's options, given or default; refuse those of methods not run."""
    options: dict[str, dict[str, float]] = {}
    for name in enhancers.NAMES:
        given = {o.name: getattr(args, _flag(name, o)) for o in enhancers.OPTIONS[name]}
        if name in methods:
            options[name] = {
                o.name: o.default if given[o.name] is None else given[o.name]
                for o in enhancers.OPTIONS[name]
            }
        elif unused := [o for o in enhancers.OPTIONS[name] if given[o.name] is not None]:
            parser.error(f"{_flag(name, unused[0])} needs --method {name} or --method all")
    return options


def _files(
    parser: argparse.ArgumentParser, args: argparse.Namespace, methods: list[str]
) -> list[Path]:
    """List the photos and make the folder, having checked that nothing would be overwritten."""
    try:
        files = images.list_images(args.paths)
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    if not files:
        parser.error(f"no pictures in {', '.join(args.paths)}")
    if args.mask is not None and not Path(args.mask).is_file():
        parser.error(f"--mask: there is no file {args.mask}")
    inputs = {_key(file): file for file in files}
    sources: dict[str, Path] = {}
    for file in files:
        for method in methods:
            target = _target(args.out, file, method)
            other = sources.setdefault(_key(target), file)
            if other is not file:
                parser.error(
                    f"{other} and {file} would both become {target}; "
                    "restore them one after the other, each with its own --out"
                )
            if _key(target) in inputs:
                parser.error(
                    f"restoring {file} would overwrite {inputs[_key(target)]}, which is to be "
                    "restored too; choose another --out"
                )
    return files


def _target(folder: Path, file: Path, method: str) -> Path:
    return folder / f"{file.stem}.{method}.png"


def _key(path: Path) -> str:
    """A path as file systems compare it that know no upper and lower case."""
    return str(path.resolve()).casefold()


def _run(
    files: list[Path],
    methods: list[str],
    options: dict[str, dict[str, float]],
    args: argparse.Namespace,
) -> int:
    """Restore file after file; report those that fail and go on."""
    try:
        loaded = {name: enhancers.load(name, device=args.device) for name in methods}
    except (OSError, RuntimeError) as error:  # no weights, or those of another network
        print(error, file=sys.stderr)
        return 1
    status = 0
    with tqdm(
        total=len(files) * len(methods),
        disable=None,  # where nobody watches
        bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
    ) as bar:
        for index, file in enumerate(files):
            try:
                photo = images.load(file, max_pixels=args.max_pixels)
                size = (photo.height, photo.width)
                mask = images.load_mask(args.mask, size) if args.mask else None
                for number, (name, enhancer) in enumerate(loaded.items()):
                    bar.set_description(f"{file.name}, {enhancer.spec.title}")
                    on_step = _progress(bar, index * len(methods) + number)
                    restored = enhancer.restore(
                        photo.pixels, mask, seed=args.seed, on_step=on_step, **options[name]
                    )
                    target = _target(args.out, file, name)
                    settings = _settings(enhancer, options[name], args)
                    images.save_png(target, restored, photo.alpha, metadata=settings)
                    bar.write(str(target))
            except (images.ImageError, OSError) as error:
                status = 1
                said = str(error) if str(file) in str(error) else f"{file}: {error}"
                bar.write(said, file=sys.stderr)
            _progress(bar, (index + 1) * len(methods))(0, 1)
    return status


def _progress(bar: tqdm, done: int) -> OnStep:
    """Move the bar to `done` results and a fraction."""

    def on_step(i: int, n: int, preview: Tensor | None = None) -> None:
        bar.n = done + i / n
        bar.refresh()

    return on_step


def _settings(
    enhancer: Enhancer, options: dict[str, float], args: argparse.Namespace
) -> dict[str, str]:
    """Describe what made a picture, for its text chunks, so that it can be made again."""
    settings = {
        "Software": "Triptych",
        "method": enhancer.spec.name,
        "seed": str(args.seed),
        "options": json.dumps(options),
        "weights sha256": enhancer.spec.sha256,
    }
    return settings | ({"mask": Path(args.mask).name} if args.mask else {})


if __name__ == "__main__":
    sys.exit(main())
