//! `-netdev` and `-nic`: networks, and adapters on them.

pub(super) mod dump;
mod nic;
mod sockets;
mod tap;
mod user;

pub use dump::{DumpOption, replayed_dump};
pub use nic::{add_nic, check_adapters, network_of};

use super::{List, Named};
use crate::usage::UsageError;
use reprise_backend::netdev::user::UserOptions;
use reprise_backend::netdev::{DgramOptions, StreamOptions, TapOptions};
use std::str::FromStr;

/// What `-netdev` takes: kinds, what they are, and their properties.
const KINDS: [(&str, &str, &[&str]); 5] = [
    ("user", "a network of the guest's own behind address translation; needs no privilege", &user::NAMES),
    ("tap", "an interface of the host", &tap::NAMES),
    ("socket", "peers over TCP, UDP or multicast, in QEMU's older notation", &sockets::SOCKET_NAMES),
    ("stream", "a peer at the other end of a TCP or Unix socket", &sockets::STREAM_NAMES),
    ("dgram", "peers that are sent datagrams", &sockets::DGRAM_NAMES),
];

/// What serves a network adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetdevBackend {
    /// A network of the guest's own behind address translation.
    User(UserOptions),
    /// An interface of the host.
    Tap(TapOptions),
    /// A peer at the other end of a stream.
    Stream(StreamOptions),
    /// Peers that are sent datagrams.
    Dgram(DgramOptions),
}

/// Adds what `-netdev text` describes to `netdevs`.
pub fn add_netdev(text: &str, netdevs: &mut Named<NetdevBackend>) -> Result<(), UsageError> {
    let mut network = Network::parse("-netdev", text);
    let id = network.take("id").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| network.wrong("it has no id: add id=NAME"))?;
    netdevs.add(&id, network.backend()?).map(drop)
}

/// What `-netdev text` and `-nic text` show if it asks for help.
pub fn netdev_help(text: &str) -> Option<String> {
    let line = |(name, description, properties): &(&str, &str, &[&str])| {
        format!("  {name:<8} {description}\n           properties: {}\n", properties.join(", "))
    };
    let list = || KINDS.iter().map(line).fold("Kinds of networks:\n".to_owned(), |all, line| all + &line);
    matches!(text, "help" | "?").then(list)
}

/// What a user wrote about a network.
struct Network {
    option: &'static str,
    text: String,
    list: List,
}

impl Network {
    fn parse(option: &'static str, text: &str) -> Self {
        Self { option, text: text.into(), list: List::parse(text) }
    }

    /// The network, made of all that is left in the list.
    fn backend(mut self) -> Result<NetdevBackend, UsageError> {
        let kind = self.list.first.take().or_else(|| self.take("type")).unwrap_or_default();
        match kind.as_str() {
            "user" => user::parse(self).map(NetdevBackend::User),
            "tap" => tap::parse(self).map(NetdevBackend::Tap),
            "socket" => sockets::parse_socket(self),
            "stream" => sockets::parse_stream(self).map(NetdevBackend::Stream),
            "dgram" => sockets::parse_dgram(self).map(NetdevBackend::Dgram),
            _ => {
                let kinds = KINDS.map(|(name, ..)| name);
                Err(UsageError::unknown(&format!("kind of {}", self.option), &kind, &kinds))
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.list.take(name)
    }

    /// The value of `name`, which must be `expected`.
    fn take_as<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, UsageError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| self.wrong(format!("{name}={value}: expected {expected}")))
    }

    fn switch(&mut self, name: &str) -> Result<Option<bool>, UsageError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("on") => Ok(Some(true)),
            Some("off") => Ok(Some(false)),
            Some(value) => Err(self.wrong(format!("{name}={value}: expected on or off"))),
        }
    }

    /// Refuses `name` for `reason`, if it is there.
    fn refuse(&mut self, name: &str, reason: &str) -> Result<(), UsageError> {
        match self.take(name) {
            None => Ok(()),
            Some(_) => Err(self.wrong(format!("{name}= is not supported: {reason}"))),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> UsageError {
        UsageError::new(format!("{} '{}': {what}", self.option, self.text))
    }

    /// Refuses what is left in the list; `choices` is what there could have been.
    fn finish(self, kind: &str, choices: &[&str]) -> Result<(), UsageError> {
        self.list.finish(&format!("{} {kind}", self.option), choices)
    }
}

#[cfg(test)]
mod tests;
