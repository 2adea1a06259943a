//! Which frames are for the driver.
//!
//! Document: VIRTIO 1.2, 5.1.6.5.1 Packet Receive Filtering, 5.1.6.5.2 Setting MAC Address Filtering, 5.1.6.5.3 VLAN
//! Filtering. Until the driver says otherwise the adapter is promiscuous, as QEMU's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An Ethernet address.
pub(super) type MacAddress = [u8; 6];

const BROADCAST: MacAddress = [0xff; 6];
/// Set in the first byte of addresses of groups.
const GROUP: u8 = 1;
/// Ethernet type of a VLAN tag.
const VLAN_TAG: [u8; 2] = [0x81, 0x00];
/// The bits of a tag that are the VLAN's number.
const VLAN_MASK: u16 = 0xfff;
/// Most addresses of each table; with more, all are admitted, as in QEMU.
const TABLE_LIMIT: usize = 64;

/// Reads the address of one adapter.
pub(super) fn parse(text: &str) -> Option<MacAddress> {
    let bytes: Option<Vec<u8>> = text.split([':', '-']).map(byte).collect();
    let mac: MacAddress = bytes?.try_into().ok()?;
    (mac[0] & GROUP == 0 && mac != [0; 6]).then_some(mac)
}

fn byte(text: &str) -> Option<u8> {
    let is_hex = (1..=2).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(text, 16).ok())?
}

/// Addresses that are admitted beside the adapter's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    addresses: Vec<MacAddress>,
    /// There were too many: all are admitted.
    overflow: bool,
}

impl Table {
    /// A table of `addresses`, one after the other.
    pub(super) fn new(addresses: &[u8]) -> Self {
        let (addresses, _) = addresses.as_chunks::<6>();
        if addresses.len() > TABLE_LIMIT {
            return Self { addresses: Vec::new(), overflow: true };
        }
        Self { addresses: addresses.to_vec(), overflow: false }
    }

    fn has(&self, address: &MacAddress) -> bool {
        self.overflow || self.addresses.contains(address)
    }
}

/// What is admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filter {
    pub(super) promisc: bool,
    pub(super) allmulti: bool,
    pub(super) alluni: bool,
    pub(super) nomulti: bool,
    pub(super) nouni: bool,
    pub(super) nobcast: bool,
    pub(super) unicast: Table,
    pub(super) multicast: Table,
    /// Numbers of the VLANs whose frames are admitted, if the driver filters them.
    pub(super) vlans: BTreeSet<u16>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            promisc: true,
            allmulti: false,
            alluni: false,
            nomulti: false,
            nouni: false,
            nobcast: false,
            unicast: Table::default(),
            multicast: Table::default(),
            vlans: BTreeSet::new(),
        }
    }
}

impl Filter {
    /// Whether a frame is for the adapter with the address `own`; `by_vlan` is whether the driver filters VLANs.
    pub(super) fn admits(&self, frame: &[u8], own: MacAddress, by_vlan: bool) -> bool {
        let Some(to) = frame.first_chunk::<6>() else { return false };
        if self.promisc {
            return true;
        }
        if by_vlan && vlan(frame).is_some_and(|number| !self.vlans.contains(&number)) {
            return false;
        }
        match to {
            &BROADCAST => !self.nobcast,
            to if to[0] & GROUP != 0 => !self.nomulti && (self.allmulti || self.multicast.has(to)),
            to => !self.nouni && (self.alluni || *to == own || self.unicast.has(to)),
        }
    }
}

/// The number of the VLAN that a frame is tagged with.
fn vlan(frame: &[u8]) -> Option<u16> {
    let tag = frame.get(12..16).filter(|tag| tag[..2] == VLAN_TAG)?;
    Some(u16::from_be_bytes([tag[2], tag[3]]) & VLAN_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddress = [0x52, 0x54, 0, 0, 0, 1];
    const OTHER: MacAddress = [0x52, 0x54, 0, 0, 0, 2];
    const FAMILY: MacAddress = [0x33, 0x33, 0, 0, 0, 1];

    fn to(address: MacAddress) -> Vec<u8> {
        [&address[..], &[0; 54]].concat()
    }

    fn tagged(number: u16) -> Vec<u8> {
        let [high, low] = (0xe000 | number).to_be_bytes();
        [&OWN[..], &[0; 6], &[0x81, 0, high, low], &[0; 46]].concat()
    }

    /// Which of own, other, family and broadcast get through.
    fn admitted(filter: &Filter) -> [bool; 4] {
        [OWN, OTHER, FAMILY, BROADCAST].map(|address| filter.admits(&to(address), OWN, false))
    }

    #[test]
    fn modes_and_tables() {
        let quiet = || Filter { promisc: false, ..Filter::default() };
        assert_eq!(admitted(&Filter::default()), [true; 4]);
        assert_eq!(admitted(&quiet()), [true, false, false, true]);
        assert_eq!(admitted(&Filter { alluni: true, ..quiet() }), [true, true, false, true]);
        assert_eq!(admitted(&Filter { allmulti: true, ..quiet() }), [true, false, true, true]);
        assert_eq!(admitted(&Filter { allmulti: true, nomulti: true, ..quiet() }), [true, false, false, true]);
        assert_eq!(admitted(&Filter { nouni: true, nobcast: true, ..quiet() }), [false; 4]);
        let tables = Filter { unicast: Table::new(&OTHER), multicast: Table::new(&FAMILY), ..quiet() };
        assert_eq!(admitted(&tables), [true; 4]);
        let full = Table::new(&[0xab; 6 * (TABLE_LIMIT + 1)]);
        assert_eq!(admitted(&Filter { unicast: full.clone(), ..quiet() }), [true, true, false, true]);
        assert_eq!(admitted(&Filter { multicast: full, ..quiet() }), [true, false, true, true]);
        assert!(!quiet().admits(&OWN[..5], OWN, false));
    }

    #[test]
    fn vlans_that_the_driver_named() {
        let mut filter = Filter { promisc: false, ..Filter::default() };
        filter.vlans.insert(7);
        assert!(filter.admits(&tagged(7), OWN, true) && !filter.admits(&tagged(8), OWN, true));
        assert!(filter.admits(&tagged(8), OWN, false) && filter.admits(&to(OWN), OWN, true));
        assert_eq!(vlan(&[0x81; 15]), None);
    }

    #[test]
    fn addresses_as_people_write_them() {
        assert_eq!(parse("52:54:00:00:00:01"), Some(OWN));
        assert_eq!(parse("52-54-0-0-0-1"), Some(OWN));
        for text in [
            "",
            "52:54:00:00:00",
            "52:54:00:00:00:01:02",
            "53:54:00:00:00:01",
            "0:0:0:0:0:0",
            "52:54:00:00:00:+1",
            "g:0:0:0:0:1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
