//! `-netdev tap`.

use super::Network;
use crate::usage::UsageError;
use reprise_backend::netdev::TapOptions;
use std::path::PathBuf;

pub(super) const NAMES: [&str; 5] = ["id", "ifname", "script", "downscript", "fd"];

/// A tap. Unlike QEMU's, it has no script unless one is named: what that would do to the host is nobody's guess.
pub(super) fn parse(mut network: Network) -> Result<TapOptions, UsageError> {
    if network.switch("vhost")? == Some(true) {
        return Err(
            network.wrong("vhost=on is not supported: frames would go past the door at which inputs are recorded")
        );
    }
    if network.switch("vnet_hdr")? == Some(true) {
        return Err(network.wrong("vnet_hdr=on is not supported: the host's kernel completes frames itself"));
    }
    if network.take_as::<u32>("queues", "a number")?.is_some_and(|queues| queues != 1) {
        return Err(network.wrong("queues= is not supported: an adapter has one pair of queues"));
    }
    for name in ["br", "helper"] {
        network.refuse(name, "make the bridge yourself, in script= say")?;
    }
    let name = network.take("ifname");
    let [script, downscript] = ["script", "downscript"].map(|name| script(network.take(name)));
    let descriptor = network.take_as::<u16>("fd", "the number of a descriptor")?;
    let is_named = name.is_some() || script.is_some() || downscript.is_some();
    if descriptor.is_some() && is_named {
        return Err(network.wrong("ifname=, script= and downscript= are for a tap that has no fd="));
    }
    network.finish("tap", &NAMES)?;
    Ok(match descriptor {
        Some(number) => TapOptions::Descriptor(number.into()),
        None => TapOptions::Interface { name: name.unwrap_or_default(), script, downscript },
    })
}

fn script(value: Option<String>) -> Option<PathBuf> {
    value.filter(|path| !path.is_empty() && path != "no").map(Into::into)
}
