//! Records that nobody sealed.
use crate::plan::Forgery;
use libkms::Header;

/// `sealed`, altered. `pick`: which bit.
pub fn forged(sealed: &[u8], how: Forgery, pick: u64) -> Vec<u8> {
    let (header, mut forged) = (Header::parse(sealed).unwrap(), sealed.to_vec());
    let mut flip = |from: usize, len: usize| {
        let bit = pick as usize % (8 * len);
        forged[from + bit / 8] ^= 1 << (bit % 8);
    };
    match how {
        Forgery::Key => {
            for recipient in header.recipients() {
                let id = recipient.wrapped.key_id.as_str().as_bytes();
                let account = id.windows(12).position(|w| w == b"111122223333").unwrap();
                forged[position(sealed, id) + account] = b'9';
            }
        }
        Forgery::Wrap => {
            for recipient in header.recipients() {
                // The number of a blob has eight bytes: this one is none.
                let wrapped = &recipient.wrapped;
                let id = position(sealed, wrapped.key_id.as_str().as_bytes());
                let behind = id + wrapped.key_id.as_str().len();
                let at = behind + position(&sealed[behind..], &wrapped.ciphertext);
                forged[at] = 0x80 | pick as u8;
                forged[at + 1] = (pick >> 8) as u8;
            }
        }
        Forgery::Mac => flip(header.len() - 16, 16),
        Forgery::Payload => flip(header.len(), sealed.len() - header.len()),
    }
    forged
}

fn position(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len()).position(|w| w == part).unwrap()
}
