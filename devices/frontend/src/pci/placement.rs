//! Where on a bus a function goes that a user adds: the properties `bus` and `addr` of every such device.

use super::{BUS, Layout, interrupt_gsi};
use reprise_core::board::{Board, DeviceId, LineId, Region};
use reprise_core::property::{AttachError, DeviceSpec, Properties, PropertyKind, PropertySpec};

/// The first slot that is given out: the host bridge has the one before.
const FIRST_SLOT: u32 = 1;

/// The property that names the bus.
pub const BUS_PROPERTY: PropertySpec = PropertySpec {
    name: "bus",
    kind: PropertyKind::Text,
    default: "",
    description: "bus to plug into; the first one if it is not given",
};

/// The property that names the slot.
pub const ADDR_PROPERTY: PropertySpec = PropertySpec {
    name: "addr",
    kind: PropertyKind::Text,
    default: "",
    description: "slot, and after a dot function 0, in hexadecimal digits; the first free one if it is not given",
};

/// A slot of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device number on the bus.
    pub slot: u8,
}

impl Place {
    /// Takes the slot that `properties` ask for.
    pub fn take(board: &mut Board, spec: &'static DeviceSpec, properties: &Properties) -> Result<Self, AttachError> {
        let address = Some(properties.text("addr")).filter(|text| !text.is_empty());
        let slot = address.map(|text| parse_address(text).ok_or_else(|| refused(spec, text))).transpose()?;
        let bus = Some(properties.text("bus")).filter(|text| !text.is_empty());
        let (_, slot) = board
            .plug(BUS, bus, slot, FIRST_SLOT, spec.name)
            .map_err(|source| AttachError::Plug { device: spec.name, source })?;
        Ok(Self { slot: slot as u8 })
    }

    /// Gives the function interrupt pin INTA#, connected as the slot has it.
    #[must_use]
    pub fn with_interrupt(self, board: &mut Board, layout: Layout) -> Layout {
        layout.interrupt_pin(1, board.connect_output(LineId::gsi(interrupt_gsi(self.slot, 0))))
    }

    /// Maps the configuration space of `device`, which knows it as `region`.
    pub fn map(self, board: &mut Board, name: &'static str, device: DeviceId, region: u32) -> Result<(), AttachError> {
        let region = Region::config(region, self.slot, 0);
        board.map(device, region).map_err(|source| AttachError::Map { device: name, source })
    }
}

fn refused(spec: &DeviceSpec, text: &str) -> AttachError {
    let reason = format!("addr={text} is no slot: expected 0 to 1f in hexadecimal digits, and function 0");
    AttachError::Invalid { device: spec.name, reason }
}

/// The slot in `3`, `03.0` or `0x3`: QEMU takes the digits as hexadecimal either way.
fn parse_address(text: &str) -> Option<u32> {
    let (slot, function) = text.split_once('.').unwrap_or((text, "0"));
    let hexadecimal = |digits: &str| {
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
    };
    (hexadecimal(function)? == 0).then(|| hexadecimal(slot)).flatten().filter(|&slot| slot < 32)
}

#[cfg(test)]
mod tests {
    use super::parse_address;

    #[test]
    fn addresses_are_slots_in_hexadecimal_digits() {
        assert_eq!(["3", "03.0", "0x3", "1f", "0x1e.0x0"].map(parse_address), [3, 3, 3, 31, 30].map(Some));
        assert_eq!(["", ".", "3.1", "20", "x", "0x", "+3", "3.0.0", "-1"].map(parse_address), [None; 9]);
    }
}
