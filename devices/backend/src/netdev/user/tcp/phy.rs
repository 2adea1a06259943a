//! What the TCP of smoltcp sends and receives on.

use crate::netdev::user::link::{Link, MTU};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// The packets that the guest sent, and the wire to it.
pub(super) struct Phy<'a> {
    pub(super) packets: &'a mut VecDeque<Vec<u8>>,
    pub(super) link: &'a mut Link,
}

/// A packet of the guest's.
pub(super) struct Incoming(Vec<u8>);

/// Room for a packet to the guest.
pub(super) struct Outgoing<'a>(&'a mut Link);

impl Device for Phy<'_> {
    type RxToken<'t>
        = Incoming
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.packets.pop_front()?;
        Some((Incoming(packet), Outgoing(self.link)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        (!self.link.is_full()).then_some(Outgoing(self.link))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.send(length, fill)
    }
}
