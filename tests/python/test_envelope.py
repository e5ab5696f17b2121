"""Tests of envelope.py and keyring.py against themselves and the specifications they cite.

    python -m unittest test_envelope        (in this directory)
"""

import base64
import json
import os
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

import envelope
import keyring
from envelope import (
    CHUNKED,
    ONE_SHOT,
    STORED,
    Authentication,
    Malformed,
    Mismatch,
    NoHeader,
    NoMatchingKek,
    NoStoredContext,
    ReservedContext,
    TooLong,
    Unavailable,
    open_envelope,
    seal,
)

CONTEXT = {"tenant": "7", "größe": "ü \U0001f511", "empty": ""}
AAD = b"records/42"
SIZES = (0, 1, 16383, 16384, 16385, 40000)
KEY_ID_FIELD_AT = 42 + 1 + len("local")  # in an envelope whose first recipient is local


def new_keks(count=1):
    ring = keyring.create(*(f"key{i}" for i in range(count)))
    return [keyring.primary(ring, key.name) for key in ring.keys]


def flipped(data, at, mask=0x01):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


class ForeignKek:
    """A recipient of a scheme this reader does not know."""

    def __init__(self, key_id="elsewhere/1", length=60):
        self.scheme = "x-other"
        self.key_id = key_id
        self.length = length

    def wrap(self, dek, context):
        return os.urandom(self.length)

    def unwrap(self, wrapped, context):
        raise AssertionError("a recipient that is not allowed was unwrapped")


class CountingKek:
    """Passes on to another KEK and counts the unwrappings."""

    def __init__(self, kek):
        self.scheme, self.key_id, self.kek, self.calls = kek.scheme, kek.key_id, kek, 0

    def unwrap(self, wrapped, context):
        self.calls += 1
        return self.kek.unwrap(wrapped, context)


class FixedKek:
    """A KEK whose unwrapping gives one fixed result, or raises it."""

    def __init__(self, result, scheme="x-fixed", key_id="k"):
        self.result, self.scheme, self.key_id = result, scheme, key_id

    def wrap(self, dek, context):
        return b"wrapped"

    def unwrap(self, wrapped, context):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Primitives(unittest.TestCase):
    def test_xaes_vectors_of_the_specification(self):
        nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
        for key, aad, expected in (
            (b"\x01", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (b"\x03", b"c2sp.org/XAES-256-GCM",
             "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ):
            aead = envelope.xaes_256_gcm(key * 32, nonce)
            self.assertEqual(aead.encrypt(nonce[12:], b"XAES-256-GCM", aad).hex(), expected)

    def test_cobblestone_256_is_sha_512_and_aes_256_gcm(self):
        # C2SP chunked encryption once more, chunk by chunk, on HKDF-Expand and AES-GCM.
        key, plaintext = os.urandom(32), os.urandom(2 * 16384 + 5)
        payload = envelope.seal_payload(CHUNKED, key, plaintext, AAD)
        salt, commitment, chunks = payload[:24], payload[24:56], payload[56:]
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + AAD
        out = HKDFExpand(hashes.SHA512(), 32 + 12 + 32, info).derive(key)
        self.assertEqual(out[44:], commitment)
        base, opened = int.from_bytes(out[32:44], "big"), b""
        for number, at in enumerate(range(0, len(chunks), 16400)):
            nonce = (base ^ number).to_bytes(12, "big")
            opened += AESGCM(out[:32]).decrypt(nonce, chunks[at : at + 16400], None)
        self.assertEqual(opened, plaintext)

    def test_kwp_of_32_bytes_takes_40(self):
        kek, dek = os.urandom(32), os.urandom(32)
        wrapped = aes_key_wrap_with_padding(kek, dek)
        self.assertEqual(len(wrapped), 40)
        self.assertTrue(keyring.unwrap(kek, wrapped) == dek)
        for at in range(40):
            self.assertIsNone(keyring.unwrap(kek, flipped(wrapped, at)))
        self.assertIsNone(keyring.unwrap(os.urandom(32), wrapped))
        # 25 to 31 bytes take 40 too, and 32 bytes in another wrap are none of ours.
        self.assertIsNone(keyring.unwrap(kek, aes_key_wrap_with_padding(kek, dek[:31])))
        self.assertIsNone(keyring.unwrap(kek, aes_key_wrap_with_padding(kek, dek + b"x")))
        self.assertIsNone(keyring.unwrap(kek, wrapped[:39]))
        self.assertIsNone(keyring.unwrap(kek, b""))


class Context(unittest.TestCase):
    def test_none_and_empty_are_the_same(self):
        self.assertEqual(envelope.encode_context(None), b"\0\0")
        self.assertEqual(envelope.encode_context({}), b"\0\0")

    def test_is_sorted_by_the_bytes_of_the_keys(self):
        pairs = {"b": "2", "ä": "3", "a": "1", "aa": ""}
        encoded = envelope.encode_context(pairs)
        self.assertEqual(list(envelope.decode_context(encoded)), ["a", "aa", "b", "ä"])
        self.assertEqual(
            encoded,
            b"\0\4" b"\0\1a\0\0011" b"\0\2aa\0\0" b"\0\1b\0\0012" b"\0\2\xc3\xa4\0\0013",
        )

    def test_is_not_normalised(self):
        self.assertNotEqual(
            envelope.encode_context({"\u00e4": "1"}), envelope.encode_context({"a\u0308": "1"})
        )

    def test_limits(self):
        full = {f"{i:02}": "v" * 1006 for i in range(8)}  # 2 + 8 * (4 + 2 + 1006)
        full["last"] = "v" * (8192 - 2 - 8 * 1012 - 8)
        self.assertEqual(len(envelope.encode_context(full)), 8192)
        full["last"] += "v"
        for pairs in (
            full,
            {"": "v"},
            {"k" * 257: "v"},
            {"k": "v" * 1025},
            {"ä" * 129: "v"},
            {"k\n": "v"},
            {"k\x7f": "v"},
            {"k\x9f": "v"},
            {"libkms-branch": "v"},
            {"\ud800": "v"},
            {"k": "\ud800"},
            {"k": "v" * 70000},
        ):
            with self.subTest(pairs=str(pairs)[:40]), self.assertRaises(ValueError):
                envelope.encode_context(pairs)
        envelope.encode_context({"k" * 256: "v" * 1024, "n": "\0\n", "libkms": "", "\xa0": ""})

    def test_only_the_canonical_encoding_is_read(self):
        for encoded in (
            b"",
            b"\0",
            b"\0\0\0",
            b"\0\1",
            b"\0\1\0\1k\0\0\0",
            b"\0\1\0\1k\0\1",
            b"\0\1\0\0\0\0",
            b"\0\2\0\1b\0\0\0\1a\0\0",
            b"\0\2\0\1a\0\0\0\1a\0\0",
            b"\0\1\0\1\xff\0\0",
            b"\0\1\0\2\xc0\x80\0\0",
            b"\0\1\0\1k\0\1\xff",
            b"\0\1\0\1\x1f\0\0",
            b"\0\1\0\2\xc2\x85\0\0",
            b"\0\1\1\1" + b"k" * 257 + b"\0\0",
            b"\0\1\0\1k\4\1" + b"v" * 1025,
        ):
            with self.subTest(encoded=encoded[:12]), self.assertRaises(Malformed) as caught:
                envelope.decode_context(encoded)
            self.assertTrue(caught.exception.field.startswith("context"))


class RoundTrips(unittest.TestCase):
    def test_sizes_suites_copies_and_stored_contexts(self):
        keks = new_keks()
        for size in SIZES:
            for suite in (ONE_SHOT, CHUNKED):
                for copies in (1, 2):
                    for store in (False, True):
                        with self.subTest(size=size, suite=suite, copies=copies, store=store):
                            plaintext = os.urandom(size)
                            data = seal(plaintext, keks, suite=suite, context=CONTEXT, aad=AAD,
                                        copies=copies, store_context=store)
                            opened = open_envelope(data, keks, CONTEXT, AAD)
                            self.assertEqual(opened.plaintext, plaintext)
                            self.assertEqual(opened.context, CONTEXT)
                            self.assertEqual(opened.notes, ())

    def test_layout_of_a_small_envelope(self):
        kek = new_keks()[0]
        data = seal(b"hello", [kek], suite=ONE_SHOT)
        header_len = 42 + 1 + 5 + 2 + len(kek.key_id) + 2 + 40 + 2
        self.assertEqual(data[:10], b"KMSE\1\1\1\1" + header_len.to_bytes(2, "big"))
        self.assertEqual(data[42:48], b"\5local")
        self.assertEqual(len(data), header_len + 16 + 24 + 5 + 16)

    def test_default_copies(self):
        keks = new_keks()
        for size, copies in (((1 << 20) - 1, 1), (1 << 20, 2)):
            self.assertEqual(seal(bytes(size), keks)[6], copies)

    def test_several_recipients(self):
        first, second = new_keks(2)
        data = seal(b"x", [ForeignKek(), first, second])
        for kek in (first, second):
            self.assertEqual(open_envelope(data, [kek]).plaintext, b"x")

    def test_sixteen_recipients_and_no_more(self):
        keks = new_keks(17)
        self.assertEqual(open_envelope(seal(b"x", keks[:16]), keks[15:]).plaintext, b"x")
        for refused in (keks, []):
            with self.assertRaises(ValueError):
                seal(b"x", refused)

    def test_two_copies_take_the_least_place_or_the_one_asked_for(self):
        keks = new_keks()
        self.assertEqual(len(seal(b"", keks, copies=2)), 2 * 4096 + 72)
        for place in envelope.PLACES:
            data = seal(b"x", keks, copies=2, place=place)
            self.assertEqual(len(data), 2 * place + 73)
            self.assertEqual(open_envelope(data, keks).plaintext, b"x")
        wide = [ForeignKek(length=4000), *keks]
        self.assertEqual(len(seal(b"", wide, copies=2)), 2 * 8192 + 72)
        with self.assertRaises(TooLong):
            seal(b"", wide, copies=2, place=4096)

    def test_the_longest_header(self):
        kek = new_keks()[0]
        rest = 52 + (1 + 5 + 2 + len(kek.key_id) + 2 + 40) - 8
        rest += 2 * (1 + 7 + 2 + len("elsewhere/1") + 2)
        longest = envelope.MAX_HEADER_LEN - rest - 32768
        for copies in (1, 2):
            wide = [kek, ForeignKek(length=32768), ForeignKek(length=longest)]
            data = seal(b"x", wide, copies=copies)
            self.assertEqual(int.from_bytes(data[8:10], "big"), 65520)
            self.assertEqual(open_envelope(data, [kek]).plaintext, b"x")
            wide[2] = ForeignKek(length=longest + 1)
            with self.assertRaises(TooLong):
                seal(b"x", wide, copies=copies)

    def test_unknown_fields_from_0x80_on_are_skipped(self):
        keks = new_keks()
        data = seal(b"x", keks, context=CONTEXT, store_context=True,
                    fields=[(0x80, b""), (0xFF, b"later")])
        self.assertEqual(open_envelope(data, keks, STORED).plaintext, b"x")
        with self.assertRaises(ValueError):
            seal(b"x", keks, fields=[(0x7F, b"")])


class Refusals(unittest.TestCase):
    """What keys, contexts and alterations do (Readers 2 and 3)."""

    def test_wrong_context_and_aad(self):
        keks = new_keks()
        for suite in (ONE_SHOT, CHUNKED):
            for store in (False, True):
                data = seal(b"x", keks, suite=suite, context=CONTEXT, aad=AAD, store_context=store)
                for context, aad in ((None, AAD), ({"tenant": "8"}, AAD), (CONTEXT, b"")):
                    with self.assertRaises(Authentication):
                        open_envelope(data, keks, context, aad)

    def test_a_stored_context_that_differs_is_a_wrong_context(self):
        # Made by one who holds the DEK, so that commitment and mac agree.
        keks, dek = new_keks(), os.urandom(32)
        keys = envelope.derive(dek, CHUNKED, envelope.encode_context(CONTEXT))
        fields = [(1, envelope.encode_context({"tenant": "8"}))]
        recipients = envelope.wrap_for(keks, dek, b"")
        header = envelope.encode_header(CHUNKED, 1, keys.commitment, recipients, fields)
        data = header + envelope.header_mac(keys, header)
        data += envelope.seal_payload(CHUNKED, keys.payload, b"x", b"")
        for context in (CONTEXT, {"tenant": "8"}, STORED):
            with self.assertRaises(Authentication):
                open_envelope(data, keks, context)

    def test_stored_context(self):
        keks = new_keks()
        data = seal(b"x", keks, context=CONTEXT, store_context=True)
        self.assertEqual(open_envelope(data, keks, STORED).context, CONTEXT)
        with self.assertRaises(NoStoredContext):
            open_envelope(seal(b"x", keks, context=CONTEXT), keks, STORED)
        empty = seal(b"x", keks, store_context=True)
        for context in (STORED, None, {}):
            self.assertEqual(open_envelope(empty, keks, context).context, {})

    def test_reserved_context(self):
        keks, dek = new_keks(), os.urandom(32)
        encoded = b"\0\1\0\x0dlibkms-branch\0\1x"
        keys = envelope.derive(dek, CHUNKED, encoded)
        recipients = envelope.wrap_for(keks, dek, encoded)
        header = envelope.encode_header(CHUNKED, 1, keys.commitment, recipients, [(1, encoded)])
        data = header + envelope.header_mac(keys, header)
        data += envelope.seal_payload(CHUNKED, keys.payload, b"x", b"")
        with self.assertRaises(ReservedContext):
            open_envelope(data, keks, STORED)
        with self.assertRaises(ValueError):
            open_envelope(data, keks, {"libkms-branch": "x"})

    def test_only_allowed_recipients_are_unwrapped(self):
        kek, other = new_keks(2)
        data = seal(b"x", [ForeignKek(), kek])
        self.assertEqual(open_envelope(data, [kek, other]).plaintext, b"x")
        for allowed in ([other], [], [ForeignKek("elsewhere/2")], [ForeignKek("elsewhere/")]):
            with self.assertRaises(NoMatchingKek):
                open_envelope(data, allowed)

    def test_a_wrong_kek_of_the_right_name(self):
        for suite in (ONE_SHOT, CHUNKED):
            with self.assertRaises(Authentication):
                open_envelope(seal(b"x", new_keks(), suite=suite), new_keks())

    def test_the_next_recipient_is_tried_and_each_once(self):
        bad, good = new_keks(2)
        ring = keyring.create("key0")
        wrong = CountingKek(keyring.primary(ring, "key0"))
        data = seal(b"x", [bad, good], copies=2)
        self.assertEqual(open_envelope(data, [wrong, good]).plaintext, b"x")
        self.assertEqual(wrong.calls, 1)
        with self.assertRaises(Authentication):
            open_envelope(data, [wrong])
        self.assertEqual(wrong.calls, 2)

    def test_what_an_unwrapping_may_give(self):
        good = new_keks()[0]
        for result, error in (
            (os.urandom(32), Authentication),
            (os.urandom(31), Authentication),
            (os.urandom(33), Authentication),
            (b"", Authentication),
            (Authentication("no"), Authentication),
            (Unavailable("denied"), Unavailable),
        ):
            fixed = FixedKek(result)
            data = seal(b"x", [fixed, good])
            with self.assertRaises(error):
                open_envelope(data, [fixed])
            self.assertEqual(open_envelope(data, [fixed, good]).plaintext, b"x")

    def test_every_bit_of_a_small_envelope_counts(self):
        keks = new_keks()
        for suite in (ONE_SHOT, CHUNKED):
            data = seal(b"hello", keks, suite=suite, context=CONTEXT, store_context=True)
            header_len = int.from_bytes(data[8:10], "big")
            for at in range(len(data)):
                for bit in range(8):
                    refusals = (Malformed, Authentication, NoMatchingKek)
                    if at >= header_len:
                        refusals = Authentication  # past the header there is one error only
                    with self.assertRaises(refusals):
                        open_envelope(flipped(data, at, 1 << bit), keks, CONTEXT)

    def test_every_truncation_and_extension(self):
        keks = new_keks()
        for suite in (ONE_SHOT, CHUNKED):
            data = seal(b"hello", keks, suite=suite)
            for length in range(len(data)):
                refusal = Authentication if length >= len(data) - 5 else Malformed
                with self.assertRaises(refusal):
                    open_envelope(data[:length], keks)
            with self.assertRaises(Authentication):
                open_envelope(data + b"\0", keks)

    def test_truncation_between_chunks(self):
        keks = new_keks()
        data = seal(bytes(40000), keks)
        payload_at = int.from_bytes(data[8:10], "big") + 16
        for chunks in (1, 2):
            for more in (-1, 0, 1, 15, 16, 17):
                with self.assertRaises(Authentication):
                    open_envelope(data[: payload_at + 56 + chunks * 16400 + more], keks)

    def test_header_of_another_context_under_the_same_dek(self):
        keks, dek = new_keks(), os.urandom(32)
        one = seal(b"one", keks, context={"t": "1"}, dek=dek)
        two = seal(b"two", keks, context={"t": "2"}, dek=dek)
        at = int.from_bytes(one[8:10], "big") + 16
        swapped = two[:at] + one[at:]
        for context in ({"t": "1"}, {"t": "2"}):
            with self.assertRaises(Authentication):
                open_envelope(swapped, keks, context)

    def test_a_payload_of_the_other_suite(self):
        keks, dek = new_keks(), os.urandom(32)
        one_shot, chunked = (seal(bytes(99), keks, suite=s, dek=dek) for s in (ONE_SHOT, CHUNKED))
        at = int.from_bytes(one_shot[8:10], "big") + 16
        for swapped in (one_shot[:at] + chunked[at:], chunked[:at] + one_shot[at:]):
            with self.assertRaises(Authentication):
                open_envelope(swapped, keks)

    def test_two_records_of_one_dek_are_told_apart_by_aad(self):
        keks, dek = new_keks(), os.urandom(32)
        header = envelope.seal_header(dek, keks, suite=ONE_SHOT)
        record = envelope.seal_reference(dek, b"one", aad=b"1")
        with self.assertRaises(Authentication):
            envelope.open_reference(record, lambda _: header, keks, aad=b"2")


def raw_header(
    magic=b"KMSE",
    version=b"\1",
    suite=b"\2",
    copies=b"\1",
    count=b"\1",
    header_len=None,
    commitment=bytes(32),
    scheme=b"\5local",
    key_id=b"\0\3a/1",
    wrapped=b"\0\1w",
    more=b"",
    fields=b"\0\0",
    padding=b"",
):
    """A header of raw parts, any of which may be wrong."""
    body = commitment + scheme + key_id + wrapped + more + fields + padding
    if header_len is None:
        header_len = 10 + len(body)
    return magic + version + suite + copies + count + header_len.to_bytes(2, "big") + body


def field(kind, value=b""):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def all_fields(*fields):
    joined = b"".join(fields)
    return len(joined).to_bytes(2, "big") + joined


class Parser(unittest.TestCase):
    """Every refusal of Readers 1 that a header can earn, with the field it names."""

    REST = bytes(16 + 72)

    def refuse(self, name, data):
        with self.assertRaises(Malformed) as caught:
            envelope.parse(data)
        self.assertEqual(caught.exception.field, name)
        self.assertTrue(str(caught.exception).startswith(name + ": "))

    def test_what_passes(self):
        recipient = b"\5local\0\3a/1\0\1w"
        wide = b"\0\1w" + recipient * 15
        for parts in (
            {},
            {"suite": b"\1"},
            {"scheme": b"\x20" + b"az09-" * 6 + b"zz"},
            {"key_id": b"\4\0" + b"k" * 1024},
            {"key_id": b"\0\2\xc2\xa0"},
            {"key_id": b"\0\1 "},
            {"wrapped": b"\x80\0" + bytes(32768)},
            {"count": b"\x10", "wrapped": wide},
            {"fields": all_fields(field(1, b"\0\0"))},
            {"fields": all_fields(field(1, b"\0\0"), field(0x80), field(0xFF, bytes(999)))},
            {"fields": all_fields(field(0x80, bytes(8193)))},
        ):
            with self.subTest(parts=str(parts)[:60]):
                envelope.parse(raw_header(**parts) + self.REST)

    def test_the_fixed_part(self):
        for name, parts in (
            ("magic", {"magic": b"KMSR"}),
            ("magic", {"magic": b"kmse"}),
            ("version", {"version": b"\0"}),
            ("version", {"version": b"\2"}),
            ("suite", {"suite": b"\0"}),
            ("suite", {"suite": b"\3"}),
            ("copies", {"copies": b"\0"}),
            ("copies", {"copies": b"\3"}),
            ("recipients", {"count": b"\0"}),
            ("recipients", {"count": b"\x11"}),
            ("header_len", {"header_len": 65521, "fields": bytes(65535)}),
            ("header_len", {"header_len": 4079, "copies": b"\2", "padding": bytes(4096)}),
            ("header_len", {"header_len": 65520}),
            ("commitment", {"header_len": 0}),
            ("commitment", {"header_len": 41}),
            ("scheme", {"header_len": 42}),
            ("fields", {"count": b"\1", "header_len": 57}),
            ("padding", {"padding": b"\0"}),
            ("scheme", {"count": b"\2"}),
        ):
            with self.subTest(name=name, parts=str(parts)[:40]):
                self.refuse(name, raw_header(**parts) + self.REST)

    def test_recipients(self):
        for name, parts in (
            ("scheme", {"scheme": b"\0"}),
            ("scheme", {"scheme": b"\x21" + b"a" * 33}),
            ("scheme", {"scheme": b"\5Local"}),
            ("scheme", {"scheme": b"\5lo_al"}),
            ("scheme", {"scheme": b"\5lo\xc3\xa9l"}),
            ("scheme", {"scheme": b"\5loc\0l"}),
            ("key_id", {"key_id": b"\0\0"}),
            ("key_id", {"key_id": b"\4\1" + b"k" * 1025}),
            ("key_id", {"key_id": b"\0\1\xff"}),
            ("key_id", {"key_id": b"\0\2\xc0\xaf"}),
            ("key_id", {"key_id": b"\0\3\xed\xa0\x80"}),
            ("key_id", {"key_id": b"\0\1\n"}),
            ("key_id", {"key_id": b"\0\1\x7f"}),
            ("key_id", {"key_id": b"\0\2\xc2\x80"}),
            ("key_id", {"key_id": b"\3\xff"}),
            ("wrapped", {"wrapped": b"\0\0"}),
            ("wrapped", {"wrapped": b"\x80\1" + bytes(32769)}),
            ("wrapped", {"wrapped": b"\x7f\xff"}),
        ):
            with self.subTest(name=name, parts=str(parts)[:40]):
                self.refuse(name, raw_header(**parts) + self.REST)

    def test_fields(self):
        for name, fields in (
            ("fields", b"\0\1\x80"),
            ("fields", b"\0\4" + field(0x80, b"12")),
            ("fields", b"\0\4" + field(0x80)),
            ("fields", b"\xff\xff"),
            ("fields", all_fields(field(0x00))),
            ("fields", all_fields(field(0x02))),
            ("fields", all_fields(field(0x7F))),
            ("fields", all_fields(field(0x80), field(0x80))),
            ("fields", all_fields(field(0x81), field(0x80))),
            ("fields", all_fields(field(0x80), field(1, b"\0\0"))),
            ("fields", all_fields(field(1, b"\0\0"), field(1, b"\0\0"))),
            ("context count", all_fields(field(1))),
            ("context", all_fields(field(1, b"\0\0\0"))),
            ("context key", all_fields(field(1, b"\0\1\0\0\0\0"))),
            ("context key", all_fields(field(1, b"\0\2\0\1b\0\0\0\1a\0\0"))),
            ("context value", all_fields(field(1, b"\0\1\0\1k\0\1\xff"))),
            ("context", all_fields(field(1, b"\0\0" + bytes(8191)))),
        ):
            with self.subTest(name=name, fields=fields[:20]):
                self.refuse(name, raw_header(fields=fields) + self.REST)

    def test_the_end(self):
        header = raw_header()
        self.refuse("mac", header)
        self.refuse("mac", header + bytes(15))
        self.refuse("payload", header + bytes(16 + 71))
        envelope.parse(header + bytes(16 + 72))
        header = raw_header(suite=b"\1")
        self.refuse("payload", header + bytes(16 + 39))
        envelope.parse(header + bytes(16 + 40))

    def test_padding_of_two_copies(self):
        length = 4080 - len(raw_header())
        header = raw_header(copies=b"\2", padding=bytes(length))
        self.assertEqual(len(envelope.parse((header + bytes(16)) * 2 + bytes(72)).headers), 2)
        for at in (0, length // 2, length - 1):
            bad = flipped(header, len(header) - length + at)
            self.refuse("padding", (bad + bytes(16)) * 2 + bytes(72))
        # A header that fills its place to the last byte has no padding at all.
        full = raw_header(copies=b"\2", fields=all_fields(field(0x80, bytes(length - 3))))
        self.assertEqual(len(full), 4080)
        self.assertEqual(len(envelope.parse((full + bytes(16)) * 2 + bytes(72)).headers), 2)


class TwoCopies(unittest.TestCase):
    """Readers 5."""

    def setUp(self):
        self.keks = new_keks()
        self.data = seal(b"hello", self.keks, copies=2, context=CONTEXT, store_context=True)

    def open(self, data):
        return open_envelope(data, self.keks, CONTEXT)

    def test_a_damaged_copy_is_told_and_the_other_one_opens(self):
        # Beginnings first, then samples. Byte 4 is the version, 5 the suite, 10 to 41 the
        # commitment: see the tests below.
        sample = [0, 3, 6, 7, 8, 9, 42, 43, 48, *range(50, 4096, 61), 4095]
        for start in (0, 4096):
            for at in sample:
                for mask in (0x01, 0xFF):
                    opened = self.open(flipped(self.data, start + at, mask))
                    self.assertEqual(opened.plaintext, b"hello")
                    self.assertEqual(len(opened.notes), 1)
                    self.assertRegex(opened.notes[0], "copy is lost|copies differ")

    def test_a_copy_that_is_gone(self):
        gone = bytes(4096)
        opened = self.open(gone + self.data[4096:])
        self.assertIn("first copy is lost", opened.notes[0])
        opened = self.open(self.data[:4096] + gone + self.data[8192:])
        self.assertIn("second copy is lost", opened.notes[0])
        with self.assertRaises(Malformed) as caught:
            self.open(gone + gone + self.data[8192:])
        self.assertEqual(caught.exception.field, "magic")

    def test_the_second_copy_is_sought_at_every_place(self):
        for place in envelope.PLACES:
            data = seal(b"x", self.keks, copies=2, place=place)
            opened = open_envelope(os.urandom(place) + data[place:], self.keks)
            self.assertEqual(opened.plaintext, b"x")

    def test_the_second_copy_is_sought_nowhere_else(self):
        copy, payload = self.data[:4096], self.data[8192:]
        for gap in (4095, 4097, 8192, 12288):
            with self.assertRaises(Malformed):
                self.open(bytes(gap) + copy + payload)
        # Behind a well-formed first copy of 4096 bytes no copy of 8192 is a second one.
        wide = seal(b"hello", self.keks, copies=2, place=8192)[:8192]
        self.assertIn("second copy is lost", envelope.parse(copy + wide + bytes(72)).notes[0])

    def test_the_first_that_says_so_of_itself_is_taken(self):
        # At 4096 a header that claims 8192 does not stand where it says; the one at 8192 does.
        data = seal(b"x", self.keks, copies=2, place=8192)
        inner = data[:4096]
        data = bytes(4096) + inner + data[8192:]
        self.assertEqual(open_envelope(data, self.keks).plaintext, b"x")

    def test_a_second_copy_that_says_copies_1_is_lost(self):
        length = 4080 - len(raw_header())
        filled = all_fields(field(0x80, bytes(length - 3)))
        one, two = (raw_header(copies=c, fields=filled) + bytes(16) for c in (b"\1", b"\2"))
        parsed = envelope.parse(two + one + bytes(72))
        self.assertEqual(len(parsed.headers), 1)
        self.assertIn("second copy is lost: copies", parsed.notes[0])

    def test_no_copy_behind_a_well_formed_header_with_copies_1(self):
        single = seal(b"x", self.keks, context=CONTEXT)
        single = flipped(single, int.from_bytes(single[8:10], "big"))  # its mac
        data = single.ljust(4096, b"\0") + self.data[4096:]
        with self.assertRaises(Authentication):
            self.open(data)

    def test_no_copy_behind_another_version(self):
        with self.assertRaises(Malformed) as caught:
            self.open(flipped(self.data, 4, 0x03))
        self.assertEqual(caught.exception.field, "version")
        # In the second copy another version is damage like any other.
        self.assertEqual(self.open(flipped(self.data, 4096 + 4, 0x03)).plaintext, b"hello")

    def test_copies_that_disagree_are_refused(self):
        other = seal(b"other", self.keks, copies=2, context=CONTEXT)
        one_shot = seal(b"other", self.keks, copies=2, context=CONTEXT, suite=ONE_SHOT)
        for second in (other, one_shot):
            for first, payload in ((self.data, self.data), (self.data, second)):
                with self.assertRaises(Mismatch):
                    self.open(first[:4096] + second[:4096] + payload[8192:])
        for start in (0, 4096):
            for at in (5, 10, 41):
                mask = 0x03 if at == 5 else 0x01
                with self.assertRaises(Mismatch):
                    self.open(flipped(self.data, start + at, mask))

    def test_either_of_two_good_copies_will_do(self):
        dek, (one, two) = os.urandom(32), new_keks(2)
        first, second = (seal(b"x", [kek], copies=2, dek=dek) for kek in (one, two))
        data = first[:4096] + second[4096:]
        for kek in (one, two):
            opened = open_envelope(data, [kek])
            self.assertEqual((opened.plaintext, opened.notes), (b"x", ("the copies differ",)))
        with self.assertRaises(NoMatchingKek):
            open_envelope(data, new_keks(3)[2:])

    def test_an_unwrapping_is_not_repeated_for_the_second_copy(self):
        counting = CountingKek(self.keks[0])
        data = flipped(self.data, 4095)  # the first mac
        open_envelope(data, [counting], CONTEXT)
        self.assertEqual(counting.calls, 1)

    def test_truncations(self):
        for length in (0, 4, 4095, 4096, 4097, 8191, 8192, 8192 + 71):
            with self.assertRaises(Malformed):
                self.open(self.data[:length])
        with self.assertRaises(Authentication):
            self.open(self.data[:-1])


class Rewrapping(unittest.TestCase):
    def setUp(self):
        self.old, self.new = ([kek] for kek in new_keks(2))

    def check(self, before, after):
        """Everything but the recipients keeps every byte."""
        old, new = envelope.parse(before), envelope.parse(after)
        for name in ("suite", "copies", "commitment", "fields"):
            for header in new.headers:
                self.assertEqual(getattr(header, name), getattr(old.headers[0], name))
        self.assertEqual(new.payload, old.payload)
        self.assertEqual(new.notes, ())
        self.assertEqual(open_envelope(after, self.new, CONTEXT, AAD).plaintext, b"hello")
        with self.assertRaises(NoMatchingKek):
            open_envelope(after, self.old, CONTEXT, AAD)

    def test_all_forms(self):
        for suite in (ONE_SHOT, CHUNKED):
            for copies in (1, 2):
                for store in (False, True):
                    data = seal(b"hello", self.old, suite=suite, copies=copies, context=CONTEXT,
                                aad=AAD, store_context=store, fields=[(0x90, b"kept")])
                    after = envelope.rewrap(data, self.old, self.new, CONTEXT)
                    self.check(data, after)
                    if copies == 2:
                        self.assertEqual(len(after), len(data))

    def test_with_the_stored_context(self):
        data = seal(b"hello", self.old, context=CONTEXT, aad=AAD, store_context=True)
        self.check(data, envelope.rewrap(data, self.old, self.new, STORED))

    def test_too_long_for_its_place(self):
        data = seal(b"hello", self.old, copies=2, context=CONTEXT, aad=AAD)
        wide = [ForeignKek(length=5000), *self.new]
        with self.assertRaises(TooLong):
            envelope.rewrap_in_place(data, self.old, wide, CONTEXT)
        after = envelope.rewrap(data, self.old, wide, CONTEXT)
        self.assertEqual(len(after) - len(data), 2 * 4096)
        self.check(data, after)

    def test_a_larger_place_is_kept(self):
        data = seal(b"hello", self.old, copies=2, place=16384, context=CONTEXT, aad=AAD)
        after = envelope.rewrap(data, self.old, self.new, CONTEXT)
        self.assertEqual(len(after), len(data))
        self.check(data, after)

    def test_wrong_context(self):
        for copies in (1, 2):
            data = seal(b"hello", self.old, copies=copies, context=CONTEXT)
            with self.assertRaises(Authentication):
                envelope.rewrap(data, self.old, self.new)

    def test_at_every_moment_one_copy_is_whole(self):
        data = seal(b"hello", self.old, copies=2, context=CONTEXT, aad=AAD)
        damages = [
            data,
            flipped(data, 4090),  # the first mac
            flipped(data, 2000),  # the first padding
            flipped(data, 4096),  # the second magic
            flipped(data, 4096 + 60),
        ]
        for state in damages:
            writes = envelope.rewrap_in_place(state, self.old, self.new, CONTEXT)
            self.assertEqual(len(writes), 2 if state is data else 3)
            for offset, piece in writes:
                for cut in (1, 50, 100, 4095):
                    torn = envelope.apply(state, [(offset, piece[:cut])])
                    opened = open_envelope(torn, self.old + self.new, CONTEXT, AAD)
                    self.assertEqual(opened.plaintext, b"hello")
                state = envelope.apply(state, [(offset, piece)])
            self.check(data, state)

    def test_a_rewrap_that_was_cut_short_is_finished_with_either_kek(self):
        data = seal(b"hello", self.old, copies=2, context=CONTEXT, aad=AAD)
        writes = envelope.rewrap_in_place(data, self.old, self.new, CONTEXT)
        half = envelope.apply(data, writes[:1])
        for keks in (self.old, self.new):
            self.check(data, envelope.rewrap(half, keks, self.new, CONTEXT))

    def test_one_copy_is_not_rewrapped_in_place(self):
        with self.assertRaises(ValueError):
            envelope.rewrap_in_place(seal(b"hello", self.old), self.old, self.new)

    def test_copies_that_disagree_are_not_rewrapped(self):
        one, two = (seal(b"hello", self.old, copies=2) for _ in range(2))
        with self.assertRaises(Mismatch):
            envelope.rewrap(one[:4096] + two[4096:], self.old, self.new)


class References(unittest.TestCase):
    def setUp(self):
        self.keks, self.dek, self.headers = new_keks(), os.urandom(32), {}
        for suite in (ONE_SHOT, CHUNKED):
            record = envelope.seal_header(self.dek, self.keks, suite=suite, context=CONTEXT)
            self.headers[envelope.parse_header_record(record).commitment] = record

    def seal(self, plaintext, suite=ONE_SHOT):
        return envelope.seal_reference(
            self.dek, plaintext, suite=suite, context=CONTEXT, aad=AAD
        )

    def open(self, record, fetch=None):
        fetch = fetch or self.headers.get
        return envelope.open_reference(record, fetch, self.keks, CONTEXT, AAD).plaintext

    def test_round_trips(self):
        for size in SIZES:
            plaintext = os.urandom(size)
            for suite in (ONE_SHOT, CHUNKED):
                record = self.seal(plaintext, suite)
                self.assertEqual(self.open(record), plaintext)
            self.assertEqual(len(self.seal(plaintext)), size + 78)

    def test_refusals_of_the_record(self):
        record = self.seal(b"")
        for name, data in (
            ("magic", b"KMSE" + record[4:]),
            ("version", flipped(record, 4, 0x03)),
            ("suite", flipped(record, 5, 0x02)),
            ("payload", record[:-1]),
            ("payload", record[:38]),
            ("commitment", record[:37]),
            ("suite", record[:5]),
            ("magic", b""),
        ):
            with self.subTest(name=name), self.assertRaises(Malformed) as caught:
                self.open(data)
            self.assertEqual(caught.exception.field, name)
        for at in range(38, len(record)):
            with self.assertRaises(Authentication):
                self.open(flipped(record, at))
        with self.assertRaises(NoHeader):
            self.open(flipped(record, 20))
        with self.assertRaises(Malformed):
            envelope.parse(record)

    def test_refusals_of_the_header(self):
        record = self.seal(b"x")
        commitment = envelope.parse_reference(record).commitment
        header = self.headers[commitment]
        one_shot_of_another = envelope.seal_header(os.urandom(32), self.keks, suite=ONE_SHOT)
        chunked = next(h for c, h in self.headers.items() if c != commitment)
        two = envelope.seal_header(self.dek, self.keks, suite=ONE_SHOT, context=CONTEXT, copies=2)
        for name, fetched in (
            ("copies", two),
            ("mac", header + b"\0"),
            ("mac", header[:-1]),
            ("suite", chunked),
            ("commitment", one_shot_of_another),
        ):
            with self.subTest(name=name), self.assertRaises(Malformed) as caught:
                self.open(record, lambda _, fetched=fetched: fetched)
            self.assertEqual(caught.exception.field, name)
        with self.assertRaises(Authentication):
            self.open(record, lambda _: flipped(header, len(header) - 1))

    def test_a_rewrap_changes_the_header_alone(self):
        record = self.seal(b"x")
        commitment = envelope.parse_reference(record).commitment
        old, self.keks = self.keks, new_keks(2)[1:]
        header = envelope.rewrap_header_record(self.headers[commitment], old, self.keks, CONTEXT)
        self.assertEqual(self.open(record, {commitment: header}.get), b"x")


class Keyring(unittest.TestCase):
    # The least that the page allows, which no writer takes but every reader must.
    LEAST = {"m": 19456, "t": 1, "p": 1}

    def setUp(self):
        self.ring = keyring.create("orders", "a._-Z9")
        self.ring.keys[0].versions.append(keyring.new_version(2))
        self.ring.keys[0].primary = 2

    def entry(self):
        return json.loads(keyring.dumps(self.ring))

    def loads(self, entry, passphrase=None):
        return keyring.loads(json.dumps(entry).encode(), passphrase)

    def refuse(self, entry, passphrase=None):
        with self.assertRaises(keyring.KeyringError):
            self.loads(entry, passphrase)

    def test_round_trip(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ring.json")
            keyring.write(path, self.ring)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(keyring.read(path), self.ring)
            with self.assertRaises(FileExistsError):
                keyring.write(path, self.ring)
            path.chmod(0o640)
            with self.assertRaises(keyring.KeyringError):
                keyring.read(path)

    def test_round_trip_with_passphrase(self):
        passphrase = "Paßwort \U0001f511"
        data = keyring.dumps(self.ring, passphrase)
        kdf = json.loads(data)["kdf"]
        self.assertEqual({n: kdf[n] for n in ("name", "m", "t", "p")},
                         {"name": "argon2id", "m": 65536, "t": 3, "p": 4})
        self.assertEqual(keyring.loads(data, passphrase), self.ring)
        for wrong in ("Passwort \U0001f511", None):
            with self.assertRaises(keyring.KeyringError):
                keyring.loads(data, wrong)
        self.refuse(self.entry(), passphrase)

    def with_passphrase(self, cost, salt):
        k_pass = keyring.passphrase_key("p", cost, salt)
        kdf = {"name": "argon2id", **cost, "salt": base64.b64encode(salt).decode()}
        entry = self.entry()
        for key in entry["keys"]:
            for version in key["versions"]:
                kek = keyring.material_key(k_pass, key["name"], version["version"])
                material = base64.b64decode(version["material"])
                wrapped = aes_key_wrap_with_padding(kek, material)
                version["material"] = base64.b64encode(wrapped).decode()
        return {**entry, "kdf": kdf}

    def test_other_costs_and_salts(self):
        for salt in (os.urandom(16), os.urandom(64)):
            for cost in (self.LEAST, {**self.LEAST, "t": 2, "p": 3}):
                self.assertEqual(self.loads(self.with_passphrase(cost, salt), "p"), self.ring)

    def test_materials_are_bound_to_name_and_version(self):
        entry = self.with_passphrase(self.LEAST, os.urandom(16))
        orders, other = (key["versions"] for key in entry["keys"])
        for one, two in ((orders[0], orders[1]), (orders[0], other[0])):
            one["material"], two["material"] = two["material"], one["material"]
            self.refuse(entry, "p")
            one["material"], two["material"] = two["material"], one["material"]
        self.loads(entry, "p")

    def test_refused_kdfs(self):
        entry = self.with_passphrase(self.LEAST, os.urandom(16))
        salt = entry["kdf"]["salt"]
        for change in (
            {"name": "argon2i"},
            {"m": 19455},
            {"m": 4194305},
            {"t": 0},
            {"t": 65},
            {"p": 0},
            {"p": 65},
            {"m": 19456.0},
            {"t": True},
            {"salt": base64.b64encode(bytes(15)).decode()},
            {"salt": base64.b64encode(bytes(65)).decode()},
            {"salt": salt.rstrip("=")},
            {"salt": None},
            {"more": 1},
        ):
            # By name, since a changed kdf gives another key and so would be refused anyway.
            named = "unknown" if "more" in change else next(iter(change))
            with self.subTest(change=change):
                with self.assertRaisesRegex(keyring.KeyringError, named):
                    self.loads({**entry, "kdf": {**entry["kdf"], **change}}, "p")
        for missing in entry["kdf"]:
            kdf = {n: v for n, v in entry["kdf"].items() if n != missing}
            self.refuse({**entry, "kdf": kdf}, "p")
        self.refuse({**entry, "kdf": None}, "p")

    def test_refused_files(self):
        good = keyring.dumps(self.ring)
        for data in (
            b"",
            b"[]",
            b"null",
            b"\xef\xbb\xbf" + good,
            good.decode().encode("utf-16"),
            good + b"x",
            good.replace(b'"orders"', b'"orders\xff"'),
            good.replace(b'"format"', b'"format": "libkms-keyring/1", "format"', 1),
            good.replace(b'"state"', b'"state": "enabled", "state"', 1),
            good.replace(b'"primary": 2', b'"primary": 2, "primary": 1'),
            good.replace(b'"primary": 2', b'"primary": 2.0'),
            good.replace(b'"primary": 2', b'"primary": 2e0'),
            good.replace(b'"primary": 2', b'"primary": 02'),
            good.replace(b'"primary": 2', b'"primary": NaN'),
            good.replace(b'"primary": 2', b'"primary": ' + b"1" * 5000),
            b"[" * 100000,
        ):
            with self.subTest(data=data[:20]), self.assertRaises(keyring.KeyringError):
                keyring.loads(data)

    def test_refused_members(self):
        entry = self.entry()
        self.refuse({**entry, "format": "libkms-keyring/2"})
        self.refuse({**entry, "more": 1})
        self.refuse({"format": entry["format"]})
        self.refuse({"keys": entry["keys"]})
        self.refuse({**entry, "keys": {}})
        for change in (
            {"name": ""},
            {"name": "n" * 65},
            {"name": "a/b"},
            {"name": "a\n"},
            {"name": "ä"},
            {"name": 1},
            {"name": "a._-Z9"},
            {"primary": 3},
            {"primary": "2"},
            {"primary": True},
            {"primary": None},
            {"versions": []},
            {"versions": {}},
            {"more": 1},
        ):
            with self.subTest(change=change):
                keys = [{**entry["keys"][0], **change}, entry["keys"][1]]
                self.refuse({**entry, "keys": keys})
        for missing in entry["keys"][0]:
            keys = [{n: v for n, v in entry["keys"][0].items() if n != missing}]
            self.refuse({**entry, "keys": keys})

    def test_refused_versions(self):
        entry = self.entry()
        key = entry["keys"][0]
        one, two = key["versions"]
        material = one["material"]
        for change in (
            {"version": 0},
            {"version": 2},
            {"version": 2**31},
            {"version": -1},
            {"version": "1"},
            {"version": True},
            {"created": "yesterday"},
            {"created": "2026-02-30T00:00:00Z"},
            {"created": "2026-01-01T24:00:00Z"},
            {"created": "2026-01-01T00:00:00"},
            {"created": "2026-01-01 00:00:00Z"},
            {"created": 0},
            {"state": "Enabled"},
            {"state": "destroyed"},
            {"state": None},
            {"state": []},
            {"material": None},
            {"material": ""},
            {"material": material.rstrip("=")},
            {"material": material + "\n"},
            {"material": material[:8] + "\n" + material[8:]},
            {"material": "-_" + material[2:]},
            {"material": "A" * 42 + "B="},  # spare bits that are not zero
            {"material": base64.b64encode(bytes(31)).decode()},
            {"material": base64.b64encode(bytes(40)).decode()},
            {"more": 1},
        ):
            with self.subTest(change=str(change)[:30]):
                self.refuse({**entry, "keys": [{**key, "versions": [{**one, **change}, two]}]})
        for missing in one:
            less = {n: v for n, v in one.items() if n != missing}
            self.refuse({**entry, "keys": [{**key, "versions": [less, two]}]})

    def test_accepted_versions(self):
        entry = self.entry()
        key = entry["keys"][0]
        one, two = key["versions"]
        destroyed = {n: v for n, v in one.items() if n != "material"}
        for version in (
            {**one, "version": 2**31 - 1},
            {**one, "state": "disabled"},
            {**destroyed, "state": "destroyed"},
            {**one, "created": "2026-01-01T00:00:60.123+02:00"},
            {**one, "created": "2024-02-29t00:00:00z"},
        ):
            self.loads({**entry, "keys": [{**key, "versions": [version, two]}]})
        self.loads({**entry, "keys": []})

    def test_writers_refuse_what_readers_do(self):
        for damage in ({"primary": 7}, {"name": "a b"}, {"versions": []}):
            ring = keyring.create("orders")
            for name, value in damage.items():
                setattr(ring.keys[0], name, value)
            for passphrase in (None, "p"):
                with self.assertRaises(keyring.KeyringError):
                    keyring.dumps(ring, passphrase)

    def test_key_ids_and_rotation(self):
        keks = keyring.keks(self.ring, "orders")
        self.assertEqual([kek.key_id for kek in keks], ["orders/1", "orders/2"])
        self.assertEqual(keyring.primary(self.ring, "orders").key_id, "orders/2")
        old = seal(b"x", keks[:1])
        self.assertEqual(open_envelope(old, keks).plaintext, b"x")
        with self.assertRaises(NoMatchingKek):
            open_envelope(old, keks[1:])
        with self.assertRaises(keyring.KeyringError):
            keyring.keks(self.ring, "order")

    def test_disabled_and_destroyed_versions(self):
        kek = keyring.keks(self.ring, "orders")[0]
        data = seal(b"x", [kek])
        version = self.ring.keys[0].versions[0]
        for state, material in (("disabled", version.material), ("destroyed", None)):
            version.state, version.material = state, material
            with self.assertRaises(Unavailable):
                open_envelope(data, [kek])
            with self.assertRaises(keyring.KeyringError):
                seal(b"x", [kek])


if __name__ == "__main__":
    unittest.main()
