"""Exchanges envelopes and keyrings between the command line program and this reader.

    KMS_PROGRAM=path/to/kms python -m unittest test_program    (in this directory)

Without KMS_PROGRAM everything here is skipped; with one that cannot be run, it fails.
"""

import itertools
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import envelope
import keyring
from envelope import CHUNKED, ONE_SHOT, STORED, seal

PROGRAM = os.environ.get("KMS_PROGRAM")
SIZES = (0, 1, 16383, 16384, 16385, 100000, (1 << 20) + 5)

# Context and aad. The second and third are given in an order that is not the sorted one.
CASES = (
    ({}, None),
    ({"tenant": "7", "purpose": "backup"}, "records/42"),
    ({"ключ": "значение", "größe": "ü \U0001f511", "empty": "", "equation": "a=b"}, "Straße"),
    ({"k" * 256: "v" * 1024}, ""),
)
CONTEXT, AAD = CASES[1]

PASSPHRASE = "päss phrase \U0001f511"


def flipped(data, at, mask=0x01):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def header_and_mac_len(data):
    return int.from_bytes(data[8:10], "big") + envelope.MAC_LEN


class ForeignKek:
    """A recipient of a scheme that the program does not know."""

    scheme = "x-other"
    key_id = "elsewhere/1"

    def wrap(self, dek, context):
        return os.urandom(60)


@unittest.skipUnless(PROGRAM, "KMS_PROGRAM, the path of the command line program, is not set")
class ProgramTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = Path(PROGRAM).resolve()
        if not cls.program.is_file() or not os.access(cls.program, os.X_OK):
            raise AssertionError(f"KMS_PROGRAM is no program: {PROGRAM}")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.ring_path = cls.folder / "ring.json"
        cls.run_program("keyring", "create", cls.ring_path, "--key", "orders").check_returncode()
        cls.keks = keyring.keks(keyring.read(cls.ring_path), "orders")
        cls.uri = f"local:{cls.ring_path}#orders"
        cls.numbers = itertools.count()

    @classmethod
    def run_program(cls, *arguments, stdin=None):
        # Arguments as UTF-8, whatever the locale. With no input the program cannot ask.
        command = [str(argument).encode() for argument in (cls.program, *arguments)]
        # Nor on the terminal of whoever runs the tests: a session of its own has none.
        source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(command, capture_output=True, timeout=120, start_new_session=True,
                              env={**os.environ, "PASSPHRASE": PASSPHRASE}, **source)

    def succeed(self, *arguments, stdin=None):
        result = self.run_program(*arguments, stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr.decode(errors="replace"))
        return result

    def fail_told(self, *arguments, stdin=None):
        """The program refuses: it says why, releases nothing and does not crash."""
        result = self.run_program(*arguments, stdin=stdin)
        self.assertGreater(result.returncode, 0)
        self.assertNotIn(b"panicked", result.stderr)
        self.assertNotEqual(result.stderr.strip(), b"")
        self.assertEqual(result.stdout, b"")
        return result

    def new_path(self):
        return self.folder / f"file{next(self.numbers)}"

    def file(self, data):
        path = self.new_path()
        path.write_bytes(data)
        return path

    def options(self, context=None, aad=None):
        options = ["--kek", self.uri]
        for key, value in (context or {}).items():
            options += ["--context", f"{key}={value}"]
        return options + ([] if aad is None else ["--aad", aad])

    def program_opens(self, data, plaintext, *options):
        """From a file to a file, and from stdin to stdout."""
        out = self.new_path()
        from_file = self.succeed("open", self.file(data), "-o", out, *options)
        self.assertEqual(from_file.stdout, b"")
        self.assertTrue(out.read_bytes() == plaintext)
        from_stdin = self.succeed("open", "-", *options, stdin=data)
        self.assertTrue(from_stdin.stdout == plaintext)
        return from_stdin.stderr

    def program_refuses(self, data, *options):
        out = self.new_path()
        self.fail_told("open", self.file(data), "-o", out, *options)
        self.assertFalse(out.exists(), "the output of a refused envelope was left behind")
        return self.fail_told("open", "-", *options, stdin=data).stderr


class ProgramSeals(ProgramTest):
    def test_sizes_copies_contexts_and_aads(self):
        for size, copies, (context, aad) in itertools.product(SIZES, (1, 2), CASES):
            with self.subTest(size=size, copies=copies, context=len(context)):
                plaintext, out = os.urandom(size), self.new_path()
                self.succeed("seal", self.file(plaintext), "-o", out, "--copies", copies,
                             *self.options(context, aad))
                self.check(out.read_bytes(), plaintext, copies, context, aad)

    def check(self, data, plaintext, copies, context, aad):
        header = envelope.parse(data).headers[0]
        self.assertEqual((header.suite, header.copies), (CHUNKED, copies))
        self.assertEqual(header.recipients[0].scheme, "local")
        self.assertEqual(header.recipients[0].key_id, "orders/1")
        self.assertEqual(len(header.recipients[0].wrapped), 40)
        stored = envelope.encode_context(context)
        # An empty context may be stored or not: it is the same.
        self.assertIn(header.stored_context, (stored,) if context else (stored, None))
        aad = (aad or "").encode()
        opened = envelope.open_envelope(data, self.keks, context, aad)
        self.assertTrue(opened.plaintext == plaintext)
        self.assertEqual(opened.notes, ())
        if context:
            opened = envelope.open_envelope(data, self.keks, STORED, aad)
            self.assertEqual(opened.context, context)

    def test_default_copies(self):
        for size, copies in ((100000, 1), ((1 << 20) - 1, 1), (1 << 20, 2), (SIZES[-1], 2)):
            path = self.file(os.urandom(size))
            self.succeed("seal", path, *self.options())
            data = Path(f"{path}.kms").read_bytes()
            self.check(data, path.read_bytes(), copies, {}, None)
        sealed = self.succeed("seal", "-", *self.options(CONTEXT, AAD), stdin=b"hello")
        self.check(sealed.stdout, b"hello", 2, CONTEXT, AAD)
        sealed = self.succeed("seal", "-", "--copies", 1, *self.options(), stdin=b"hello")
        self.check(sealed.stdout, b"hello", 1, {}, None)

    def test_nothing_is_overwritten_without_force(self):
        path, there = self.file(b"new"), self.file(b"there")
        self.fail_told("seal", path, "-o", there, *self.options())
        self.assertEqual(there.read_bytes(), b"there")
        self.succeed("seal", path, "-o", there, "--force", *self.options())
        self.check(there.read_bytes(), b"new", 1, {}, None)

    def test_no_caller_names_a_reserved_key(self):
        self.fail_told("seal", "-", *self.options({"libkms-branch": "x"}), stdin=b"")

    def test_salt_and_dek_are_fresh(self):
        one, two = (self.succeed("seal", "-", "--copies", 1, *self.options(), stdin=b"hello")
                    for _ in range(2))
        one, two = envelope.parse(one.stdout), envelope.parse(two.stdout)
        self.assertNotEqual(one.headers[0].commitment, two.headers[0].commitment)
        self.assertNotEqual(one.payload[:24], two.payload[:24])


class ProgramOpens(ProgramTest):
    def test_sizes_suites_copies_contexts_and_aads(self):
        grid = itertools.product(SIZES, (ONE_SHOT, CHUNKED), (1, 2), CASES)
        for store, (size, suite, copies, (context, aad)) in zip(itertools.cycle((0, 1)), grid):
            with self.subTest(size=size, suite=suite, copies=copies, context=len(context)):
                plaintext = os.urandom(size)
                data = seal(plaintext, self.keks, suite=suite, copies=copies, context=context,
                            aad=(aad or "").encode(), store_context=bool(store))
                self.program_opens(data, plaintext, *self.options(context, aad))

    def test_stored_context(self):
        data = seal(b"hello", self.keks, context=CONTEXT, store_context=True)
        self.program_opens(data, b"hello", "--stored-context", *self.options())
        shown = self.program_refuses(data, *self.options())
        for text in (*CONTEXT, *CONTEXT.values()):
            self.assertIn(text.encode(), shown)
        hidden = seal(b"hello", self.keks, context=CONTEXT)
        self.program_refuses(hidden, "--stored-context", *self.options())
        self.program_refuses(hidden, *self.options())
        empty = seal(b"hello", self.keks, store_context=True)
        self.program_opens(empty, b"hello", *self.options())

    def test_a_reserved_stored_context(self):
        encoded, dek = b"\0\1\0\x0dlibkms-branch\0\1x", os.urandom(32)
        keys = envelope.derive(dek, CHUNKED, encoded)
        recipients = envelope.wrap_for(self.keks, dek, encoded)
        header = envelope.encode_header(CHUNKED, 1, keys.commitment, recipients, [(1, encoded)])
        data = header + envelope.header_mac(keys, header)
        data += envelope.seal_payload(CHUNKED, keys.payload, b"hello", b"")
        self.program_refuses(data, "--stored-context", *self.options())
        self.program_refuses(data, *self.options({"libkms-branch": "x"}))

    def test_a_foreign_recipient(self):
        for suite, keks in itertools.product(
            (ONE_SHOT, CHUNKED), ([ForeignKek(), *self.keks], [*self.keks, ForeignKek()])
        ):
            data = seal(b"hello", keks, suite=suite, context=CONTEXT)
            self.program_opens(data, b"hello", *self.options(CONTEXT))
        self.program_refuses(seal(b"hello", [ForeignKek()]), *self.options())

    def test_unknown_fields(self):
        for fields in ([(0x80, b"")], [(0x80, b"later"), (0xFF, bytes(5000))]):
            data = seal(b"hello", self.keks, fields=fields)
            self.program_opens(data, b"hello", *self.options())
        # A field below 0x80 is refused, however good the mac is.
        keks, dek = self.keks, os.urandom(32)
        copy = envelope.seal_header(dek, keks, suite=CHUNKED, fields=[(0x80, b"")])
        keys = envelope.derive(dek, CHUNKED, b"\0\0")
        header = bytearray(copy[:-16])
        header[-3] = 0x7F
        data = bytes(header) + envelope.header_mac(keys, bytes(header))
        data += envelope.seal_payload(CHUNKED, keys.payload, b"hello", b"")
        self.program_refuses(data, *self.options())

    def test_places(self):
        for place in envelope.PLACES:
            data = seal(b"hello", self.keks, copies=2, place=place)
            self.program_opens(data, b"hello", *self.options())

    def test_rewrapped_envelopes(self):
        other = keyring.create("other")
        old = keyring.keks(other, "other")
        for copies in (1, 2):
            data = seal(b"hello", old, copies=copies, context=CONTEXT, store_context=True)
            self.program_refuses(data, *self.options(CONTEXT))
            data = envelope.rewrap(data, old, self.keks, CONTEXT)
            self.program_opens(data, b"hello", *self.options(CONTEXT))
        # A rewrap cut short after its first write opens through the second copy.
        data = seal(b"hello", old, copies=2)
        half = envelope.apply(data, envelope.rewrap_in_place(data, old, self.keks)[:1])
        self.program_opens(half, b"hello", *self.options())

    def test_ranges(self):
        plaintext = os.urandom(100000)
        for copies in (1, 2):
            path = self.file(seal(plaintext, self.keks, copies=copies))
            for first, last in ((0, 1), (0, 100000), (16380, 16390), (99999, 100000)):
                out = self.new_path()
                self.succeed("open", path, "-o", out, "--range", f"{first}..{last}",
                             *self.options())
                self.assertTrue(out.read_bytes() == plaintext[first:last])

    def test_verify(self):
        data = seal(os.urandom(100000), self.keks)
        self.assertEqual(self.succeed("open", self.file(data), "--verify", *self.options()).stdout,
                         b"")
        for bad in (data[:-1], flipped(data, len(data) - 1)):
            self.fail_told("open", self.file(bad), "--verify", *self.options())

    def test_inspect(self):
        keks = [*self.keks, ForeignKek()]
        for copies in (1, 2):
            data = seal(b"hello", keks, copies=copies, context=CONTEXT, store_context=True)
            text = self.succeed("inspect", "--json", self.file(data)).stdout.decode()
            json.loads(text)
            for expected in ("orders/1", "x-other", "elsewhere/1", "tenant"):
                self.assertIn(expected, text)
        self.fail_told("inspect", "--json", self.file(b"no envelope"))


class ProgramRefuses(ProgramTest):
    def setUp(self):
        self.data = seal(b"hello", self.keks, context=CONTEXT, aad=AAD.encode(),
                         store_context=True)
        self.header_len = header_and_mac_len(self.data) - envelope.MAC_LEN

    def refuse(self, data):
        self.program_refuses(data, *self.options(CONTEXT, AAD))

    def test_the_undamaged_one_opens(self):
        self.program_opens(self.data, b"hello", *self.options(CONTEXT, AAD))

    def test_altered_bytes(self):
        sample = {*range(0, self.header_len, 7), *range(10)}
        sample |= {*range(self.header_len, len(self.data))}
        for at in sorted(sample):
            with self.subTest(at=at):
                self.refuse(flipped(self.data, at))

    def test_altered_one_shot(self):
        data = seal(b"hello", self.keks, suite=ONE_SHOT, context=CONTEXT, aad=AAD.encode())
        for at in range(0, len(data), 7):
            with self.subTest(at=at):
                self.refuse(flipped(data, at))
        self.refuse(data[:-1])
        self.refuse(data + b"\0")

    def test_truncations_and_extensions(self):
        lengths = {*range(0, len(self.data), 13), *range(len(self.data) - 6, len(self.data))}
        for length in sorted(lengths):
            with self.subTest(length=length):
                self.refuse(self.data[:length])
        self.refuse(self.data + b"\0")

    def test_truncations_between_chunks(self):
        data = seal(bytes(40000), self.keks)
        start = header_and_mac_len(data) + 56
        for chunks, more in itertools.product((1, 2), (-1, 0, 1, 16)):
            # To a file, since what comes before the end may well be released to a stream.
            cut = self.file(data[: start + chunks * 16400 + more])
            self.fail_told("open", cut, "-o", self.new_path(), *self.options())

    def test_wrong_context_and_aad(self):
        for context, aad in (
            ({"tenant": "8", "purpose": "backup"}, AAD),
            ({"tenant": "7"}, AAD),
            ({**CONTEXT, "more": ""}, AAD),
            (CONTEXT, "records/43"),
            (CONTEXT, None),
        ):
            for store in (False, True):
                data = seal(b"hello", self.keks, context=CONTEXT, aad=AAD.encode(),
                            store_context=store)
                self.program_refuses(data, *self.options(context, aad))

    def test_wrong_kek(self):
        data = seal(b"hello", keyring.keks(keyring.create("orders"), "orders"))
        self.program_refuses(data, *self.options())
        data = seal(b"hello", keyring.keks(keyring.create("order"), "order"))
        self.program_refuses(data, *self.options())

    def test_header_of_another_context_under_the_same_dek(self):
        dek = os.urandom(32)
        for suite in (ONE_SHOT, CHUNKED):
            one, two = (seal(b"hello", self.keks, suite=suite, context={"t": t}, dek=dek)
                        for t in "12")
            at = header_and_mac_len(one)
            for context in ({"t": "1"}, {"t": "2"}):
                self.program_refuses(two[:at] + one[at:], *self.options(context))

    def test_a_header_of_the_other_suite_under_the_same_dek(self):
        dek = os.urandom(32)
        one, two = (seal(bytes(99), self.keks, suite=s, dek=dek) for s in (ONE_SHOT, CHUNKED))
        at = header_and_mac_len(one)
        self.program_refuses(one[:at] + two[at:], *self.options())
        self.program_refuses(two[:at] + one[at:], *self.options())

    def test_no_copy_behind_a_header_with_copies_1(self):
        two = seal(b"hello", self.keks, copies=2)
        one = seal(b"hello", self.keks)
        one = flipped(one, header_and_mac_len(one) - 1)
        self.program_refuses(one.ljust(4096, b"\0") + two[4096:], *self.options())


class ProgramAndTwoCopies(ProgramTest):
    def setUp(self):
        self.data = seal(b"hello", self.keks, copies=2, context=CONTEXT)
        self.quiet = self.program_opens(self.data, b"hello", *self.options(CONTEXT))

    def opens_and_tells(self, data):
        told = self.program_opens(data, b"hello", *self.options(CONTEXT))
        self.assertNotEqual(told, self.quiet, "the damage is not told")

    def refuse(self, data):
        return self.program_refuses(data, *self.options(CONTEXT))

    def test_a_damaged_copy(self):
        for start in (0, 4096):
            for at in (0, 3, 6, 7, 8, 9, 42, 45, 60, 100, 1000, 4079, 4080, 4095):
                with self.subTest(start=start, at=at):
                    self.opens_and_tells(flipped(self.data, start + at))

    def test_a_copy_that_is_gone(self):
        for gone in (bytes(4096), os.urandom(4096)):
            self.opens_and_tells(gone + self.data[4096:])
            self.opens_and_tells(self.data[:4096] + gone + self.data[8192:])
            self.refuse(gone + gone + self.data[8192:])

    def test_a_lost_first_copy_of_every_place(self):
        for place in envelope.PLACES:
            self.data = seal(b"hello", self.keks, copies=2, context=CONTEXT, place=place)
            self.opens_and_tells(bytes(place) + self.data[place:])

    def test_two_good_copies_that_differ(self):
        dek = os.urandom(32)
        one, two = (
            seal(b"hello", keks, copies=2, context=CONTEXT, dek=dek)
            for keks in (self.keks, [ForeignKek(), *self.keks])
        )
        self.opens_and_tells(one[:4096] + two[4096:])
        self.opens_and_tells(two[:4096] + one[4096:])

    def test_copies_that_disagree(self):
        other = seal(b"hello", self.keks, copies=2, context=CONTEXT)
        one_shot = seal(b"hello", self.keks, copies=2, context=CONTEXT, suite=ONE_SHOT)
        for second in (other, one_shot):
            for payload in (self.data, second):
                self.refuse(self.data[:4096] + second[:4096] + payload[8192:])
        for start, at in itertools.product((0, 4096), (10, 41)):
            self.refuse(flipped(self.data, start + at))

    def test_another_version(self):
        self.refuse(flipped(self.data, 4, 0x03))
        self.opens_and_tells(flipped(self.data, 4096 + 4, 0x03))

    def test_truncations(self):
        for length in (0, 4, 4095, 4096, 8191, 8192, 8192 + 71, len(self.data) - 1):
            self.refuse(self.data[:length])


class ProgramAndReferences(ProgramTest):
    def test_the_program_seals(self):
        for size, (context, aad) in itertools.product(SIZES, CASES):
            with self.subTest(size=size, context=len(context)):
                header, out, plaintext = self.new_path(), self.new_path(), os.urandom(size)
                options = ("--header", header, *self.options(context, aad))
                self.succeed("seal", self.file(plaintext), "-o", out, *options)
                kept = header.read_bytes()
                self.assertEqual(envelope.parse_header_record(kept).stored_context,
                                 envelope.encode_context(context))
                self.check(out.read_bytes(), kept, plaintext, context, aad)
                # Another one, later and by a pipe, under the same header.
                sealed = self.succeed("seal", "-", *options, stdin=plaintext).stdout
                self.assertEqual(header.read_bytes(), kept)
                self.check(sealed, kept, plaintext, context, aad)
                self.assertNotEqual(sealed[38:62], out.read_bytes()[38:62], "the salt is fresh")

    def check(self, data, kept, plaintext, context, aad):
        header, reference = envelope.parse_header_record(kept), envelope.parse_reference(data)
        self.assertEqual((header.suite, reference.suite), (CHUNKED, CHUNKED))
        self.assertEqual(header.commitment, reference.commitment)
        fetch = {reference.commitment: kept}.get
        opened = envelope.open_reference(data, fetch, self.keks, context, (aad or "").encode())
        self.assertTrue(opened.plaintext == plaintext)
        with self.assertRaises(envelope.Authentication):
            envelope.open_reference(data, fetch, self.keks, context, b"another")

    def test_the_program_opens(self):
        for size, suite, (context, aad) in itertools.product(SIZES, (ONE_SHOT, CHUNKED), CASES):
            with self.subTest(size=size, suite=suite, context=len(context)):
                plaintext = os.urandom(size)
                data, kept = self.written(plaintext, suite, context, (aad or "").encode())
                options = ("--header", self.file(kept), *self.options(context, aad))
                self.program_opens(data, plaintext, *options)

    def written(self, plaintext, suite=CHUNKED, context=None, aad=b"", keks=None):
        dek = os.urandom(32)
        kept = envelope.seal_header(dek, keks or self.keks, suite=suite, context=context)
        return envelope.seal_reference(dek, plaintext, suite=suite, context=context, aad=aad), kept

    def test_the_program_goes_on_under_a_header_written_here(self):
        _, kept = self.written(b"", context=CONTEXT)
        header = self.file(kept)
        sealed = self.succeed("seal", "-", "--header", header, *self.options(CONTEXT, AAD),
                              stdin=b"hello").stdout
        self.check(sealed, kept, b"hello", CONTEXT, AAD)
        self.assertEqual(header.read_bytes(), kept)

    def test_ranges(self):
        plaintext = os.urandom(100000)
        data, kept = self.written(plaintext)
        path, options = self.file(data), ("--header", self.file(kept), *self.options())
        for first, last in ((0, 1), (0, 100000), (16380, 16390), (99999, 100000)):
            out = self.new_path()
            self.succeed("open", path, "-o", out, "--range", f"{first}..{last}", *options)
            self.assertTrue(out.read_bytes() == plaintext[first:last])

    def test_rewraps_both_ways(self):
        old = keyring.keks(keyring.create("old"), "old")
        data, kept = self.written(b"hello", context=CONTEXT, keks=old)
        self.program_refuses(data, "--header", self.file(kept), *self.options(CONTEXT))
        kept = envelope.rewrap_header_record(kept, old, self.keks, CONTEXT)
        self.program_opens(data, b"hello", "--header", self.file(kept), *self.options(CONTEXT))
        ring = keyring.create("later")
        path = self.new_path()
        keyring.write(path, ring)
        header = self.file(kept)
        self.succeed("rewrap", header, "--kek", f"local:{path}#later", "--opens-with", self.uri,
                     *self.options(CONTEXT)[2:])
        self.assertNotEqual(header.read_bytes(), kept)
        fetch = {envelope.parse_reference(data).commitment: header.read_bytes()}.get
        opened = envelope.open_reference(data, fetch, keyring.keks(ring, "later"), CONTEXT)
        self.assertEqual(opened.plaintext, b"hello")

    def test_refused(self):
        for suite in (ONE_SHOT, CHUNKED):
            data, kept = self.written(b"hello", suite, CONTEXT)
            other, other_kept = self.written(b"hello", suite, CONTEXT)
            one = seal(b"hello", self.keks, suite=suite, context=CONTEXT)
            options = self.options(CONTEXT)
            two = seal(b"hello", self.keks, suite=suite, copies=2, context=CONTEXT)
            for bad in (b"", kept + b"\0", kept[:-1], other_kept, one, two[:4096], two[:8192],
                        flipped(kept, 5, 3), flipped(kept, 6, 3), flipped(kept, 10),
                        flipped(kept, len(kept) - 1), kept + kept):
                self.program_refuses(data, "--header", self.file(bad), *options)
            self.program_refuses(data, "--header", self.new_path(), *options)
            self.program_refuses(data, *options)
            self.program_refuses(one, "--header", self.file(kept), *options)
            header = self.file(kept)
            for at in (*range(38), *range(38, len(data), 7), len(data) - 1):
                self.program_refuses(flipped(data, at), "--header", header, *options)
            for length in (0, 4, 37, 38, 38 + 39, len(data) - 1):
                self.program_refuses(data[:length], "--header", header, *options)
            self.program_opens(data, b"hello", "--header", header, *options)


class ProgramAndKeyrings(ProgramTest):
    def test_a_new_keyring(self):
        self.assertEqual(self.ring_path.stat().st_mode & 0o777, 0o600)
        ring = keyring.read(self.ring_path)
        self.assertEqual([key.name for key in ring.keys], ["orders"])
        key = ring.keys[0]
        self.assertEqual(key.primary, 1)
        self.assertEqual([(v.version, v.state) for v in key.versions], [(1, "enabled")])

    def written(self, ring, passphrase=None):
        path = self.new_path()
        keyring.write(path, ring, passphrase)
        return f"local:{path}#orders"

    def test_a_keyring_written_here(self):
        ring = keyring.create("other", "orders")
        ring.keys[1].versions.append(keyring.new_version(7))
        ring.keys[1].primary = 7
        uri = self.written(ring)
        for kek in keyring.keks(ring, "orders"):
            opened = self.succeed("open", "-", "--kek", uri, stdin=seal(b"hello", [kek]))
            self.assertEqual(opened.stdout, b"hello")
        sealed = self.succeed("seal", "-", "--kek", uri, stdin=b"hello").stdout
        self.assertEqual(envelope.parse(sealed).headers[0].recipients[0].key_id, "orders/7")
        keks = keyring.keks(ring, "orders")
        self.assertEqual(envelope.open_envelope(sealed, keks).plaintext, b"hello")
        # Another name of the same keyring is not allowed by naming this one.
        other = seal(b"hello", keyring.keks(ring, "other"))
        self.fail_told("open", "-", "--kek", uri, stdin=other)

    def test_disabled_and_destroyed_versions(self):
        ring = keyring.create("orders")
        kek = keyring.primary(ring, "orders")
        data = seal(b"hello", [kek])
        version = ring.keys[0].versions[0]
        for state, material in (("disabled", version.material), ("destroyed", None)):
            version.state, version.material = state, material
            uri = self.written(ring)
            self.fail_told("open", "-", "--kek", uri, stdin=data)
            self.fail_told("seal", "-", "--kek", uri, stdin=b"hello")

    def test_a_passphrase_is_needed(self):
        ring = keyring.create("orders")
        data = seal(b"hello", keyring.keks(ring, "orders"))
        uri = self.written(ring, PASSPHRASE)
        self.fail_told("open", "-", "--kek", uri, stdin=data)
        self.fail_told("seal", "-", "--kek", uri, stdin=b"hello")
        self.fail_told("open", "-", "--kek", f"{uri}?passphrase-env=PATH", stdin=data)
        # And one that is given must be needed.
        uri = self.written(ring)
        self.fail_told("open", "-", "--kek", f"{uri}?passphrase-env=PASSPHRASE", stdin=data)

    def test_a_keyring_with_a_passphrase_written_here(self):
        ring = keyring.create("other", "orders")
        ring.keys[1].versions.append(keyring.new_version(7))
        path = self.new_path()
        keyring.write(path, ring, PASSPHRASE)
        uri = f"local:{path}#orders?passphrase-env=PASSPHRASE"
        for kek in keyring.keks(ring, "orders"):
            opened = self.succeed("open", "-", "--kek", uri, stdin=seal(b"hello", [kek]))
            self.assertEqual(opened.stdout, b"hello")
        given = ("--passphrase-env", "PASSPHRASE")
        self.succeed("keyring", "rotate", path, "--key", "orders", *given)
        self.succeed("keyring", "add", path, "--key", "new", *given)
        self.succeed("keyring", "disable", path, "--key", "orders", "--key-version", "7")
        back = keyring.read(path, PASSPHRASE)
        self.assertEqual([v.material for v in back.keys[1].versions[:2]],
                         [v.material for v in ring.keys[1].versions])
        self.assertEqual([(v.version, v.state) for v in back.keys[1].versions],
                         [(1, "enabled"), (7, "disabled"), (8, "enabled")])
        sealed = self.succeed("seal", "-", "--kek", uri, stdin=b"hello").stdout
        keks = keyring.keks(back, "orders")
        self.assertEqual(envelope.open_envelope(sealed, keks).plaintext, b"hello")

    def test_other_costs_and_salts(self):
        ring = keyring.create("orders")
        data = seal(b"hello", keyring.keks(ring, "orders"))
        for cost, salt in (
            ({"m": 19456, "t": 1, "p": 1}, os.urandom(16)),
            ({"m": 19999, "t": 2, "p": 64}, os.urandom(64)),
            ({"m": 32768, "t": 5, "p": 3}, os.urandom(33)),
        ):
            kdf = {"name": "argon2id", **cost, "salt": keyring.to_base64(salt)}
            k_pass = keyring.passphrase_key(PASSPHRASE, cost, salt)
            path = self.file(keyring.encode({"format": keyring.FORMAT, "kdf": kdf}, ring, k_pass))
            path.chmod(0o600)
            uri = f"local:{path}#orders?passphrase-env=PASSPHRASE"
            self.assertEqual(self.succeed("open", "-", "--kek", uri, stdin=data).stdout, b"hello")

    def test_a_passphrase_of_the_program(self):
        path = self.new_path()
        given = ("--passphrase-env", "PASSPHRASE")
        self.succeed("keyring", "create", path, "--key", "orders", *given)
        first = keyring.read(path, PASSPHRASE)
        cost, _ = keyring.parse_kdf(json.loads(path.read_bytes())["kdf"])
        self.assertEqual(cost, keyring.WRITERS_KDF)
        for refused in (None, PASSPHRASE + " "):
            with self.assertRaises(keyring.KeyringError):
                keyring.read(path, refused)
        # Another one, then none: the key stays what it is.
        other = self.file(b"another one\n")
        other.chmod(0o600)
        new = ("--new-passphrase-file", other)
        self.succeed("keyring", "passphrase", path, *given, *new)
        changed = keyring.read(path, "another one")
        self.succeed("keyring", "passphrase", path, "--passphrase-file", other, "--remove")
        for ring in (changed, keyring.read(path)):
            self.assertEqual(ring.keys, first.keys)

    def test_refused_keyrings(self):
        good = keyring.dumps(keyring.create("orders"))
        for bad in (
            b"",
            good.replace(b"keyring/1", b"keyring/2"),
            good.replace(b'"format"', b'"more": 1, "format"'),
            good.replace(b'"state"', b'"more": 1, "state"'),
            good.replace(b'"state"', b'"state": "enabled", "state"'),
            good.replace(b'"primary": 1', b'"primary": 2'),
            good.replace(b'"enabled"', b'"Enabled"'),
            good.replace(b'"enabled"', b'"destroyed"'),
            good.replace(b'="', b'"'),
        ):
            with self.subTest(length=len(bad)):
                self.assertNotEqual(bad, good)
                path = self.file(bad)
                path.chmod(0o600)
                uri = f"local:{path}#orders"
                self.fail_told("seal", "-", "--kek", uri, stdin=b"hello")


if __name__ == "__main__":
    unittest.main()
