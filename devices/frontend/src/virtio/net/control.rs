//! Commands of the driver.
//!
//! Document: VIRTIO 1.2, 5.1.6.5 Control Virtqueue.

use super::filter::{Filter, Table};
use super::{CONTROL, SPEC, VirtioNet, feature};
use crate::virtio::{Chain, VirtioIo};

/// Most bytes of a command that are looked at: more addresses than any table has.
const COMMAND_LIMIT: u64 = 1 << 16;

/// Answers.
const OK: u8 = 0;
const ERR: u8 = 1;

/// Classes of commands.
mod class {
    pub(super) const RX: u8 = 0;
    pub(super) const MAC: u8 = 1;
    pub(super) const VLAN: u8 = 2;
}

/// Commands of [`class::MAC`].
const MAC_TABLE_SET: u8 = 0;
const MAC_ADDR_SET: u8 = 1;

/// Commands of [`class::VLAN`].
const VLAN_ADD: u8 = 0;
const VLAN_DEL: u8 = 1;
/// There are no numbers of VLANs from here on.
const VLAN_LIMIT: u16 = 4096;

impl VirtioNet {
    /// Does what the driver asks for.
    pub(super) fn obey(&mut self, io: &mut VirtioIo<'_, '_>) {
        while let Some(chain) = io.pop(CONTROL) {
            let command = read_command(&chain, io);
            let answer = match self.execute(&command, io.features()) {
                Some(()) => OK,
                None => {
                    let head = &command[..command.len().min(2)];
                    log::debug!(target: "guest_errors", "{}: command {head:x?} refused", SPEC.name);
                    ERR
                }
            };
            let written = chain.write(0, &[answer], io.ctx());
            io.push(&chain, written as u32);
        }
    }

    /// Executes a command; `None` if it is none.
    fn execute(&mut self, command: &[u8], features: u64) -> Option<()> {
        let (&[class, number], data) = command.split_first_chunk()?;
        let needed = match (class, number) {
            (class::RX, ..=1) => feature::CTRL_RX,
            (class::RX, _) => feature::CTRL_RX_EXTRA,
            (class::MAC, MAC_TABLE_SET) => feature::CTRL_RX,
            (class::MAC, _) => feature::CTRL_MAC_ADDR,
            (class::VLAN, _) => feature::CTRL_VLAN,
            _ => return None,
        };
        if features & needed == 0 {
            return None;
        }
        match (class, number) {
            (class::RX, _) => set_mode(&mut self.state.filter, number, data),
            (class::MAC, MAC_TABLE_SET) => set_tables(&mut self.state.filter, data),
            (class::MAC, MAC_ADDR_SET) => {
                self.state.mac = data.try_into().ok()?;
                Some(())
            }
            (class::VLAN, _) => set_vlan(&mut self.state.filter, number, data),
            _ => None,
        }
    }
}

fn read_command(chain: &Chain, io: &mut VirtioIo<'_, '_>) -> Vec<u8> {
    let mut command = vec![0; chain.readable_len().min(COMMAND_LIMIT) as usize];
    chain.read(0, &mut command, io.ctx());
    command
}

/// 5.1.6.5.1 Packet Receive Filtering.
fn set_mode(filter: &mut Filter, number: u8, data: &[u8]) -> Option<()> {
    let mode = match number {
        0 => &mut filter.promisc,
        1 => &mut filter.allmulti,
        2 => &mut filter.alluni,
        3 => &mut filter.nomulti,
        4 => &mut filter.nouni,
        5 => &mut filter.nobcast,
        _ => return None,
    };
    let &[on] = data else { return None };
    *mode = on != 0;
    Some(())
}

/// 5.1.6.5.2 Setting MAC Address Filtering.
fn set_tables(filter: &mut Filter, data: &[u8]) -> Option<()> {
    let (unicast, rest) = take_table(data)?;
    let (multicast, rest) = take_table(rest)?;
    if !rest.is_empty() {
        return None;
    }
    (filter.unicast, filter.multicast) = (unicast, multicast);
    Some(())
}

fn take_table(data: &[u8]) -> Option<(Table, &[u8])> {
    let (entries, rest) = data.split_first_chunk()?;
    let length = (u32::from_le_bytes(*entries) as usize).checked_mul(6)?;
    let (addresses, rest) = rest.split_at_checked(length)?;
    Some((Table::new(addresses), rest))
}

/// 5.1.6.5.3 VLAN Filtering.
fn set_vlan(filter: &mut Filter, number: u8, data: &[u8]) -> Option<()> {
    let vlan = u16::from_le_bytes(data.try_into().ok()?);
    if vlan >= VLAN_LIMIT {
        return None;
    }
    match number {
        VLAN_ADD => drop(filter.vlans.insert(vlan)),
        VLAN_DEL => drop(filter.vlans.remove(&vlan)),
        _ => return None,
    }
    Some(())
}
