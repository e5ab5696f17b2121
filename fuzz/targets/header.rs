//! Headers: what is parsed is well-formed, and the same however it is read.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{Copies, Damage, Header, Reference, stream};
use libkms_fuzz::Dribble;

fuzz_target!(|data: &[u8]| {
    if let Ok(reference) = Reference::parse(data) {
        assert_eq!(Reference::read(Dribble::new(data, 1 + data.len() % 7)).unwrap(), reference);
        assert!(reference.header(data).is_err(), "a record is no header");
    }
    let first = Header::prefix_len(data);
    let step = 1 + data.len() % 97;
    let mut source = Dribble::new(data, step);
    let (parsed, read) = match (Header::parse(data), Header::read(&mut source)) {
        (Ok(parsed), Ok(read)) => (parsed, read),
        (Err(a), Err(b)) => {
            assert_eq!((a.kind(), a.to_string()), (b.kind(), b.to_string()));
            return;
        }
        (a, b) => panic!("{a:?}, but in small reads {b:?}"),
    };
    let len = parsed.len();
    assert!(len <= data.len());
    assert!((1..=16).contains(&parsed.recipients().len()));
    if parsed.copies() == Copies::Two {
        let (a, b) = data[..len].split_at(len / 2);
        let own = |copy: &[u8]| usize::from(u16::from_be_bytes([copy[8], copy[9]])) + 16;
        assert_eq!(own(if parsed.damage() == Some(Damage::FirstLost) { b } else { a }), len / 2);
        match parsed.damage() {
            None => assert_eq!(a, b),
            // One suite and one commitment all the same.
            Some(Damage::Differ) => assert!(a != b && a[5] == b[5] && a[10..42] == b[10..42]),
            _ => {}
        }
    } else {
        assert_eq!(parsed.damage(), None);
    }
    assert_eq!(read.len(), len);
    assert_eq!(read.suite(), parsed.suite());
    assert_eq!(read.copies(), parsed.copies());
    assert_eq!(read.damage(), parsed.damage());
    assert_eq!(read.recipients(), parsed.recipients());
    assert_eq!(read.commitment(), parsed.commitment());
    assert_eq!(read.stored_context(), parsed.stored_context());

    let taken = data.len() - source.bytes.len();
    assert_eq!(len + read.read_ahead().len(), taken);
    assert_eq!(read.read_ahead(), &data[len..taken]);
    assert!(parsed.read_ahead().is_empty());
    if parsed.damage() != Some(Damage::FirstLost) {
        let head = stream::PREFIX - 2 * 4096;
        assert_eq!(first.unwrap(), len + head);
        assert_eq!(taken, len, "it stands at the payload");
    }
    // Nothing behind the header counts.
    let cut = Header::parse(&data[..len]).unwrap();
    assert_eq!((cut.len(), cut.damage()), (len, parsed.damage()));
});
