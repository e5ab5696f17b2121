"""The libkms envelope, version 1: a second reader and writer, made from the format page alone.

It works on whole envelopes in memory and is meant for checking, not for speed. It needs
Python 3.11 and cryptography 50.0.2. Names in brackets, like (Layout) or (Readers 5), are
the sections and the numbered rules of the page.

A KEK is any object with `scheme`, `key_id`, `wrap(dek, context)` and
`unwrap(wrapped, context)`, where `context` is the encoded context. `unwrap` raises
Authentication for bytes that are no wrap of a DEK, and Unavailable if it could not ask.
"""

import os
from dataclasses import dataclass

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import constant_time, hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

MAGIC = b"KMSE"
REFERENCE_MAGIC = b"KMSR"
VERSION = 1
ONE_SHOT = 1
CHUNKED = 2
SUITES = (ONE_SHOT, CHUNKED)

MAC_LEN = 16
MAX_HEADER_LEN = 65520
PLACES = (4096, 8192, 16384, 32768, 65536)  # header and mac together, with copies 2
TWO_COPIES_FROM = 1 << 20

MIN_PAYLOAD = {ONE_SHOT: 24 + 16, CHUNKED: 24 + 32 + 16}
MAX_ONE_SHOT_PLAINTEXT = (1 << 36) - 32

CONTEXT_FIELD = 0x01
FIRST_OPTIONAL_FIELD = 0x80
MAX_CONTEXT = 8192
RESERVED_PREFIX = "libkms-"

STORED = object()  # given as the context: open with the stored one


# --- Errors ----------------------------------------------------------------------------


class EnvelopeError(Exception):
    """Every refusal of a reader."""


class Malformed(EnvelopeError):
    """Not as the page says; found without any key (Readers 1). `field` is its name there."""

    def __init__(self, field, reason):
        super().__init__(f"{field}: {reason}")
        self.field = field


class Mismatch(EnvelopeError):
    """Two well-formed copies disagree in suite or commitment (Readers 5)."""


class NoMatchingKek(EnvelopeError):
    """No recipient is one that the caller allows (Readers 2)."""


class Authentication(EnvelopeError):
    """Wrong key, context or aad, or an altered bit: always this one error (Readers 3)."""


class Unavailable(EnvelopeError):
    """No recipient held, and a KMS could not be reached or denied the call (Readers 3)."""


class NoStoredContext(EnvelopeError):
    """The caller asked for the stored context and there is none (Layout)."""


class ReservedContext(EnvelopeError):
    """The stored context holds a key of the library's own (Layout)."""


class NoHeader(EnvelopeError):
    """The header that a reference names is not there (Reference records)."""


class TooLong(ValueError):
    """The header does not fit; for writers."""


# --- Reading bytes ---------------------------------------------------------------------


class Cursor:
    """Takes bytes from `at` up to `end`; what would run past `end` is refused by name."""

    def __init__(self, data, at, end):
        self.data = data
        self.at = at
        self.end = end

    def take(self, length, field):
        if length > self.end - self.at:
            raise Malformed(field, "ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length, field):
        return int.from_bytes(self.take(length, field), "big")

    def sized(self, length_of_length, field, low, high):
        length = self.number(length_of_length, field)
        if not low <= length <= high:
            raise Malformed(field, f"{length} bytes, not {low} to {high}")
        return self.take(length, field)


def utf8(data, field):
    # Python's decoder refuses overlong forms and surrogates, as RFC 3629 asks.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(field, "not UTF-8") from None


def refuse_control_characters(text, field):
    for character in text:
        if ord(character) <= 0x1F or 0x7F <= ord(character) <= 0x9F:
            raise Malformed(field, "holds a control character")


def sized(length_of_length, value):
    """The writer's `1 + len` and `2 + len`."""
    if len(value) >= 1 << (8 * length_of_length):
        raise TooLong("longer than its length can say")
    return len(value).to_bytes(length_of_length, "big") + value


# --- Context (Layout) ------------------------------------------------------------------


def encode_context(pairs):
    """The canonical encoding of what a caller names: a dict of text, or None for none."""
    pairs = pairs or {}
    if any(key.startswith(RESERVED_PREFIX) for key in pairs):
        raise ValueError(f"no caller can name a key that begins {RESERVED_PREFIX}")
    raw = sorted((key.encode(), value.encode()) for key, value in pairs.items())
    encoded = len(raw).to_bytes(2, "big")
    for key, value in raw:
        encoded += sized(2, key) + sized(2, value)
    # One list of limits serves both ways: what a reader refuses, a writer does too.
    try:
        decode_context(encoded)
    except Malformed as refusal:
        raise ValueError(str(refusal)) from None
    return encoded


def decode_context(encoded):
    """The pairs of an encoding, as a dict; refuses all but the canonical one."""
    if len(encoded) > MAX_CONTEXT:
        raise Malformed("context", f"longer than {MAX_CONTEXT} bytes")
    cursor = Cursor(encoded, 0, len(encoded))
    pairs = {}
    before = b""  # less than any key, since a key has a byte at least
    for _ in range(cursor.number(2, "context count")):
        key = cursor.sized(2, "context key", 1, 256)
        if key <= before:
            raise Malformed("context key", "not in ascending order, or twice")
        before = key
        text = utf8(key, "context key")
        refuse_control_characters(text, "context key")
        # Only keys are free of control characters; a value may hold any text.
        value = cursor.sized(2, "context value", 0, 1024)
        pairs[text] = utf8(value, "context value")
    if cursor.at != cursor.end:
        raise Malformed("context", "bytes after the last pair")
    return pairs


# --- Header (Layout) -------------------------------------------------------------------


@dataclass(frozen=True)
class Recipient:
    scheme: str
    key_id: str
    wrapped: bytes


@dataclass(frozen=True)
class Header:
    """A well-formed header, with its mac, which is not yet checked."""

    suite: int
    copies: int
    commitment: bytes
    recipients: tuple
    fields: tuple  # of (type, value), in ascending order
    raw: bytes  # all header_len bytes: what the mac covers
    mac: bytes

    @property
    def place(self):
        return len(self.raw) + MAC_LEN

    @property
    def stored_context(self):
        """Field 0x01, encoded, or None if the header has none."""
        return dict(self.fields).get(CONTEXT_FIELD)


def parse_header(data, at=0):
    cursor = Cursor(data, at, len(data))
    if cursor.take(4, "magic") != MAGIC:
        raise Malformed("magic", "not KMSE")
    if cursor.number(1, "version") != VERSION:
        raise Malformed("version", "not 1")
    suite = cursor.number(1, "suite")
    if suite not in SUITES:
        raise Malformed("suite", "neither 1 nor 2")
    copies = cursor.number(1, "copies")
    if copies not in (1, 2):
        raise Malformed("copies", "neither 1 nor 2")
    count = cursor.number(1, "recipients")
    if not 1 <= count <= 16:
        raise Malformed("recipients", f"{count}, not 1 to 16")

    header_len = cursor.number(2, "header_len")
    if header_len > MAX_HEADER_LEN:
        raise Malformed("header_len", f"more than {MAX_HEADER_LEN}")
    if copies == 2 and header_len + MAC_LEN not in PLACES:
        raise Malformed("header_len", "with the mac, none of the sizes for copies 2")
    if header_len > len(data) - at:
        raise Malformed("header_len", "past the end of the input")
    cursor.end = at + header_len  # nothing below may run past it

    commitment = cursor.take(32, "commitment")
    recipients = tuple(parse_recipient(cursor) for _ in range(count))
    fields = parse_fields(cursor.sized(2, "fields", 0, 0xFFFF))

    padding = cursor.take(cursor.end - cursor.at, "padding")
    if copies == 1 and padding:
        raise Malformed("padding", "bytes after the fields, with copies 1")
    if any(padding):
        raise Malformed("padding", "not zero")

    cursor.end = len(data)
    mac = cursor.take(MAC_LEN, "mac")
    return Header(suite, copies, commitment, recipients, fields, data[at : at + header_len], mac)


def parse_recipient(cursor):
    scheme = cursor.sized(1, "scheme", 1, 32)
    if not all(byte in b"abcdefghijklmnopqrstuvwxyz0123456789-" for byte in scheme):
        raise Malformed("scheme", "holds something else than a-z 0-9 '-'")
    key_id = utf8(cursor.sized(2, "key_id", 1, 1024), "key_id")
    refuse_control_characters(key_id, "key_id")
    # What a wrapped DEK looks like is the scheme's to judge, when it is unwrapped.
    wrapped = cursor.sized(2, "wrapped", 1, 32768)
    return Recipient(scheme.decode(), key_id, wrapped)


def parse_fields(data):
    cursor = Cursor(data, 0, len(data))
    fields = []
    before = -1
    while cursor.at < cursor.end:
        kind = cursor.number(1, "fields")
        if kind <= before:
            raise Malformed("fields", "types not ascending, or one twice")
        before = kind
        value = cursor.sized(2, "fields", 0, 0xFFFF)
        if kind == CONTEXT_FIELD:
            decode_context(value)
        elif kind < FIRST_OPTIONAL_FIELD:
            raise Malformed("fields", f"unknown type {kind:#04x}")
        # One from 0x80 on is skipped, but kept: a rewrap writes every field again.
        fields.append((kind, value))
    return tuple(fields)


def encode_header(suite, copies, commitment, recipients, fields, place=None):
    """A header without its mac. With copies 2 `place` is the size that it and its mac are
    to take; without one it takes the least that is large enough."""
    body = commitment
    for recipient in recipients:
        body += sized(1, recipient.scheme.encode())
        body += sized(2, recipient.key_id.encode())
        body += sized(2, recipient.wrapped)
    body += sized(2, b"".join(bytes([kind]) + sized(2, value) for kind, value in fields))

    length = 10 + len(body)
    if copies == 2:
        fitting = [size - MAC_LEN for size in PLACES if length + MAC_LEN <= size]
        if place is not None:
            fitting = [size for size in fitting if size == place - MAC_LEN]
        if not fitting:
            raise TooLong("the header does not fit its place")
        body += bytes(fitting[0] - length)
        length = fitting[0]
    if length > MAX_HEADER_LEN:
        raise TooLong(f"the header is longer than {MAX_HEADER_LEN} bytes")

    fixed = bytes([VERSION, suite, copies, len(recipients)])
    header = MAGIC + fixed + length.to_bytes(2, "big") + body
    # A writer refuses what its own reader would.
    try:
        parse_header(header + bytes(MAC_LEN))
    except Malformed as refusal:
        raise ValueError(str(refusal)) from None
    return header


# --- The two copies (Readers 5) --------------------------------------------------------


@dataclass(frozen=True)
class Envelope:
    headers: tuple  # the well-formed copies, in the order they are tried
    payload: bytes
    notes: tuple  # what the reader has to say about the copies

    @property
    def suite(self):
        return self.headers[0].suite


def parse(data):
    """All that can be checked without keys (Readers 1 and 5)."""
    try:
        first = parse_header(data)
    except Malformed as damage:
        if data[:4] == MAGIC and data[4:5] != bytes([VERSION]):
            raise  # another version is another format: no copy is sought behind it
        second = seek_second(data)
        if second is None:
            raise
        return finish(data, (second,), 2 * second.place, (f"the first copy is lost: {damage}",))

    if first.copies == 1:
        return finish(data, (first,), first.place, ())

    payload_at = 2 * first.place
    try:
        second = parse_second(data, first.place)
    except Malformed as damage:
        return finish(data, (first,), payload_at, (f"the second copy is lost: {damage}",))
    if (first.suite, first.commitment) != (second.suite, second.commitment):
        raise Mismatch("the two copies disagree in suite or commitment")
    differ = (first.raw, first.mac) != (second.raw, second.mac)
    return finish(data, (first, second), payload_at, ("the copies differ",) if differ else ())


def parse_second(data, place):
    """The copy at `place`, which must say of itself that it stands there."""
    header = parse_header(data, place)
    if header.copies != 2:
        raise Malformed("copies", "not 2 in the second copy")
    if header.place != place:
        raise Malformed("header_len", "not where the second copy stands")
    return header


def seek_second(data):
    for place in PLACES:
        try:
            return parse_second(data, place)
        except Malformed:
            continue
    return None


def finish(data, headers, payload_at, notes):
    payload = data[payload_at:]
    check_payload_length(headers[0].suite, payload)
    return Envelope(headers, payload, notes)


def check_payload_length(suite, payload):
    if len(payload) < MIN_PAYLOAD[suite]:
        raise Malformed("payload", f"less than {MIN_PAYLOAD[suite]} bytes")
    if suite == ONE_SHOT and len(payload) - MIN_PAYLOAD[suite] > MAX_ONE_SHOT_PLAINTEXT:
        raise Malformed("payload", "too long for one-shot")


# --- Keys (Keys) -----------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Keys:
    mac: bytes
    payload: bytes
    commitment: bytes


def derive(dek, suite, context):
    """`context` is the encoding."""
    info = b"libkms/v1" + b"\x00" + bytes([suite]) + context
    out = HKDFExpand(hashes.SHA512(), 96, info).derive(dek)
    return Keys(out[:32], out[32:64], out[64:])


def header_mac(keys, header):
    mac = hmac.HMAC(keys.mac, hashes.SHA512())
    mac.update(header)
    return mac.finalize()[:MAC_LEN]


def keys_if_held(header, dek, context):
    """The keys, if the DEK is of 32 bytes and commitment and mac agree (Readers 2)."""
    if len(dek) != 32:
        return None
    keys = derive(dek, header.suite, context)
    commitment_agrees = constant_time.bytes_eq(keys.commitment, header.commitment)
    mac_agrees = constant_time.bytes_eq(header_mac(keys, header.raw), header.mac)
    return keys if commitment_agrees and mac_agrees else None


# --- Recipients (Readers 2 and 3) ------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Unlocked:
    header: Header
    dek: bytes
    keys: Keys
    context: bytes  # the encoding that held


def unlock(headers, keks, context):
    """Finds the DEK through the recipients that `keks`, the caller's allow-list, names."""
    allowed = {(kek.scheme, kek.key_id): kek for kek in keks}
    any_allowed = any_unavailable = False
    results = {}  # of each unwrapping; the second copy often repeats the first one's recipients

    for header, encoded in with_contexts(headers, context):
        for recipient in header.recipients:
            kek = allowed.get((recipient.scheme, recipient.key_id))
            if kek is None:
                continue
            any_allowed = True
            if header.stored_context not in (None, encoded):
                continue  # a stored context that differs is a wrong context (Layout)
            call = (recipient, encoded)
            if call not in results:
                results[call] = None
                try:
                    results[call] = kek.unwrap(recipient.wrapped, encoded)
                except Authentication:
                    pass
                except Unavailable:
                    any_unavailable = True
            dek = results[call]
            if dek is None:
                continue
            # Held against both copies, whichever named the recipient (rule 2).
            for other, other_encoded in with_contexts(headers, context):
                if other_encoded == encoded and other.stored_context in (None, encoded):
                    keys = keys_if_held(other, dek, encoded)
                    if keys is not None:
                        return Unlocked(other, dek, keys, encoded)

    if not any_allowed:
        raise NoMatchingKek("no recipient is among the allowed KEKs")
    if any_unavailable:
        raise Unavailable("no recipient held, and a KMS could not be reached or denied the call")
    raise authentication_error()


def with_contexts(headers, context):
    """Pairs each copy with the encoded context to try on it."""
    if context is not STORED:
        encoded = encode_context(context)
        return [(header, encoded) for header in headers]
    stored = [header for header in headers if header.stored_context is not None]
    if not stored:
        raise NoStoredContext("no context is stored")
    free = [header for header in stored if not holds_reserved_key(header.stored_context)]
    if not free:
        raise ReservedContext(f"the stored context holds a key that begins {RESERVED_PREFIX}")
    return [(header, header.stored_context) for header in free]


def holds_reserved_key(encoded):
    return any(key.startswith(RESERVED_PREFIX) for key in decode_context(encoded))


def authentication_error():
    return Authentication("wrong key, context or aad, or the data was altered")


# --- Payloads (Keys) -------------------------------------------------------------------


def seal_payload(suite, key, plaintext, aad):
    if suite == ONE_SHOT:
        if len(plaintext) > MAX_ONE_SHOT_PLAINTEXT:
            raise ValueError("too long for one-shot")
        nonce = os.urandom(24)
        return nonce + xaes_256_gcm(key, nonce).encrypt(nonce[12:], plaintext, aad)
    encryptor = Cobblestone256Encryptor(key, aad)  # draws its own salt
    return encryptor.update(plaintext) + encryptor.finalize()


def open_payload(suite, key, payload, aad):
    try:
        if suite == ONE_SHOT:
            nonce = payload[:24]
            return xaes_256_gcm(key, nonce).decrypt(nonce[12:], payload[24:], aad)
        decryptor = Cobblestone256Decryptor(key, aad)
        return decryptor.update(payload) + decryptor.finalize()
    except InvalidTag:
        raise authentication_error() from None


def xaes_256_gcm(key, nonce):
    """AES-256-GCM under the key that XAES-256-GCM derives from `nonce[:12]`; the nonce to
    use with it is `nonce[12:]` (https://c2sp.org/XAES-256-GCM)."""
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    doubled = int.from_bytes(aes.update(bytes(16)), "big") << 1
    if doubled >> 128:
        doubled ^= (1 << 128) | 0x87
    derived = b""
    for counter in (1, 2):
        block = bytes([0, counter]) + b"X\x00" + nonce[:12]
        derived += aes.update((int.from_bytes(block, "big") ^ doubled).to_bytes(16, "big"))
    return AESGCM(derived)


# --- Sealing and opening ---------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Opened:
    plaintext: bytes
    context: dict  # the one that held: of interest to a caller who asked for the stored one
    notes: tuple


def seal(
    plaintext,
    keks,
    *,
    suite=CHUNKED,
    context=None,
    aad=b"",
    store_context=False,
    copies=None,
    fields=(),
    place=None,
    dek=None,
):
    """A new envelope. `fields` are (type, value) pairs beside the stored context; `dek` is
    given only to seal again under the same one."""
    if copies is None:
        copies = 2 if len(plaintext) >= TWO_COPIES_FROM else 1
    dek = os.urandom(32) if dek is None else dek
    copy = seal_header(
        dek,
        keks,
        suite=suite,
        context=context,
        store_context=store_context,
        copies=copies,
        fields=fields,
        place=place,
    )
    keys = derive(dek, suite, encode_context(context))
    return copy * copies + seal_payload(suite, keys.payload, plaintext, aad)


def seal_header(
    dek, keks, *, suite, context=None, store_context=False, copies=1, fields=(), place=None
):
    """`header || mac`, once."""
    encoded = encode_context(context)
    keys = derive(dek, suite, encoded)
    if store_context:
        fields = ((CONTEXT_FIELD, encoded), *fields)
    recipients = wrap_for(keks, dek, encoded)
    header = encode_header(suite, copies, keys.commitment, recipients, sorted(fields), place)
    return header + header_mac(keys, header)


def wrap_for(keks, dek, encoded):
    return [Recipient(kek.scheme, kek.key_id, kek.wrap(dek, encoded)) for kek in keks]


def open_envelope(data, keks, context=None, aad=b""):
    """`keks` is the allow-list. `context` is a dict, None for none, or STORED."""
    envelope = parse(data)
    unlocked = unlock(envelope.headers, keks, context)
    plaintext = open_payload(envelope.suite, unlocked.keys.payload, envelope.payload, aad)
    return Opened(plaintext, decode_context(unlocked.context), envelope.notes)


# --- Reference records (Reference records) ---------------------------------------------


@dataclass(frozen=True)
class Reference:
    suite: int
    commitment: bytes
    payload: bytes


def seal_reference(dek, plaintext, *, suite=ONE_SHOT, context=None, aad=b""):
    """A record of `dek`, whose header `seal_header` makes with copies 1."""
    keys = derive(dek, suite, encode_context(context))
    fixed = REFERENCE_MAGIC + bytes([VERSION, suite]) + keys.commitment
    return fixed + seal_payload(suite, keys.payload, plaintext, aad)


def parse_reference(data):
    cursor = Cursor(data, 0, len(data))
    if cursor.take(4, "magic") != REFERENCE_MAGIC:
        raise Malformed("magic", "not KMSR")
    if cursor.number(1, "version") != VERSION:
        raise Malformed("version", "not 1")
    suite = cursor.number(1, "suite")
    if suite not in SUITES:
        raise Malformed("suite", "neither 1 nor 2")
    commitment = cursor.take(32, "commitment")
    payload = data[cursor.at :]
    check_payload_length(suite, payload)
    return Reference(suite, commitment, payload)


def parse_header_record(data):
    """A `header || mac` that is kept by itself."""
    header = parse_header(data)
    if header.copies != 1:
        raise Malformed("copies", "not 1 in a header kept for references")
    if len(data) != header.place:
        raise Malformed("mac", "bytes after it")
    return header


def open_reference(data, fetch, keks, context=None, aad=b""):
    """`fetch` gives the `header || mac` kept under a commitment, or None."""
    reference = parse_reference(data)
    record = fetch(reference.commitment)
    if record is None:
        raise NoHeader("the header of this reference is not there")
    header = parse_header_record(record)
    if header.suite != reference.suite:
        raise Malformed("suite", "header and reference disagree")
    if header.commitment != reference.commitment:
        raise Malformed("commitment", "header and reference disagree")
    unlocked = unlock((header,), keks, context)
    plaintext = open_payload(reference.suite, unlocked.keys.payload, reference.payload, aad)
    return Opened(plaintext, decode_context(unlocked.context), ())


# --- Rewrapping (Rewrapping) -----------------------------------------------------------


def rewrap(data, keks, new_keks, context=None):
    """The envelope with `new_keks` as its recipients: what a file holds after a rewrap."""
    envelope = parse(data)
    if envelope.headers[0].copies == 2:
        try:
            return apply(data, rewrap_in_place(data, keks, new_keks, context))
        except TooLong:
            pass  # too long for its place: a new envelope, with a larger one
    unlocked = unlock(envelope.headers, keks, context)
    return rewrapped(unlocked, new_keks) * unlocked.header.copies + envelope.payload


def rewrap_header_record(data, keks, new_keks, context=None):
    """The same for a header that is kept for references."""
    return rewrapped(unlock((parse_header_record(data),), keks, context), new_keks)


def rewrap_in_place(data, keks, new_keks, context=None):
    """The writes (offset, bytes) of a rewrap in place, each to be synced before the next."""
    envelope = parse(data)
    unlocked = unlock(envelope.headers, keks, context)
    if unlocked.header.copies != 2:
        raise ValueError("an envelope with copies 1 is not rewrapped in place")
    place = unlocked.header.place
    new = rewrapped(unlocked, new_keks, place)

    # Of both copies one must be whole whatever becomes of the other, so a copy that fails
    # is mended before anything else. The DEK judges them, not their recipients: a rewrap
    # that was cut short leaves a good copy that this caller may not be able to unwrap.
    whole = unlocked.header.raw + unlocked.header.mac
    writes = []
    for offset in (0, place):
        if not copy_holds(data, offset, place, unlocked):
            writes.append((offset, whole))
    return [*writes, (place, new), (0, new)]


def copy_holds(data, offset, place, unlocked):
    try:
        header = parse_header(data, offset)
    except Malformed:
        return False
    if (header.copies, header.place) != (2, place):
        return False
    if header.stored_context not in (None, unlocked.context):
        return False
    return keys_if_held(header, unlocked.dek, unlocked.context) is not None


def rewrapped(unlocked, new_keks, place=None):
    """A new `header || mac`: other recipients, everything else as it was."""
    old = unlocked.header
    recipients = wrap_for(new_keks, unlocked.dek, unlocked.context)
    header = encode_header(
        old.suite, old.copies, old.commitment, recipients, old.fields, place
    )
    return header + header_mac(unlocked.keys, header)


def apply(data, writes):
    data = bytearray(data)
    for offset, piece in writes:
        data[offset : offset + len(piece)] = piece
    return bytes(data)
