//! The pair of interrupt controllers at the ISA bus: the second one sits on input 2 of the first.
//!
//! Documents: Intel 8259A Programmable Interrupt Controller, "Initialization Command Words" and "Operation Command
//! Words"; Intel ICH9 datasheet, 13.4 8259 Interrupt Controller Registers, for the edge/level control registers.
//!
//! As on hardware, a request that is withdrawn before its acknowledge is gone, and an acknowledge without a request
//! gives the vector of input 7. Not modelled: MCS-80 mode, buffered mode, other cascades than the PC's (the third
//! initialization word has no effect).

use super::map;
use reprise_core::board::{Board, DeviceId, LineId, OutputPin, Region, Sink};
use reprise_core::clock::Tick;
use reprise_core::device::{Context, Device, DeviceInput, Width};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties};
use reprise_core::state::{StateError, decode, encode};
use serde::{Deserialize, Serialize};

/// Input of the first controller that the second one's output is connected to.
const CASCADE: u8 = 2;
/// Region of the edge/level control registers; 0 and 1 are the controllers.
const ELCR: u32 = 2;
/// Inputs of each controller that can be level-triggered.
const ELCR_WRITABLE: [u8; 2] = [0xf8, 0xde];

const ICW1: u8 = 1 << 4;
const ICW1_IC4: u8 = 1 << 0;
const ICW1_SNGL: u8 = 1 << 1;
const ICW1_LTIM: u8 = 1 << 3;
const ICW4_AEOI: u8 = 1 << 1;
const ICW4_SFNM: u8 = 1 << 4;
const OCW3: u8 = 1 << 3;
const OCW3_POLL: u8 = 1 << 2;

/// What it is.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "isa-i8259",
    category: Category::Bridge,
    bus: "",
    description: "Pair of 8259A interrupt controllers",
    user_creatable: false,
    properties: &[],
    attach,
};

/// Connects ISA interrupt requests 0 to 15, and the output to LINT0 of the first local APIC.
fn attach(board: &mut Board, _: &Properties) -> Result<DeviceId, AttachError> {
    let intr = board.connect_output(LineId::INTR);
    let id = board.add_device(SPEC.name, Box::new(I8259Pair::new(intr)));
    map(board, SPEC.name, id, Region::ports(0, 0x20..0x22))?;
    map(board, SPEC.name, id, Region::ports(1, 0xa0..0xa2))?;
    map(board, SPEC.name, id, Region::ports(ELCR, 0x4d0..0x4d2))?;
    for irq in (0..16).filter(|&irq| irq != CASCADE) {
        board.connect_sink(LineId::gsi(irq), Sink::Device(id, u32::from(irq)));
    }
    board.connect_sink(LineId::INTR, Sink::LocalInterrupt { cpu: 0, pin: 0 });
    board.set_interrupt_controller(id);
    Ok(id)
}

/// Which initialization command word is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    Nothing,
    Icw2,
    Icw3,
    Icw4,
}

/// One controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct I8259 {
    /// Levels of the inputs.
    lines: u8,
    /// Edge-triggered requests.
    edges: u8,
    elcr: u8,
    isr: u8,
    imr: u8,
    vector: u8,
    /// The input of lowest priority.
    lowest: u8,
    expect: Expect,
    icw1: u8,
    icw4: u8,
    rotate_on_aeoi: bool,
    special_mask: bool,
    read_isr: bool,
    poll: bool,
}

impl Default for I8259 {
    /// The datasheet leaves the state after power-on open: here all inputs are masked.
    fn default() -> Self {
        Self {
            lines: 0,
            edges: 0,
            elcr: 0,
            isr: 0,
            imr: 0xff,
            vector: 0,
            lowest: 7,
            expect: Expect::Nothing,
            icw1: 0,
            icw4: 0,
            rotate_on_aeoi: false,
            special_mask: false,
            read_isr: false,
            poll: false,
        }
    }
}

impl I8259 {
    fn level_triggered(&self) -> u8 {
        if self.icw1 & ICW1_LTIM != 0 { 0xff } else { self.elcr }
    }

    fn irr(&self) -> u8 {
        let level = self.level_triggered();
        self.edges & !level | self.lines & level
    }

    fn set_line(&mut self, input: u8, level: bool) {
        let bit = 1 << input;
        if !level {
            self.lines &= !bit;
            self.edges &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.edges |= bit & !self.level_triggered();
        }
    }

    /// Inputs from the highest priority to the lowest.
    fn by_priority(&self) -> impl Iterator<Item = u8> + use<> {
        let first = self.lowest.wrapping_add(1);
        (0..8).map(move |n: u8| first.wrapping_add(n) & 7)
    }

    /// What keeps requests of the same and of lower priority back.
    fn in_service(&self) -> u8 {
        if self.special_mask { self.isr & !self.imr } else { self.isr }
    }

    /// The request to be acknowledged next. Inputs in `slaves` are not kept back by themselves in special fully nested
    /// mode.
    fn request(&self, slaves: u8) -> Option<u8> {
        let (pending, in_service) = (self.irr() & !self.imr, self.in_service());
        let nested = if self.icw4 & ICW4_SFNM != 0 { slaves } else { 0 };
        let first = self.by_priority().find(|&input| (pending | in_service) >> input & 1 != 0)?;
        let bit = 1 << first;
        (pending & bit != 0 && in_service & !nested & bit == 0).then_some(first)
    }

    /// Takes `input` into service.
    fn acknowledge(&mut self, input: u8) {
        self.edges &= !(1 << input);
        if self.icw4 & ICW4_AEOI == 0 {
            self.isr |= 1 << input;
        } else if self.rotate_on_aeoi {
            self.lowest = input;
        }
    }

    /// "Initialization Command Word 1": what it clears, and what it begins.
    fn write_icw1(&mut self, value: u8) {
        *self =
            Self { lines: self.lines, elcr: self.elcr, imr: 0, icw1: value, expect: Expect::Icw2, ..Self::default() };
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1 != 0 {
            self.write_icw1(value);
        } else if value & OCW3 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value >> 5, value & 7);
        }
    }

    fn write_ocw2(&mut self, command: u8, level: u8) {
        match command {
            0 | 4 => self.rotate_on_aeoi = command == 4,
            1 | 5 => {
                let in_service = self.in_service();
                if let Some(input) = self.by_priority().find(|&input| in_service >> input & 1 != 0) {
                    self.end(input, command == 5);
                }
            }
            3 | 7 => self.end(level, command == 7),
            6 => self.lowest = level,
            _ => {}
        }
    }

    fn end(&mut self, input: u8, rotate: bool) {
        self.isr &= !(1 << input);
        if rotate {
            self.lowest = input;
        }
    }

    fn write_ocw3(&mut self, value: u8) {
        match value >> 5 & 3 {
            2 => self.special_mask = false,
            3 => self.special_mask = true,
            _ => {}
        }
        self.poll = value & OCW3_POLL != 0;
        match value & 3 {
            2 => self.read_isr = false,
            3 => self.read_isr = true,
            _ => {}
        }
    }

    fn write_data(&mut self, value: u8) {
        let icw4 = if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Nothing };
        self.expect = match self.expect {
            Expect::Nothing => {
                self.imr = value;
                Expect::Nothing
            }
            Expect::Icw2 => {
                self.vector = value & 0xf8;
                if self.icw1 & ICW1_SNGL == 0 { Expect::Icw3 } else { icw4 }
            }
            Expect::Icw3 => icw4,
            Expect::Icw4 => {
                self.icw4 = value;
                Expect::Nothing
            }
        };
    }

    /// "Poll Command": the read is the acknowledge.
    fn read(&mut self, offset: u64, slaves: u8) -> u8 {
        if std::mem::take(&mut self.poll) {
            let Some(input) = self.request(slaves) else { return 0 };
            self.acknowledge(input);
            return 0x80 | input;
        }
        match offset {
            0 if self.read_isr => self.isr,
            0 => self.irr(),
            _ => self.imr,
        }
    }
}

/// Everything that software can observe of the pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8259PairState {
    chips: [I8259; 2],
}

impl I8259PairState {
    fn read(&mut self, region: u32, offset: u64) -> u8 {
        match region {
            0 => self.chips[0].read(offset, 1 << CASCADE),
            1 => self.chips[1].read(offset, 0),
            _ => self.chips[offset as usize & 1].elcr,
        }
    }

    /// The vector of the next request, which goes into service.
    fn acknowledge(&mut self) -> u8 {
        let [first, second] = &mut self.chips;
        let Some(input) = first.request(1 << CASCADE) else { return first.vector | 7 };
        first.acknowledge(input);
        if input != CASCADE || first.icw1 & ICW1_SNGL != 0 {
            return first.vector | input;
        }
        // The acknowledge withdraws the second controller's request, so that its next one is an edge.
        first.set_line(CASCADE, false);
        let Some(input) = second.request(0) else { return second.vector | 7 };
        second.acknowledge(input);
        second.vector | input
    }
}

/// The pair.
pub struct I8259Pair {
    intr: OutputPin,
    state: I8259PairState,
}

impl I8259Pair {
    /// A pair whose first controller's INT output is `intr`.
    pub fn new(intr: OutputPin) -> Self {
        Self { intr, state: I8259PairState::default() }
    }

    fn update(&mut self, ctx: &mut Context<'_>) {
        let [first, second] = &mut self.state.chips;
        first.set_line(CASCADE, second.request(0).is_some());
        ctx.set_line(self.intr, first.request(1 << CASCADE).is_some());
    }
}

impl Device for I8259Pair {
    fn read(&mut self, region: u32, offset: u64, _: Width, ctx: &mut Context<'_>) -> u64 {
        let value = self.state.read(region, offset);
        self.update(ctx);
        u64::from(value)
    }

    fn write(&mut self, region: u32, offset: u64, _: Width, value: u64, ctx: &mut Context<'_>) {
        let value = value as u8;
        if region == ELCR {
            let chip = offset as usize & 1;
            self.state.chips[chip].elcr = value & ELCR_WRITABLE[chip];
        } else if offset == 0 {
            self.state.chips[region as usize & 1].write_command(value);
        } else {
            self.state.chips[region as usize & 1].write_data(value);
        }
        self.update(ctx);
    }

    fn peek(&self, region: u32, offset: u64, _: Width, _: Tick) -> u64 {
        u64::from(self.state.clone().read(region, offset))
    }

    fn timer(&mut self, _: u32, _: &mut Context<'_>) {}

    fn line(&mut self, pin: u32, level: bool, ctx: &mut Context<'_>) {
        self.state.chips[pin as usize >> 3 & 1].set_line(pin as u8 & 7, level);
        self.update(ctx);
    }

    fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    /// What comes in at the inputs stays.
    fn reset(&mut self, ctx: &mut Context<'_>) {
        for chip in &mut self.state.chips {
            *chip = I8259 { lines: chip.lines, ..I8259::default() };
        }
        ctx.set_line(self.intr, false);
        self.update(ctx);
    }

    fn save(&self) -> Vec<u8> {
        encode(&self.state)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.state = decode(SPEC.name, state)?;
        Ok(())
    }

    fn acknowledge_interrupt(&mut self, ctx: &mut Context<'_>) -> Option<u8> {
        let vector = self.state.acknowledge();
        ctx.set_line(self.intr, false);
        self.update(ctx);
        Some(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{board, inb, outb, same_future};
    use super::*;
    use reprise_core::board::Space;

    const NONSPECIFIC_EOI: u8 = 0x20;

    struct Pc {
        board: Board,
        pins: Vec<OutputPin>,
    }

    impl Pc {
        /// Initialised as PCs do: vectors 0x20 and 0x28, all inputs open.
        fn new(icw4: u8) -> Self {
            let mut board = board(&[&SPEC]);
            for (port, vector, icw3) in [(0x20, 0x20, 4), (0xa0, 0x28, 2)] {
                outb(&mut board, port, 0x11);
                [vector, icw3, icw4].into_iter().for_each(|value| outb(&mut board, port + 1, value));
            }
            let pins = (0..16).map(|irq| board.connect_output(LineId::gsi(irq))).collect();
            Self { board, pins }
        }

        fn set(&mut self, irq: usize, level: bool) {
            self.board.set_line(self.pins[irq], level);
        }

        fn pulse(&mut self, irq: usize) {
            self.set(irq, false);
            self.set(irq, true);
        }

        fn take(&mut self) -> Option<u8> {
            self.board.acknowledge_interrupt(0)
        }

        fn out(&mut self, port: u64, value: u8) {
            outb(&mut self.board, port, value);
        }
    }

    #[test]
    fn requests_nest_by_priority() {
        let mut pc = Pc::new(1);
        pc.pulse(4);
        assert_eq!(pc.take(), Some(0x24));
        pc.pulse(5);
        assert_eq!(pc.take(), None, "lower priority waits");
        pc.pulse(1);
        assert_eq!(pc.take(), Some(0x21));
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), None);
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), Some(0x25));
    }

    #[test]
    fn the_second_controller_cascades() {
        let mut pc = Pc::new(1);
        pc.pulse(12);
        pc.pulse(8);
        assert_eq!(pc.take(), Some(0x28));
        assert_eq!(pc.take(), None);
        pc.out(0xa0, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), None, "the first controller still serves input 2");
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), Some(0x2c));
    }

    #[test]
    fn special_fully_nested_mode_lets_the_second_controller_interrupt_itself() {
        let mut pc = Pc::new(0x11);
        pc.pulse(12);
        assert_eq!(pc.take(), Some(0x2c));
        pc.pulse(9);
        assert_eq!(pc.take(), Some(0x29));
    }

    #[test]
    fn an_edge_counts_once_and_a_level_as_long_as_it_lasts() {
        let mut pc = Pc::new(1);
        pc.set(5, true);
        assert_eq!(pc.take(), Some(0x25));
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), None);
        pc.out(0x4d0, 0xff);
        assert_eq!(inb(&mut pc.board, 0x4d0), 0xf8, "system inputs stay edge-triggered");
        assert_eq!(pc.take(), Some(0x25));
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), Some(0x25));
        pc.set(5, false);
        pc.out(0x20, NONSPECIFIC_EOI);
        assert_eq!(pc.take(), None);
    }

    #[test]
    fn a_request_that_goes_away_is_forgotten_and_a_late_acknowledge_is_spurious() {
        let mut pc = Pc::new(1);
        pc.pulse(3);
        assert_eq!(inb(&mut pc.board, 0x20), 1 << 3);
        pc.set(3, false);
        assert_eq!(inb(&mut pc.board, 0x20), 0);
        assert!(!pc.board.line_level(LineId::INTR));
        assert_eq!(I8259PairState::default().acknowledge(), 7);
        let mut state = I8259PairState::default();
        state.chips[0].imr = 0;
        state.chips[1].vector = 0x70;
        state.chips[0].set_line(CASCADE, true);
        assert_eq!(state.acknowledge(), 0x77, "of the second controller");
        assert_eq!(state.chips[0].isr, 1 << CASCADE, "input 2 is in service all the same");
    }

    #[test]
    fn masked_requests_wait() {
        let mut pc = Pc::new(1);
        pc.out(0x21, 0x10);
        pc.pulse(4);
        assert_eq!(pc.take(), None);
        pc.out(0x21, 0);
        assert_eq!(pc.take(), Some(0x24));
        assert_eq!(inb(&mut pc.board, 0x21), 0);
    }

    #[test]
    fn rotation_and_set_priority() {
        let mut pc = Pc::new(1);
        pc.pulse(3);
        assert_eq!(pc.take(), Some(0x23));
        pc.out(0x20, 0xa0);
        pc.pulse(3);
        pc.pulse(4);
        assert_eq!(pc.take(), Some(0x24), "input 3 is lowest now");
        pc.out(0x20, 0x64);
        assert_eq!(pc.take(), Some(0x23));
        pc.out(0x20, 0x63);
        pc.out(0x20, 0xc5);
        pc.pulse(0);
        pc.pulse(6);
        assert_eq!(pc.take(), Some(0x26));
        pc.out(0x20, 0xe6);
        pc.pulse(7);
        assert_eq!(pc.take(), Some(0x27), "and now input 6");
    }

    #[test]
    fn automatic_end_of_interrupt_rotates_if_asked() {
        let mut pc = Pc::new(3);
        pc.out(0x20, 0x80);
        pc.pulse(0);
        pc.pulse(1);
        assert_eq!(pc.take(), Some(0x20));
        pc.pulse(0);
        assert_eq!(pc.take(), Some(0x21));
        assert_eq!(pc.take(), Some(0x20));
        pc.out(0x20, 0x0b);
        assert_eq!(inb(&mut pc.board, 0x20), 0, "nothing stays in service");
    }

    #[test]
    fn the_special_mask_lets_lower_priorities_through() {
        let mut pc = Pc::new(1);
        pc.pulse(2 + 1);
        assert_eq!(pc.take(), Some(0x23));
        pc.out(0x21, 1 << 3);
        pc.out(0x20, 0x68);
        pc.pulse(6);
        assert_eq!(pc.take(), Some(0x26));
        pc.out(0x20, NONSPECIFIC_EOI);
        pc.out(0x20, 0x0b);
        assert_eq!(inb(&mut pc.board, 0x20), 1 << 3, "a masked input in service is not ended");
        pc.out(0x20, 0x48);
        pc.pulse(6);
        assert_eq!(pc.take(), None);
    }

    #[test]
    fn polling_acknowledges() {
        let mut pc = Pc::new(1);
        pc.out(0x20, 0x0c);
        assert_eq!(inb(&mut pc.board, 0x20), 0);
        pc.pulse(6);
        pc.out(0x20, 0x0c);
        assert_eq!(pc.board.peek(Space::Port, 0x20, 1), 0x86);
        assert_eq!(inb(&mut pc.board, 0x20), 0x86);
        assert_eq!(pc.take(), None);
        pc.out(0x20, 0x0b);
        assert_eq!(inb(&mut pc.board, 0x20), 1 << 6);
    }

    #[test]
    fn initialisation_forgets_edges_and_the_mask() {
        let mut pc = Pc::new(1);
        pc.out(0x21, 0xfb);
        pc.set(4, true);
        pc.out(0x20, 0x13);
        pc.out(0x21, 0x40);
        pc.out(0x21, 1);
        assert_eq!(inb(&mut pc.board, 0x21), 0);
        assert_eq!(pc.take(), None);
        pc.pulse(4);
        assert_eq!(pc.take(), Some(0x44));
    }

    #[test]
    fn saved_state_has_the_same_future() {
        let ranges = [(Space::Port, 0x20, 2), (Space::Port, 0xa0, 2), (Space::Port, 0x4d0, 2)];
        same_future(&[&SPEC], &ranges, 3000);
    }
}
