//! Parts of packets: numbers, bytes, threads (Debugging with GDB, E.1 Overview and E.2 Packets).

/// A vCPU, or several, as a packet names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    /// Whichever the server likes.
    Any,
    /// All of them.
    All,
    /// The one of this vCPU.
    Cpu(usize),
}

/// A hexadecimal number of at most 64 bits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let significant = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    if digits.is_empty() || digits.len() - significant > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value: u64, &digit| Some(value << 4 | u64::from(nibble(digit)?)))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Two numbers with a separator between them.
pub(super) fn two_numbers(text: &[u8], separator: u8) -> Option<(u64, u64)> {
    let (first, second) = split(text, separator)?;
    Some((number(first)?, number(second)?))
}

/// What is before and behind the first separator.
pub(super) fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Bytes, of which each is two hexadecimal digits.
pub(crate) fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// Binary data, in which some bytes are escaped.
pub(super) fn unescaped(data: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut data) = (Vec::with_capacity(data.len()), data.iter());
    while let Some(&byte) = data.next() {
        bytes.push(if byte == b'}' { data.next()? ^ 0x20 } else { byte });
    }
    Some(bytes)
}

/// Binary data as an answer has it.
pub(super) fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if b"#$}*".contains(&byte) {
            data.extend([b'}', byte ^ 0x20]);
        } else {
            data.push(byte);
        }
    }
    data
}

/// A thread of a machine with so many vCPUs: `p1.2` or, of old, `2`.
pub(super) fn thread(text: &[u8], cpus: usize) -> Option<Thread> {
    let Some(text) = text.strip_prefix(b"p") else { return thread_number(text, cpus) };
    let (process, thread) = split(text, b'.').unwrap_or((text, b"-1"));
    match process {
        b"-1" => {}
        digits if number(digits)? <= 1 => {}
        _ => return None,
    }
    thread_number(thread, cpus)
}

fn thread_number(text: &[u8], cpus: usize) -> Option<Thread> {
    if text == b"-1" {
        return Some(Thread::All);
    }
    match usize::try_from(number(text)?).ok()? {
        0 => Some(Thread::Any),
        number if number <= cpus => Some(Thread::Cpu(number - 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_64_bits() {
        assert_eq!(number(b"fFffffffffffffff"), Some(u64::MAX));
        assert_eq!(number(b"000000000000000000000012"), Some(0x12));
        for text in [b"".as_slice(), b"10000000000000000", b"12x", b"-1", b"+1"] {
            assert_eq!(number(text), None);
        }
        assert_eq!(two_numbers(b"1f,2", b','), Some((0x1f, 2)));
        assert_eq!(two_numbers(b"1f", b','), None);
    }

    #[test]
    fn bytes_come_as_digits_or_escaped() {
        assert_eq!(bytes(b"00fF"), Some(vec![0, 255]));
        assert_eq!((bytes(b""), bytes(b"0"), bytes(b"0g")), (Some(vec![]), None, None));
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&escaped(&all)), Some(all));
        assert_eq!(escaped(b"a#}"), b"a}\x03}\x5d");
        assert_eq!(unescaped(b"a}"), None);
    }

    #[test]
    fn threads_are_those_of_process_1() {
        for (text, expected) in [
            (b"p1.2".as_slice(), Some(Thread::Cpu(1))),
            (b"p01.04", Some(Thread::Cpu(3))),
            (b"p1", Some(Thread::All)),
            (b"p1.-1", Some(Thread::All)),
            (b"p0.0", Some(Thread::Any)),
            (b"p-1.-1", Some(Thread::All)),
            (b"2", Some(Thread::Cpu(1))),
            (b"0", Some(Thread::Any)),
            (b"-1", Some(Thread::All)),
            (b"p1.5", None),
            (b"p2.1", None),
            (b"5", None),
            (b"", None),
            (b"p", None),
            (b"p1.", None),
            (b"ffffffffffffffff", None),
        ] {
            assert_eq!(thread(text, 4), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
