//! The firmware configuration device: how the machine hands tables, kernels and settings to firmware and kernels.
//!
//! Document: QEMU, docs/specs/fw_cfg: "QEMU Firmware Configuration (fw_cfg) Device", the I/O port interface with DMA. What
//! the device holds is configuration, settled before the machine starts; state is only which item is read, and where.
//! No item can be written, so a DMA write ends with the error bit, as does a DMA read that asks for more than
//! [`PADDING_LIMIT`] bytes past the end of an item (QEMU would fill all of them with zeros).

use reprise_core::board::{Board, DeviceId, Region};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Item: the four bytes `QEMU`.
const SIGNATURE: u16 = 0x00;
/// Item: which interfaces there are.
const ID: u16 = 0x01;
/// Item: bytes of RAM, eight bytes.
pub const RAM_SIZE: u16 = 0x03;
/// Item: whether the machine has no display, two bytes.
pub const NOGRAPHIC: u16 = 0x04;
/// Item: number of CPUs at start, two bytes.
pub const NB_CPUS: u16 = 0x05;
/// Item: address of the kernel, four bytes.
pub const KERNEL_ADDR: u16 = 0x07;
/// Item: size of the kernel, four bytes.
pub const KERNEL_SIZE: u16 = 0x08;
/// Item: address of the initrd, four bytes.
pub const INITRD_ADDR: u16 = 0x0a;
/// Item: size of the initrd, four bytes.
pub const INITRD_SIZE: u16 = 0x0b;
/// Item: largest number of CPUs, two bytes.
pub const MAX_CPUS: u16 = 0x0f;
/// Item: the kernel.
pub const KERNEL_DATA: u16 = 0x11;
/// Item: the initrd.
pub const INITRD_DATA: u16 = 0x12;
/// Item: address of the command line, four bytes.
pub const CMDLINE_ADDR: u16 = 0x13;
/// Item: size of the command line with its final zero, four bytes.
pub const CMDLINE_SIZE: u16 = 0x14;
/// Item: the command line with its final zero.
pub const CMDLINE_DATA: u16 = 0x15;
/// Item: address of the kernel's setup code, four bytes.
pub const SETUP_ADDR: u16 = 0x16;
/// Item: size of the kernel's setup code, four bytes.
pub const SETUP_SIZE: u16 = 0x17;
/// Item: the kernel's setup code.
pub const SETUP_DATA: u16 = 0x18;
/// Item: the directory of files.
const FILE_DIR: u16 = 0x19;
/// Item: the first file.
const FILE_FIRST: u16 = 0x20;
/// Most files that there are items for, as QEMU has them.
const FILE_SLOTS: usize = 0x1000 - FILE_FIRST as usize;
/// Longest name of a file; a zero ends it.
const NAME_LIMIT: usize = 55;

/// The traditional interface, and DMA.
const ID_TRADITIONAL_AND_DMA: u32 = 3;
/// What the DMA register reads as.
const DMA_SIGNATURE: &[u8; 8] = b"QEMU CFG";
/// Most bytes past the end of an item that a DMA read fills with zeros.
pub const PADDING_LIMIT: usize = 1 << 20;

const CONTROL_ERROR: u32 = 1 << 0;
const CONTROL_READ: u32 = 1 << 1;
const CONTROL_SKIP: u32 = 1 << 2;
const CONTROL_SELECT: u32 = 1 << 3;
const CONTROL_WRITE: u32 = 1 << 4;

/// Selector and data port.
const PORTS: u32 = 0;
/// DMA address register.
const DMA: u32 = 1;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "fw_cfg_io",
    category: Category::Misc,
    bus: "",
    description: "Firmware configuration device at I/O ports",
    user_creatable: false,
    properties: &[],
    attach: attach_bare,
};

/// One that describes the board and holds no files.
fn attach_bare(board: &mut Board, _properties: &Properties) -> Result<DeviceId, AttachError> {
    let items = Items::of_board(board);
    attach(board, items)
}

/// Puts the device with `items` on the board.
pub fn attach(board: &mut Board, items: Items) -> Result<DeviceId, AttachError> {
    let id = board.add_device(SPEC.name, Box::new(FwCfg::new(items)));
    let ports = Region::ports(PORTS, 0x510..0x512).widths(1, 2);
    let dma = Region::ports(DMA, 0x514..0x51c).widths(1, 4);
    for region in [ports, dma] {
        board.map(id, region).map_err(|source| AttachError::Map { device: SPEC.name, source })?;
    }
    Ok(id)
}

/// A file that the device cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Its name is empty, or too long.
    #[error("fw_cfg file '{0}': the name must have 1 to {NAME_LIMIT} bytes")]
    Name(String),
    /// There is one of this name already.
    #[error("fw_cfg file '{0}' is there already")]
    Taken(String),
    /// It is too large for the directory.
    #[error("fw_cfg file '{0}' is not smaller than 4 GiB")]
    TooLarge(String),
    /// There are too many.
    #[error("fw_cfg has no room for more than {FILE_SLOTS} files")]
    TooMany,
}

/// What the device holds.
#[derive(Clone, Debug, Default)]
pub struct Items {
    numbered: BTreeMap<u16, Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Items {
    /// RAM size and number of CPUs of `board`.
    pub fn of_board(board: &Board) -> Self {
        let cpus = board.apics.len() as u16;
        let mut items = Self::default();
        items.set(RAM_SIZE, board.ram.len().to_le_bytes().to_vec());
        items.set(NOGRAPHIC, 1u16.to_le_bytes().to_vec());
        items.set(NB_CPUS, cpus.to_le_bytes().to_vec());
        items.set(MAX_CPUS, cpus.to_le_bytes().to_vec());
        items
    }

    /// Sets a numbered item, one of the constants here; numbers are little-endian.
    pub fn set(&mut self, item: u16, data: Vec<u8>) {
        assert!(u32::try_from(data.len()).is_ok(), "fw_cfg item {item:#06x} is not smaller than 4 GiB");
        self.numbered.insert(item, data);
    }

    /// Adds a named file, as `etc/e820`.
    pub fn add_file(&mut self, name: &str, data: Vec<u8>) -> Result<(), FileError> {
        if name.is_empty() || name.len() > NAME_LIMIT {
            return Err(FileError::Name(name.to_owned()));
        }
        if u32::try_from(data.len()).is_err() {
            return Err(FileError::TooLarge(name.to_owned()));
        }
        if self.files.len() == FILE_SLOTS {
            return Err(FileError::TooMany);
        }
        if self.files.contains_key(name) {
            return Err(FileError::Taken(name.to_owned()));
        }
        self.files.insert(name.to_owned(), data);
        Ok(())
    }

    /// All items by number, with those that the device makes itself: files have theirs in the order of their names.
    fn numbered(self) -> BTreeMap<u16, Vec<u8>> {
        let mut all = self.numbered;
        all.insert(SIGNATURE, b"QEMU".to_vec());
        all.insert(ID, ID_TRADITIONAL_AND_DMA.to_le_bytes().to_vec());
        let mut directory = (self.files.len() as u32).to_be_bytes().to_vec();
        for (item, (name, data)) in (FILE_FIRST..).zip(self.files) {
            directory.extend_from_slice(&(data.len() as u32).to_be_bytes());
            directory.extend_from_slice(&item.to_be_bytes());
            directory.extend_from_slice(&[0; 2]);
            directory.extend_from_slice(name.as_bytes());
            directory.resize(directory.len() + NAME_LIMIT + 1 - name.len(), 0);
            all.insert(item, data);
        }
        all.insert(FILE_DIR, directory);
        all
    }
}

/// Everything that software can observe of the device besides what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgState {
    item: u16,
    offset: u32,
    /// High half of the address of the next DMA descriptor.
    dma_high: u32,
}

/// The device.
pub struct FwCfg {
    items: BTreeMap<u16, Vec<u8>>,
    state: FwCfgState,
}

impl FwCfg {
    /// A device after power-on that holds `items`.
    pub fn new(items: Items) -> Self {
        Self { items: items.numbered(), state: FwCfgState::default() }
    }
}

impl Device for FwCfg {
    fn read(&mut self, region: u32, offset: u64, width: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.peek(region, offset, width, ctx.now());
        if region == PORTS && width == Width::Byte && !self.rest().is_empty() {
            self.state.offset += 1;
        }
        value
    }

    fn write(&mut self, region: u32, offset: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
        match (region, offset, width) {
            (PORTS, _, Width::Word) => self.select(value as u16),
            (DMA, 0, Width::Dword) => self.state.dma_high = (value as u32).swap_bytes(),
            (DMA, 4, Width::Dword) => {
                let high = std::mem::take(&mut self.state.dma_high);
                self.run_dma(u64::from(high) << 32 | u64::from((value as u32).swap_bytes()), ctx);
            }
            _ => log::debug!(target: "guest_errors", "fw_cfg: write of {} bytes at {offset} is ignored", width.bytes()),
        }
    }

    fn peek(&self, region: u32, offset: u64, width: Width, _now: Tick) -> u64 {
        match (region, width) {
            (PORTS, Width::Byte) => self.rest().first().map_or(0, |&byte| u64::from(byte)),
            (DMA, _) => {
                let bytes = DMA_SIGNATURE.iter().skip(offset as usize).take(width.bytes() as usize);
                bytes.rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
            _ => u64::MAX,
        }
    }

    fn timer(&mut self, _slot: u32, _ctx: &mut Context<'_>) {}

    fn line(&mut self, _pin: u32, _level: bool, _ctx: &mut Context<'_>) {}

    fn input(&mut self, _input: DeviceInput<'_>, _ctx: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self, _ctx: &mut Context<'_>) {
        self.state = FwCfgState::default();
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }
}

impl FwCfg {
    fn select(&mut self, item: u16) {
        (self.state.item, self.state.offset) = (item, 0);
    }

    /// What is left to read of the selected item.
    fn rest(&self) -> &[u8] {
        let data = self.items.get(&self.state.item).map_or(&[][..], Vec::as_slice);
        data.get(self.state.offset as usize..).unwrap_or(&[])
    }

    /// Carries out the descriptor at `address`: control, length and address, all big-endian (fw_cfg, "Guest-side DMA
    /// Interface"). What stays set in its control word tells the guest how that went.
    fn run_dma(&mut self, address: u64, ctx: &mut Context<'_>) {
        let mut descriptor = [0; 16];
        ctx.dma_read(address, &mut descriptor);
        let [control, length, high, low] =
            [0, 4, 8, 12].map(|at| u32::from_be_bytes([0, 1, 2, 3].map(|byte| descriptor[at + byte])));
        let target = u64::from(high) << 32 | u64::from(low);
        if control & CONTROL_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let done = if control & CONTROL_READ != 0 {
            self.copy_out(target, length as usize, ctx)
        } else if control & CONTROL_WRITE != 0 {
            length == 0
        } else {
            let skipped = if control & CONTROL_SKIP != 0 { self.rest().len().min(length as usize) } else { 0 };
            self.state.offset += skipped as u32;
            true
        };
        let status = if done { 0 } else { CONTROL_ERROR };
        ctx.dma_write(address, &status.to_be_bytes());
    }

    /// Copies `length` bytes of the item to guest memory, with zeros after its end; false if that is too much to ask.
    fn copy_out(&mut self, target: u64, length: usize, ctx: &mut Context<'_>) -> bool {
        let count = self.rest().len().min(length);
        let padding = length - count;
        ctx.dma_write(target, &self.rest()[..count]);
        self.state.offset += count as u32;
        if padding > PADDING_LIMIT {
            log::debug!(target: "guest_errors", "fw_cfg: a read goes {padding:#x} bytes past the end of its item");
            return false;
        }
        ctx.dma_write(target.wrapping_add(count as u64), &vec![0; padding]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Space;

    const AT: u64 = 0x1000;
    const TARGET: u64 = 0x2000;

    fn machine() -> Board {
        let mut board = Board::new(8 << 20, 3).unwrap();
        let mut items = Items::of_board(&board);
        items.add_file("etc/zebra", b"stripes".to_vec()).unwrap();
        items.add_file("etc/ant", vec![7; 300]).unwrap();
        attach(&mut board, items).unwrap();
        board
    }

    fn read_item(board: &mut Board, item: u16, count: usize) -> Vec<u8> {
        board.write(Space::Port, 0x510, 2, u64::from(item));
        (0..count).map(|_| board.read(Space::Port, 0x511, 1) as u8).collect()
    }

    /// Runs a descriptor and returns the control word that it leaves.
    fn dma(board: &mut Board, control: u32, length: u32) -> u32 {
        let mut descriptor = [control.to_be_bytes(), length.to_be_bytes(), [0; 4], (TARGET as u32).to_be_bytes()];
        board.dma_write(AT, descriptor.as_flattened());
        board.write(Space::Port, 0x514, 4, 0);
        board.write(Space::Port, 0x518, 4, u64::from((AT as u32).swap_bytes()));
        board.dma_read(AT, descriptor.as_flattened_mut());
        u32::from_be_bytes(descriptor[0])
    }

    fn memory(board: &Board, length: usize) -> Vec<u8> {
        board.ram.slice(TARGET, length).unwrap().to_vec()
    }

    #[test]
    fn signature_id_and_numbers() {
        let mut board = machine();
        assert_eq!(read_item(&mut board, SIGNATURE, 6), b"QEMU\0\0");
        assert_eq!(read_item(&mut board, ID, 4), [3, 0, 0, 0]);
        assert_eq!(read_item(&mut board, NB_CPUS, 2), [3, 0]);
        assert_eq!(read_item(&mut board, RAM_SIZE, 8), (8u64 << 20).to_le_bytes());
        assert_eq!(read_item(&mut board, 0xffff, 1), [0]);
        assert_eq!(board.read(Space::Port, 0x514, 4), 0x554d_4551);
        assert_eq!(board.read(Space::Port, 0x518, 4), 0x4746_4320);
    }

    #[test]
    fn the_directory_is_sorted() {
        let mut board = machine();
        let directory = read_item(&mut board, FILE_DIR, 4 + 2 * 64);
        assert_eq!(directory[..4], [0, 0, 0, 2]);
        assert_eq!(directory[4..12], [0, 0, 1, 44, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..20], b"etc/ant\0");
        assert_eq!(directory[68..76], [0, 0, 0, 7, 0, 0x21, 0, 0]);
        assert_eq!(read_item(&mut board, 0x21, 8), b"stripes\0");
    }

    #[test]
    fn dma_reads_skips_and_pads() {
        let mut board = machine();
        board.dma_write(TARGET, &[0xee; 8]);
        assert_eq!(dma(&mut board, 0x21 << 16 | CONTROL_SELECT | CONTROL_SKIP, 2), 0);
        assert_eq!(dma(&mut board, CONTROL_READ, 3), 0);
        assert_eq!(memory(&board, 4), b"rip\xee");
        assert_eq!(dma(&mut board, CONTROL_READ, 4), 0);
        assert_eq!(memory(&board, 5), b"es\0\0\xee");
    }

    #[test]
    fn dma_refuses_writes_and_endless_reads() {
        let mut board = machine();
        assert_eq!(dma(&mut board, 0x21 << 16 | CONTROL_SELECT | CONTROL_WRITE, 4), CONTROL_ERROR);
        assert_eq!(dma(&mut board, CONTROL_READ, u32::MAX), CONTROL_ERROR);
        assert_eq!(dma(&mut board, CONTROL_SKIP, u32::MAX), 0);
        assert_eq!(read_item(&mut board, 0x21, 1), b"s");
    }

    #[test]
    fn names_are_checked() {
        let mut items = Items::default();
        assert_eq!(items.add_file("", vec![]), Err(FileError::Name(String::new())));
        assert_eq!(items.add_file(&"x".repeat(56), vec![]), Err(FileError::Name("x".repeat(56))));
        items.add_file(&"x".repeat(55), vec![]).unwrap();
        assert_eq!(items.add_file(&"x".repeat(55), vec![]), Err(FileError::Taken("x".repeat(55))));
    }
}
