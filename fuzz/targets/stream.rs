//! Streams: whatever is done to a sealed one, what comes out is its plaintext, as far as it
//! comes. The first byte says whether the others are choices or an envelope.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{
    Copies, Header, Kms, Scope, SealOptions, Wait,
    kek::Mock,
    stream::{CHUNK, Opening},
};
use libkms_fuzz::{AAD, Dribble, PLAINTEXT, keyring, scope};
use std::{
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    ops::Range,
    sync::LazyLock,
};

const TAG: usize = 16;
const HEAD: usize = 56;
const LENGTHS: [usize; 7] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7];

static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let kms = Kms::builder().kek(Mock::new("m")).opens_with(keyring());
    scope(&kms.build().unwrap())
});
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let one = |n: usize| SealOptions::new().len(n as u64).copies(Copies::One).store_context();
    LENGTHS.iter().flat_map(|n| [Case::new(*n, &one(*n)), Case::new(*n, &SealOptions::new())]).collect()
});

/// A stream that was sealed, and what is true of it.
struct Case {
    plain: Vec<u8>,
    sealed: Vec<u8>,
    header: usize,
}

fuzz_target!(|data: &[u8]| {
    match data {
        [first, rest @ ..] if first % 2 == 0 => chosen(&mut Choices(rest)),
        [_, rest @ ..] => arbitrary(rest),
        [] => {}
    }
});

/// Only the seeds open, and to what they hold.
fn arbitrary(data: &[u8]) {
    let opened = SCOPE.open(AAD, data).wait();
    let mut streamed = Vec::new();
    let outcome = SCOPE.open_stream(AAD, Dribble::new(data, 1000), &mut streamed);
    assert_eq!(outcome.is_ok(), opened.is_ok());
    if let Ok(opened) = opened {
        assert_eq!(opened.plaintext, PLAINTEXT);
        assert_eq!(streamed, PLAINTEXT);
    }
}

fn chosen(choices: &mut Choices) {
    let case = &CASES[choices.byte() % CASES.len()];
    let mut sealed = case.sealed.clone();
    for _ in 0..choices.byte() % 4 {
        case.edit(&mut sealed, choices);
    }
    let mut whole = b"kept".to_vec();
    let ok = SCOPE.open_into(AAD, &sealed, &mut whole).wait().is_ok();
    assert!(whole.starts_with(b"kept") && (ok || whole.len() == 4));
    let opening = Header::parse(&sealed).and_then(|header| {
        let opening = SCOPE.opener(AAD, &header).wait()?;
        Ok((header, opening))
    });
    let Ok((header, opening)) = opening else {
        assert!(sealed != case.sealed && !ok);
        return;
    };
    // Of two header copies one may be lost; of the payload nothing.
    let (copies, payload) = sealed.split_at(header.len());
    let mut copies =
        copies.chunks(if header.copies() == Copies::Two { header.len() / 2 } else { header.len() });
    assert!(copies.any(|copy| case.sealed.starts_with(copy)));
    let intact = *payload == case.sealed[case.header..];
    case.judge(&whole[4..], ok, intact);
    match choices.byte() % 5 {
        0 => case.push(&opening, payload, intact, choices),
        1 => case.read(&sealed, intact, choices),
        2 => case.write(&opening, payload, intact, choices),
        3 => case.range(&opening, &sealed, header.len(), intact, choices),
        _ => case.seek(&opening, &sealed, intact, choices),
    }
}

impl Case {
    fn new(len: usize, options: &SealOptions) -> Self {
        let plain: Vec<_> = (0..len).map(|i| (i ^ i >> 7) as u8).collect();
        let mut sealed = Vec::new();
        SCOPE.seal_stream(AAD, options, &plain[..], &mut sealed).unwrap();
        let header = Header::parse(&sealed).unwrap().len();
        Self { plain, sealed, header }
    }

    fn edit(&self, sealed: &mut Vec<u8>, choices: &mut Choices) {
        let at = self.place(choices).min(sealed.len());
        match choices.byte() % 7 {
            0 if at < sealed.len() => sealed[at] ^= 1 << (choices.byte() % 8),
            1 => sealed.truncate(at),
            2 => sealed.insert(at, choices.byte() as u8),
            3 => sealed.extend_from_slice(choices.take(40)),
            4 => {
                let chunk = sealed[self.chunk(sealed, choices)].to_vec();
                let to = self.chunk(sealed, choices).start;
                sealed.splice(to..to, chunk);
            }
            5 => {
                let (a, b) = (self.chunk(sealed, choices), self.chunk(sealed, choices));
                let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
                if a != b {
                    let between = a.end..b.start;
                    let swapped = [b.clone(), between, a.clone()].map(|range| &sealed[range]).concat();
                    sealed.splice(a.start..b.end, swapped);
                }
            }
            _ => drop(sealed.drain(self.chunk(sealed, choices))),
        }
    }

    /// Anywhere, or close to where something begins or ends.
    fn place(&self, choices: &mut Choices) -> usize {
        let begin = match choices.byte() % 6 {
            0 => return choices.number() % (self.sealed.len() + 1),
            1 => 0,
            2 => self.header / 2,
            3 => self.header,
            4 => self.sealed.len(),
            _ => self.header + HEAD + choices.byte() % 5 * (CHUNK + TAG),
        };
        (begin + choices.byte()).saturating_sub(128)
    }

    /// A chunk, or as much of one as there is.
    fn chunk(&self, sealed: &[u8], choices: &mut Choices) -> Range<usize> {
        let at = |i: usize| (self.header + HEAD + i * (CHUNK + TAG)).min(sealed.len());
        let i = choices.byte() % 5;
        at(i)..at(i + 1)
    }

    /// Exact if the payload is intact; else an error, and only what was authentic before it.
    fn judge(&self, out: &[u8], ok: bool, intact: bool) {
        assert_eq!(ok, intact);
        assert!(self.plain.starts_with(out));
        assert!(if ok { out.len() == self.plain.len() } else { out.len().is_multiple_of(CHUNK) });
    }

    fn push(&self, opening: &Opening, mut payload: &[u8], intact: bool, choices: &mut Choices) {
        let (mut stream, mut out) = (opening.stream(), Vec::new());
        let mut result = Ok(());
        while result.is_ok() && !payload.is_empty() {
            let (now, rest) = payload.split_at(choices.step(payload.len()));
            payload = rest;
            let before = out.len();
            result = stream.push(now, &mut out);
            if let Err(e) = &result {
                assert_eq!(out.len(), before);
                assert_eq!(stream.push(now, &mut out).unwrap_err().kind(), e.kind());
            }
        }
        let ok = stream.finish(&mut out).is_ok();
        assert!(result.is_ok() || !ok);
        self.judge(&out, ok, intact);
    }

    fn read(&self, sealed: &[u8], intact: bool, choices: &mut Choices) {
        let mut from = Dribble::new(sealed, choices.step(sealed.len()));
        let header = Header::read(&mut from).unwrap();
        let mut reader = SCOPE.opener(AAD, &header).wait().unwrap().reader(from);
        let mut out = Vec::new();
        let ok = reader.read_to_end(&mut out).is_ok();
        assert_eq!(reader.read(&mut [0]).is_ok(), ok);
        self.judge(&out, ok, intact);
    }

    fn write(&self, opening: &Opening, mut payload: &[u8], intact: bool, choices: &mut Choices) {
        let mut out = Vec::new();
        let mut writer = opening.writer(&mut out);
        let mut ok = true;
        while ok && !payload.is_empty() {
            let (now, rest) = payload.split_at(choices.step(payload.len()));
            payload = rest;
            ok = writer.write_all(now).is_ok();
        }
        ok &= writer.finish().is_ok();
        self.judge(&out, ok, intact);
    }

    fn range(&self, opening: &Opening, sealed: &[u8], header: usize, intact: bool, choices: &mut Choices) {
        let near = |n: usize| n % (self.plain.len() + 2);
        let (start, end) = (near(choices.number()), near(choices.number()));
        // What a store says of the length may be wrong.
        let object_len = (sealed.len() + choices.byte()).saturating_sub(choices.byte());
        let in_it = start <= end && end <= self.plain.len();
        let must = intact && in_it && object_len == sealed.len();
        let Ok(plan) = opening.plan(start as u64..end as u64, object_len as u64) else {
            return assert!(!must);
        };
        assert!(start <= end && plan.sealed().end <= object_len as u64);
        let fetched = sealed.get(plan.sealed().start as usize..plan.sealed().end as usize);
        let prefix = &sealed[..sealed.len().min(header + HEAD)];
        match opening.open_range(&plan, prefix, fetched.unwrap_or_default()) {
            Ok(out) if start == end => assert!(out.is_empty()),
            Ok(out) => assert_eq!(out, self.plain[start..end]),
            Err(_) => assert!(!must),
        }
    }

    fn seek(&self, opening: &Opening, sealed: &[u8], intact: bool, choices: &mut Choices) {
        let Ok(mut reader) = opening.seekable(Cursor::new(sealed)) else { return assert!(!intact) };
        let len = self.plain.len() as i64;
        for _ in 0..choices.byte() % 8 {
            let (n, by) = (choices.number() % (self.plain.len() + 2), choices.byte() as i64 - 128);
            let now = reader.stream_position().unwrap() as i64;
            let (to, at) = match choices.byte() % 4 {
                0 => (SeekFrom::Start(n as u64), n as i64),
                1 => (SeekFrom::Current(by), now + by),
                2 => (SeekFrom::End(by), len + by),
                _ => (SeekFrom::Current(0), now),
            };
            match reader.seek(to) {
                Ok(n) => assert_eq!(n as i64, at),
                Err(e) => assert!(at < 0 || (matches!(to, SeekFrom::End(_)) && !intact), "{e}"),
            }
            let at = reader.stream_position().unwrap() as usize;
            let mut out = vec![0; choices.step(sealed.len())];
            match reader.read(&mut out) {
                // The end, proved.
                Ok(0) if !out.is_empty() => assert!(at >= self.plain.len()),
                Ok(n) => assert_eq!(out[..n], self.plain[at.min(self.plain.len())..][..n]),
                Err(e) => assert!(!intact && e.kind() != io::ErrorKind::Interrupted, "{e}"),
            }
        }
    }
}

/// The fuzzed bytes; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> usize {
        self.take(1).first().copied().unwrap_or(0).into()
    }

    fn number(&mut self) -> usize {
        self.byte() << 16 | self.byte() << 8 | self.byte()
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// 1 to `most`, or 0 if that is 0; all of it when nothing is left to choose.
    fn step(&mut self, most: usize) -> usize {
        match self.byte() {
            0 => most,
            n @ 1..128 => n.min(most),
            n => ((n - 127) * 600).min(most),
        }
    }
}
