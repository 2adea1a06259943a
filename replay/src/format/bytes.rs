//! Integers of variable length, and a reader of bytes that never passes their end.

/// Seven bits a byte, the lowest first; the high bit says that more follow.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The difference `to - from` modulo 2^64, small in either direction.
pub(super) fn put_difference(out: &mut Vec<u8>, from: u64, to: u64) {
    put_varint(out, zigzag(to.wrapping_sub(from) as i64));
}

/// A text or other bytes with their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Signed to unsigned: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes that are not what the format has there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Malformed {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

/// What is left of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    left: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(super) fn left(&self) -> usize {
        self.left.len()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.left
    }

    /// The next `count` bytes, which are `what`.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], Malformed> {
        let fits = usize::try_from(count).ok().and_then(|count| self.left.split_at_checked(count));
        let (taken, left) = fits.ok_or_else(|| {
            Malformed::new(format!("{count} bytes of {what}"), format!("{} bytes to the end", self.left.len()))
        })?;
        self.left = left;
        Ok(taken)
    }

    /// The next `N` bytes, which are `what`.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        Ok(self.take(N as u64, what)?.try_into().expect("as many as were asked for"))
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u128(&mut self, what: &str) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    pub(super) fn varint(&mut self, what: &str) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.left.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 && (index < 9 || byte < 2) {
                self.left = &self.left[index + 1..];
                return Ok(value);
            }
        }
        Err(match self.left.len() {
            short @ 0..10 => Malformed::new(format!("an integer, {what}"), format!("{short} bytes to the end")),
            _ => Malformed::new(format!("{what} below 2^64"), "a longer integer"),
        })
    }

    /// The length of a list, each of whose items takes a byte at least.
    pub(super) fn count(&mut self, what: &str) -> Result<u64, Malformed> {
        match self.varint(what)? {
            count if count <= self.left.len() as u64 => Ok(count),
            count => {
                Err(Malformed::new(format!("{count} items, {what}"), format!("{} bytes to the end", self.left.len())))
            }
        }
    }

    /// An integer that fits into `T`.
    pub(super) fn narrow<T: TryFrom<u64>>(&mut self, what: &str) -> Result<T, Malformed> {
        let value = self.varint(what)?;
        T::try_from(value)
            .map_err(|_| Malformed::new(format!("{what} of {} bits", 8 * size_of::<T>()), value.to_string()))
    }

    /// A signed integer that fits into `T`.
    pub(super) fn signed<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Malformed> {
        let value = unzigzag(self.varint(what)?);
        T::try_from(value)
            .map_err(|_| Malformed::new(format!("{what} of {} bits", 8 * size_of::<T>()), value.to_string()))
    }

    /// What [`put_difference`] wrote.
    pub(super) fn difference(&mut self, from: u64, what: &str) -> Result<u64, Malformed> {
        Ok(from.wrapping_add(self.signed::<i64>(what)? as u64))
    }

    /// What [`put_bytes`] wrote.
    pub(super) fn bytes(&mut self, what: &str) -> Result<&'a [u8], Malformed> {
        let length = self.varint(what)?;
        self.take(length, what)
    }

    /// What [`put_bytes`] wrote of a text.
    pub(super) fn text(&mut self, what: &str) -> Result<String, Malformed> {
        text(self.bytes(what)?, what)
    }

    /// Nothing may be left after `what`.
    pub(super) fn finish(self, what: &str) -> Result<(), Malformed> {
        match self.left.len() {
            0 => Ok(()),
            more => Err(Malformed::new(format!("the end after {what}"), format!("{more} more bytes"))),
        }
    }
}

/// `bytes` as text.
pub(super) fn text(bytes: &[u8], what: &str) -> Result<String, Malformed> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            Err(Malformed::new(format!("{what} in UTF-8"), format!("other bytes from {}", error.valid_up_to())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        let bits = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in bits.chain([u64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_difference(&mut out, 77, value);
            let mut bytes = Bytes::new(&out);
            assert_eq!(bytes.varint("value"), Ok(value));
            assert_eq!(bytes.difference(77, "value"), Ok(value));
            assert_eq!(bytes.finish("them"), Ok(()));
        }
    }

    #[test]
    fn integers_stop_at_the_end_and_at_64_bits() {
        assert!(Bytes::new(&[]).varint("value").is_err());
        assert!(Bytes::new(&[0x80; 9]).varint("value").is_err());
        assert!(Bytes::new(&[0xff; 11]).varint("value").is_err());
        let mut two_to_the_64th = [0x80; 10];
        two_to_the_64th[9] = 2;
        assert!(Bytes::new(&two_to_the_64th).varint("value").is_err());
        assert!(Bytes::new(&[0x80, 0x80, 4]).narrow::<u16>("value").is_err());
        assert!(Bytes::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]).bytes("text").is_err());
    }
}
