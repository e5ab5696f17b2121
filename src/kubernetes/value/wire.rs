//! As much of protobuf's encoding as `EncryptedObject` needs, as Go reads it: any order, the last one
//! of a field wins, unknown fields and known ones of another wire type are skipped, varints may be
//! longer than they must.

/// Field numbers of a message, and, in what is skipped, those of the format.
pub(super) const MOST_OF_MESSAGE: u64 = (1 << 29) - 1;
const MOST_OF_GROUP: u64 = (1 << 31) - 1;
/// Groups in groups that are skipped.
const DEEPEST: usize = 10_001;

pub(super) const VARINT: u8 = 0;
pub(super) const BYTES: u8 = 2;

/// What is left to read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// It is no message: nothing says more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl<'a> Reader<'a> {
    /// A field's number and wire type; `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u64, u8)>, Broken> {
        if self.0.is_empty() { Ok(None) } else { self.tag(MOST_OF_MESSAGE).map(Some) }
    }

    fn tag(&mut self, most: u64) -> Result<(u64, u8), Broken> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if (1..=most).contains(&number) { Ok((number, (tag & 7) as u8)) } else { Err(Broken) }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            if i == 9 && *byte > 1 {
                return Err(Broken);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Broken)
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let len = usize::try_from(self.varint()?).map_err(|_| Broken)?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Broken> {
        str::from_utf8(self.bytes()?).map_err(|_| Broken)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The value of a field.
    pub(super) fn skip(&mut self, number: u64, kind: u8) -> Result<(), Broken> {
        let mut groups = Vec::new();
        self.skip_one(number, kind, &mut groups)?;
        while let Some(group) = groups.last() {
            let (number, kind) = self.tag(MOST_OF_GROUP)?;
            if kind != 4 {
                self.skip_one(number, kind, &mut groups)?;
            } else if number == *group {
                groups.pop();
            } else {
                return Err(Broken);
            }
        }
        Ok(())
    }

    /// `groups`: those that are open.
    fn skip_one(&mut self, number: u64, kind: u8, groups: &mut Vec<u64>) -> Result<(), Broken> {
        match kind {
            VARINT => self.varint().map(drop),
            1 => self.take(8).map(drop),
            BYTES => self.bytes().map(drop),
            3 if groups.len() < DEEPEST => {
                groups.push(number);
                Ok(())
            }
            5 => self.take(4).map(drop),
            _ => Err(Broken),
        }
    }
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes or text.
pub(super) fn put_bytes(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | BYTES);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader(bytes);
            reader.varint().map(|value| (value, reader.0.len()))
        };
        for value in [0, 1, 0x7f, 0x80, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(read(&out), Ok((value, 0)));
            (0..out.len()).for_each(|cut| assert_eq!(read(&out[..cut]), Err(Broken)));
        }
        assert_eq!(read(&[0x85, 0x80, 0x80, 0, 9]), Ok((5, 1)), "longer than it must");
        assert_eq!(read(&[[0x80; 9].as_slice(), &[1]].concat()), Ok((1 << 63, 0)));
        assert_eq!(read(&[[0x80; 9].as_slice(), &[2]].concat()), Err(Broken));
        assert_eq!(read(&[[0x80; 10].as_slice(), &[0]].concat()), Err(Broken));
    }

    #[test]
    fn groups_end_where_they_began_and_are_not_too_deep() {
        let skip = |depth: usize, ends: usize| {
            let bytes = [vec![0x0b; depth - 1], vec![0x0c; ends]].concat();
            Reader(&bytes).skip(1, 3)
        };
        for depth in [1, 2, 100, DEEPEST] {
            assert_eq!((skip(depth, depth), skip(depth, depth - 1)), (Ok(()), Err(Broken)));
        }
        assert_eq!(skip(DEEPEST + 1, DEEPEST + 1), Err(Broken));
        assert_eq!(Reader(&[0x14]).skip(1, 3), Err(Broken), "another's end");
    }
}
