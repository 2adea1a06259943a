//! What telnet adds to a connection, at the server's end.
//!
//! Documents: RFC 854 Telnet Protocol Specification; RFC 856 Binary Transmission; RFC 857 Echo; RFC 858 Suppress Go Ahead.
//! The options are not negotiated further than QEMU does: they are stated once, and answers are passed over.

/// "Interpret as command".
const IAC: u8 = 255;
const WILL: u8 = 251;
const DONT: u8 = 254;
const DO: u8 = 253;
/// Begin and end of a subnegotiation.
const SB: u8 = 250;
const SE: u8 = 240;

const BINARY: u8 = 0;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;

/// What is said to a client that comes: the guest echoes, every byte is sent at once and as it is.
pub(super) const GREETING: [u8; 12] =
    [IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD, IAC, WILL, BINARY, IAC, DO, BINARY];

/// Tells what a client typed from what its program says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Telnet {
    /// Bytes.
    #[default]
    Data,
    /// After an IAC.
    Command,
    /// After WILL, WON'T, DO or DON'T: the option.
    Option,
    /// In a subnegotiation.
    Subnegotiation,
    /// In a subnegotiation, after an IAC.
    SubnegotiationCommand,
}

impl Telnet {
    /// What the client typed, of what came from it.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().filter_map(|&byte| self.take(byte)).collect()
    }

    fn take(&mut self, byte: u8) -> Option<u8> {
        let (next, typed) = match (*self, byte) {
            (Self::Data, IAC) => (Self::Command, None),
            (Self::Data, _) => (Self::Data, Some(byte)),
            (Self::Command, IAC) => (Self::Data, Some(IAC)),
            (Self::Command, WILL..=DONT) => (Self::Option, None),
            (Self::Command, SB) => (Self::Subnegotiation, None),
            (Self::Command, _) | (Self::Option, _) => (Self::Data, None),
            (Self::Subnegotiation, IAC) => (Self::SubnegotiationCommand, None),
            (Self::Subnegotiation, _) => (Self::Subnegotiation, None),
            (Self::SubnegotiationCommand, SE) => (Self::Data, None),
            (Self::SubnegotiationCommand, _) => (Self::Subnegotiation, None),
        };
        *self = next;
        typed
    }
}

/// What goes to the client for `bytes` of the guest.
pub(super) fn sent(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == IAC { 2 } else { 1 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_passed_over_wherever_they_are_cut() {
        let sent =
            [b"a\xff\xfd\x01b\xff\xf1c\xff\xff\xff\xfa\x18\x00x\xff\xffy\xff\xf0d".as_slice(), b"\xff\xfb\0e"].concat();
        for cut in 0..sent.len() {
            let mut telnet = Telnet::default();
            let typed = [telnet.received(&sent[..cut]), telnet.received(&sent[cut..])].concat();
            assert_eq!(typed, b"abc\xffde", "cut at {cut}");
        }
    }

    #[test]
    fn the_guests_bytes_are_no_commands() {
        assert_eq!(sent(b"a\xff\xfbb"), b"a\xff\xff\xfbb");
    }
}
