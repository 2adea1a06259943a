//! `-netdev`: networks.

use super::{List, Named};
use crate::usage::UsageError;

/// What `-netdev` takes.
const KINDS: [&str; 0] = [];

/// What serves a network adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetdevBackend {}

/// Adds what `-netdev text` describes to `netdevs`.
pub fn add_netdev(text: &str, _netdevs: &mut Named<NetdevBackend>) -> Result<(), UsageError> {
    let kind = List::parse(text).first.unwrap_or_default();
    Err(UsageError::unknown("kind of -netdev", &kind, &KINDS))
}
