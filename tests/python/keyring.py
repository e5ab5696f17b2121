"""The local keyring file of libkms, from the section "Local keyring file" of the format
page, and the scheme `local` of the section "Schemes"."""

import base64
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

import envelope

FORMAT = "libkms-keyring/1"
STATES = ("enabled", "disabled", "destroyed")
MAX_VERSION = 2**31 - 1
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)

KDF_RANGES = {"m": (19456, 4194304), "t": (1, 64), "p": (1, 64)}
WRITERS_KDF = {"m": 65536, "t": 3, "p": 4}
WRAPPED_LEN = 40  # the KWP wrap of 32 bytes


class KeyringError(Exception):
    """The file, or the passphrase, is refused."""


@dataclass(repr=False)
class Version:
    version: int
    created: str
    state: str
    material: bytes | None  # None when destroyed


@dataclass
class Key:
    name: str
    primary: int
    versions: list


@dataclass
class Keyring:
    keys: list


def new_version(number):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Version(number, now, "enabled", os.urandom(32))


def create(*names):
    """A keyring with version 1 of each name."""
    return Keyring([Key(name, 1, [new_version(1)]) for name in names])


# --- Reading ---------------------------------------------------------------------------


def read(path, passphrase=None):
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise KeyringError("the file is not for its owner alone (mode 0600)")
        return loads(file.read(), passphrase)


def loads(data, passphrase=None):
    """A keyring from the bytes of its file."""
    top = members(parse_json(data), "the file", ("format", "keys"), ("kdf",))
    if top["format"] != FORMAT:
        raise KeyringError(f"format: not {FORMAT}")
    if passphrase is None and "kdf" in top:
        raise KeyringError("kdf: the keyring needs a passphrase")
    if passphrase is not None and "kdf" not in top:
        raise KeyringError("kdf: a passphrase was given, but the keyring has none")
    k_pass = passphrase_key(passphrase, *parse_kdf(top["kdf"])) if "kdf" in top else None

    keys = [parse_key(entry, k_pass) for entry in array(top["keys"], "keys")]
    refuse_repeats([key.name for key in keys], "name")
    return Keyring(keys)


def parse_json(data):
    # Decoded here, since json.loads would take UTF-16 and UTF-32 from bytes as well.
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=unique_members, parse_constant=no_constant
        )
    except (ValueError, RecursionError) as error:
        raise KeyringError(f"not JSON: {type(error).__name__}") from None


def unique_members(pairs):
    refuse_repeats([name for name, _ in pairs], "member")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse_kdf(entry):
    entry = members(entry, "kdf", ("name", "m", "t", "p", "salt"))
    if entry["name"] != "argon2id":
        raise KeyringError("name: not argon2id")
    cost = {name: number(entry[name], name, *limits) for name, limits in KDF_RANGES.items()}
    salt = from_base64(entry["salt"], "salt")
    if not 16 <= len(salt) <= 64:
        raise KeyringError("salt: not of 16 to 64 bytes")
    return cost, salt


def parse_key(entry, k_pass):
    entry = members(entry, "keys", ("name", "primary", "versions"))
    name = entry["name"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise KeyringError("name: not 1 to 64 of A-Z a-z 0-9 . _ -")
    versions = [parse_version(v, name, k_pass) for v in array(entry["versions"], "versions")]
    numbers = [version.version for version in versions]
    refuse_repeats(numbers, "version")
    primary = number(entry["primary"], "primary", 1, MAX_VERSION)
    if primary not in numbers:
        raise KeyringError("primary: none of the versions")
    return Key(name, primary, versions)


def parse_version(entry, name, k_pass):
    entry = members(entry, "versions", ("version", "created", "state"), ("material",))
    version = number(entry["version"], "version", 1, MAX_VERSION)
    if not is_rfc_3339(entry["created"]):
        raise KeyringError("created: not as RFC 3339 says")
    state = entry["state"]
    if state not in STATES:
        raise KeyringError("state: none of enabled, disabled, destroyed")
    if state == "destroyed":
        if "material" in entry:
            raise KeyringError("material: there, though destroyed")
        return Version(version, entry["created"], state, None)
    if "material" not in entry:
        raise KeyringError("material: missing")

    material = from_base64(entry["material"], "material")
    if k_pass is not None:
        material = unwrap(material_key(k_pass, name, version), material)
        if material is None:
            raise KeyringError("material: does not open with this passphrase")
    if len(material) != 32:
        raise KeyringError("material: not of 32 bytes")
    return Version(version, entry["created"], state, material)


def members(entry, where, required, optional=()):
    if not isinstance(entry, dict):
        raise KeyringError(f"{where}: not an object")
    for name in required:
        if name not in entry:
            raise KeyringError(f"{name}: missing")
    for name in entry:
        if name not in required and name not in optional:
            raise KeyringError(f"{where}: an unknown member")
    return entry


def array(entry, where):
    if not isinstance(entry, list):
        raise KeyringError(f"{where}: not an array")
    return entry


def number(entry, where, low, high):
    # type() and not isinstance(): true is an int in Python. 1.0 and 1e0 are floats.
    if type(entry) is not int or not low <= entry <= high:
        raise KeyringError(f"{where}: not a whole number from {low} to {high}")
    return entry


def refuse_repeats(names, where):
    if len(set(names)) != len(names):
        raise KeyringError(f"{where}: the same one twice")


def from_base64(text, where):
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise KeyringError(f"{where}: not base64") from None
    # Also refuses spare bits that are not zero, which b64decode would drop.
    if to_base64(raw) != text:
        raise KeyringError(f"{where}: not base64")
    return raw


def to_base64(raw):
    return base64.b64encode(raw).decode()


def is_rfc_3339(text):
    match = RFC_3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return False
    try:
        datetime.strptime(match[1], "%Y-%m-%d")
    except ValueError:
        return False
    return True


# --- Passphrase ------------------------------------------------------------------------


def passphrase_key(passphrase, cost, salt):
    """K_pass. pyca has version 0x13 of Argon2id, and m in KiB."""
    argon = Argon2id(
        salt=salt, length=32, iterations=cost["t"], lanes=cost["p"], memory_cost=cost["m"]
    )
    return argon.derive(passphrase.encode("utf-8"))


def material_key(k_pass, name, version):
    info = FORMAT.encode() + b"\x00" + f"{name}/{version}".encode()
    return HKDFExpand(hashes.SHA512(), 32, info).derive(k_pass)


def unwrap(key, wrapped):
    """The 32 bytes, or None: AES-256-KWP has shorter ones that also take 40 bytes."""
    if len(wrapped) != WRAPPED_LEN:
        return None
    try:
        material = aes_key_unwrap_with_padding(key, wrapped)
    except InvalidUnwrap:
        return None
    return material if len(material) == 32 else None


# --- Writing ---------------------------------------------------------------------------


def write(path, keyring, passphrase=None):
    """A new file; one that is there is never overwritten."""
    data = dumps(keyring, passphrase)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def dumps(keyring, passphrase=None):
    """The bytes of the file. With a passphrase every writing takes a fresh salt."""
    plain = encode({"format": FORMAT}, keyring, None)
    loads(plain)  # a writer refuses what its reader would
    if passphrase is None:
        return plain
    salt = os.urandom(16)
    kdf = {"name": "argon2id", **WRITERS_KDF, "salt": to_base64(salt)}
    k_pass = passphrase_key(passphrase, WRITERS_KDF, salt)
    return encode({"format": FORMAT, "kdf": kdf}, keyring, k_pass)


def encode(top, keyring, k_pass):
    keys = [key_entry(key, k_pass) for key in keyring.keys]
    return json.dumps({**top, "keys": keys}, indent=2).encode() + b"\n"


def key_entry(key, k_pass):
    versions = [version_entry(key.name, version, k_pass) for version in key.versions]
    return {"name": key.name, "primary": key.primary, "versions": versions}


def version_entry(name, version, k_pass):
    entry = {"version": version.version, "created": version.created, "state": version.state}
    if version.material is not None:
        material = version.material
        if k_pass is not None:
            key = material_key(k_pass, name, version.version)
            material = aes_key_wrap_with_padding(key, material)
        entry["material"] = to_base64(material)
    return entry


# --- The scheme local (Schemes) --------------------------------------------------------


class LocalKek:
    """One version of a key, as a KEK for the functions in envelope.py."""

    scheme = "local"

    def __init__(self, name, version):
        self.key_id = f"{name}/{version.version}"
        self._version = version

    def wrap(self, dek, context):
        if self._version.state != "enabled":
            raise KeyringError(f"{self.key_id} is {self._version.state}")
        return aes_key_wrap_with_padding(self._version.material, dek)

    def unwrap(self, wrapped, context):
        if self._version.state != "enabled":
            raise envelope.Unavailable(f"{self.key_id} is {self._version.state}")
        dek = unwrap(self._version.material, wrapped)
        if dek is None:
            raise envelope.authentication_error()
        return dek


def keks(keyring, name):
    """Every version of a name: the allow-list of a reader."""
    return [LocalKek(name, version) for version in find(keyring, name).versions]


def primary(keyring, name):
    """The version that wraps: the recipient of a writer."""
    key = find(keyring, name)
    return next(LocalKek(name, v) for v in key.versions if v.version == key.primary)


def find(keyring, name):
    for key in keyring.keys:
        if key.name == name:
            return key
    raise KeyringError("no key of this name")
