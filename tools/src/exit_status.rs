//! Exit statuses of `reprise run`, `record` and `replay`: even ones are ours, odd ones the guest's.

/// The guest switched the machine off, or the operator ended the run, or the tick of `-until` was reached.
pub const OK: u8 = 0;
/// The request was refused; nothing was started.
pub const USAGE: u8 = 2;
/// The host failed us while the machine ran.
pub const HOST: u8 = 4;
/// The guest reset the machine, and `-no-reboot` was given.
pub const RESET: u8 = 6;
/// The guest's kernel reported its panic.
pub const PANICKED: u8 = 8;
/// A triple fault, and `-no-reboot` was given.
pub const TRIPLE_FAULT: u8 = 10;
/// Nothing can ever happen again.
pub const DEAD: u8 = 12;
/// A fault of this program.
pub const BUG: u8 = 14;

/// A replay differs from its recording, or one engine from the other.
pub const DIVERGED: u8 = 16;
/// A recording is damaged or has no end; what is whole was replayed.
pub const INCOMPLETE: u8 = 18;

/// Those of commands that replay, for people.
pub const OF_REPLAYS: &str = "\
  2    the recording cannot be read, or its machine cannot be built
  16   the replay differs from its recording, or the engines of -engine lockstep do: standard error says where and how
  18   the recording is damaged or has no end: what is whole was replayed
";

/// All of `reprise run`, for people.
pub const TABLE: &str = "\
0    the guest switched the machine off; or Ctrl-A x; or -until was reached
odd  the guest wrote to isa-debug-exit: twice the value it wrote, plus 1
2    the request was refused: nothing was started
4    the host failed while the machine ran: standard output was closed, a disk is full
6    the guest reset the machine, and -no-reboot was given
8    the guest's kernel reported a panic (device pvpanic)
10   a vCPU met a triple fault, and -no-reboot was given
12   nothing can ever happen again: every vCPU is idle, no timer is armed, no input can come
14   a fault of reprise itself: please report the message
16   the engines of -engine lockstep differ: standard error says where and how
";

/// Of `reprise diff`: the recordings differ.
pub const DIFFERENT: u8 = 1;

/// Those of `reprise info` and `reprise dump`, for people.
pub const OF_READERS: &str = "\
Exit status:
  0   what was looked at is whole (reprise verify looks at everything)
  2   the recording cannot be read at all
  18  it is damaged: what is whole was shown, and standard error says where the damage is
";

/// Those of `reprise diff`, for people.
pub const OF_DIFF: &str = "\
Exit status:
  0  the recordings are the same
  1  they differ
  2  trouble: one cannot be read, or is damaged; then what is whole was compared
";
