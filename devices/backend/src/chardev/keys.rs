//! The keys after Ctrl-A, as on QEMU's multiplexed console.

/// The key that comes before a command.
const ESCAPE: u8 = 0x01;

/// What the operator asks for at the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the run.
    Quit,
    /// Stop the machine, or let it run on.
    Pause,
    /// Show the keys.
    Help,
}

/// The keys, for people.
pub const HELP: &str = "\
Ctrl-A x       end the run
Ctrl-A p       pause the machine, or let it run on
Ctrl-A h       show these keys
Ctrl-A Ctrl-A  send Ctrl-A to the guest (Ctrl-A a does too)
";

/// Tells commands from what is for the guest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    escaped: bool,
}

/// What a byte turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// For the guest.
    Byte(u8),
    /// For us.
    Command(Command),
    /// The first half of a command, or none that we know.
    Nothing,
}

impl Keys {
    pub(super) fn take(&mut self, byte: u8) -> Key {
        if !std::mem::take(&mut self.escaped) {
            self.escaped = byte == ESCAPE;
            return if self.escaped { Key::Nothing } else { Key::Byte(byte) };
        }
        match byte {
            ESCAPE | b'a' => Key::Byte(ESCAPE),
            b'x' => Key::Command(Command::Quit),
            b'p' => Key::Command(Command::Pause),
            b'h' | b'?' => Key::Command(Command::Help),
            _ => Key::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        text.iter().map(|&byte| keys.take(byte)).filter(|&key| key != Key::Nothing).collect()
    }

    #[test]
    fn commands_follow_the_escape_key() {
        assert_eq!(keys(b"x\x01x"), [Key::Byte(b'x'), Key::Command(Command::Quit)]);
        assert_eq!(keys(b"\x01h\x01?"), [Key::Command(Command::Help); 2]);
        assert_eq!(keys(b"\x01p"), [Key::Command(Command::Pause)]);
    }

    #[test]
    fn the_escape_key_twice_is_the_guests() {
        assert_eq!(keys(b"\x01\x01x"), [Key::Byte(1), Key::Byte(b'x')]);
        assert_eq!(keys(b"\x01ax"), [Key::Byte(1), Key::Byte(b'x')]);
    }

    #[test]
    fn unknown_commands_are_swallowed() {
        assert_eq!(keys(b"\x01zq"), [Key::Byte(b'q')]);
    }
}
