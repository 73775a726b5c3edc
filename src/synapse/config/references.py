"""What one place of the configuration says of another, or of the world outside: that has to be there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from synapse.config.callers import digest_of
from synapse.config.schema import CallerConfig, Config, ModelConfig, StoreConfig, TlsConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from synapse.config.reader import Reader


def resolved(config: Config, folder: Path, environ: Mapping[str, str], reader: Reader) -> Config:
    """Give the configuration with all its paths absolute, noting with the reader what is not where it says."""
    codes = dict(_codes(config))
    for code, (path, entry) in codes.items():
        _check_fallbacks(code, path, entry, codes, reader)
    _check_callers(config.server.callers, codes, environ, reader)
    tls = config.server.tls
    server = msgspec.structs.replace(config.server, tls=_certificate(tls, folder, reader)) if tls else config.server
    return msgspec.structs.replace(config, server=server, store=_store(config.store, folder, reader))


def _codes(config: Config) -> Iterable[tuple[str, tuple[str, ModelConfig]]]:
    """Give each model code with its path and its entry."""
    for name, provider in config.models.items():
        for index, entry in enumerate(provider.codes):
            model = entry if isinstance(entry, ModelConfig) else ModelConfig(code=entry)
            yield model.code, (f"models.{name}.codes[{index}]", model)


def _check_fallbacks(code: str, path: str, entry: ModelConfig, codes: Iterable[str], reader: Reader) -> None:
    for index, fallback in enumerate(entry.fallbacks):
        where = f"{path}.fallbacks[{index}]"
        if fallback == code:
            reader.note(where, f'got "{code}", expected another model code: no model is a fallback of itself')
        else:
            _check_code(fallback, where, codes, reader)


def _check_code(code: str, path: str, codes: Iterable[str], reader: Reader) -> None:
    known = list(codes)
    if code not in known:
        near = difflib.get_close_matches(code, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        reader.note(path, f'got "{code}", expected a model code of this file; {hint}There are {", ".join(known)}')


def _check_callers(
    callers: tuple[CallerConfig, ...], codes: Iterable[str], environ: Mapping[str, str], reader: Reader
) -> None:
    names: dict[str, str] = {}
    digests: dict[bytes, str] = {}
    for index, caller in enumerate(callers):
        path = f"server.callers[{index}]"
        first = names.setdefault(caller.name, path)
        if first != path:
            reader.note(f"{path}.name", f'got "{caller.name}", expected a name of its own: {first} has it already')
        for number, code in enumerate(caller.models):
            _check_code(code, f"{path}.models[{number}]", codes, reader)
        _check_key(caller, path, digests, environ, reader)


def _check_key(
    caller: CallerConfig, path: str, digests: dict[bytes, str], environ: Mapping[str, str], reader: Reader
) -> None:
    if (caller.key_env is None) == (caller.sha256 is None):
        found = "neither" if caller.key_env is None else "both"
        reader.note(path, f"got {found} of key_env and sha256, expected exactly one of them")
        return
    where = f"{path}.key_env" if caller.key_env is not None else f"{path}.sha256"
    try:
        first = digests.setdefault(digest_of(caller, environ), path)
    except ValueError as exc:
        reader.note(where, str(exc))
        return
    if first != path:
        reader.note(where, f"the same key as that of {first}, expected a key of its own")


def _certificate(tls: TlsConfig, folder: Path, reader: Reader) -> TlsConfig:
    files = {"cert": folder.absolute() / tls.cert, "key": folder.absolute() / tls.key}
    for name, file in files.items():
        if not file.is_file():
            reader.note(f"server.tls.{name}", f"got a path to no file ({file}), expected a PEM file")
    return TlsConfig(cert=str(files["cert"]), key=str(files["key"]))


def _store(store: StoreConfig, folder: Path, reader: Reader) -> StoreConfig:
    if store.path is None:
        return store
    file = folder.absolute() / store.path
    if not file.parent.is_dir():
        reader.note("store.path", f"got a file in no folder ({file}), expected one in a folder that is there")
    elif file.is_dir():
        reader.note("store.path", f"got a folder ({file}), expected a file, which need not be there yet")
    return msgspec.structs.replace(store, path=str(file))
