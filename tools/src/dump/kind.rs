//! Kinds of events, by the names that people type and JSON lines have.

use reprise_core::door::HostInput;
use reprise_core::edit::Edit;
use reprise_replay::Event;

/// A kind of event in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes that came in on a character device.
    Chardev,
    /// Somebody came to, or left, a character device.
    Connected,
    /// A frame from a network.
    Frame,
    /// A key.
    Key,
    /// The pointer.
    Pointer,
    /// The power button.
    PowerButton,
    /// The operator's reset.
    Reset,
    /// The operator's end.
    Quit,
    /// A debugger's change.
    Edit,
    /// A cluster of a disk's image. Recordings hold these beside their events, without a tick.
    Cluster,
    /// A cluster that the host could not read.
    ClusterFailed,
    /// Random bytes.
    Random,
    /// A digest of the machine's state.
    Digest,
    /// The end of the run.
    End,
}

impl Kind {
    /// Those that events have, in the order in which they are listed.
    pub const ALL: [Self; 13] = [
        Self::Chardev,
        Self::Connected,
        Self::Frame,
        Self::Key,
        Self::Pointer,
        Self::PowerButton,
        Self::Reset,
        Self::Quit,
        Self::Edit,
        Self::ClusterFailed,
        Self::Random,
        Self::Digest,
        Self::End,
    ];

    /// The kind of an event.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Input(input) => Self::of_input(input),
            Event::Digest(_) => Self::Digest,
            Event::End(_) => Self::End,
        }
    }

    fn of_input(input: &HostInput) -> Self {
        match input {
            HostInput::Chardev { .. } => Self::Chardev,
            HostInput::Connected { .. } => Self::Connected,
            HostInput::Frame { .. } => Self::Frame,
            HostInput::Key(_) => Self::Key,
            HostInput::Pointer(_) => Self::Pointer,
            HostInput::PowerButton => Self::PowerButton,
            HostInput::Reset => Self::Reset,
            HostInput::Quit => Self::Quit,
            HostInput::Edit(_) => Self::Edit,
            HostInput::Cluster { .. } => Self::Cluster,
            HostInput::ClusterFailed { .. } => Self::ClusterFailed,
            HostInput::Random { .. } => Self::Random,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chardev => "chardev",
            Self::Connected => "connected",
            Self::Frame => "frame",
            Self::Key => "key",
            Self::Pointer => "pointer",
            Self::PowerButton => "power-button",
            Self::Reset => "reset",
            Self::Quit => "quit",
            Self::Edit => "edit",
            Self::Cluster => "cluster",
            Self::ClusterFailed => "cluster-failed",
            Self::Random => "random",
            Self::Digest => "digest",
            Self::End => "end",
        }
    }

    /// What it is, for people, with the fields of its JSON object.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Chardev => "bytes for a character device: chardev, data",
            Self::Connected => "somebody came to, or left, a character device: chardev, connected",
            Self::Frame => "an Ethernet frame from a network: netdev, data",
            Self::Key => "a key: code (Linux's KEY_*), down",
            Self::Pointer => "the pointer: dx, dy, wheel, buttons",
            Self::PowerButton => "the power button",
            Self::Reset => "the operator's reset",
            Self::Quit => "the operator's end of the run",
            Self::Edit => "a debugger's change: address, data; or cpu, register, value",
            Self::Cluster => "a part of a disk's image: disk, cluster, data",
            Self::ClusterFailed => "a part of a disk's image that could not be read: disk, cluster",
            Self::Random => "random bytes: rng, data",
            Self::Digest => "a digest of all state: digest",
            Self::End => "the end of the run: reason, status, icount, fingerprint",
        }
    }

    /// Whether it is an input, rather than what the recorder adds.
    pub const fn is_input(self) -> bool {
        !matches!(self, Self::Digest | Self::End)
    }
}

/// The bytes that an input carries.
pub(crate) fn payload(input: &HostInput) -> &[u8] {
    match input {
        HostInput::Chardev { bytes, .. } | HostInput::Random { bytes, .. } => bytes,
        HostInput::Frame { frame, .. } => frame,
        HostInput::Edit(Edit::Memory { address: _, bytes }) => bytes,
        HostInput::Cluster { data, .. } => data,
        HostInput::Connected { .. }
        | HostInput::Key(_)
        | HostInput::Pointer(_)
        | HostInput::PowerButton
        | HostInput::Reset
        | HostInput::Quit
        | HostInput::Edit(Edit::Register { .. })
        | HostInput::ClusterFailed { .. } => &[],
    }
}
