//! Input and output (SDM vol. 1, chapter 19 Input/Output).

use super::operand::by_size;
use super::string::Next;
use crate::board::Space;
use crate::cpu::{Exception, reg, seg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::Mnemonic;

/// Where the task state holds the offset of the I/O permission bitmap.
const BITMAP_POINTER: u64 = 0x66;

impl Exec<'_> {
    /// Raises #GP unless the program may access `size` ports from `port` on (SDM vol. 1, 19.5 Protected-Mode I/O).
    fn check_port(&mut self, port: u16, size: usize) -> Outcome {
        if !self.cpu.is_protected() || self.cpu.cpl() <= self.iopl() {
            return Ok(());
        }
        if self.bitmap_admits(port, size)? { Ok(()) } else { self.raise(Exception::gp(0)) }
    }

    /// Whether the bitmap in the task state, which must be a 32- or 64-bit one, has all bits clear for the ports.
    fn bitmap_admits(&mut self, port: u16, size: usize) -> Outcome<bool> {
        let task = self.cpu.tr;
        let limit = u64::from(task.limit);
        if task.kind() & 8 == 0 || limit < BITMAP_POINTER + 1 {
            return Ok(false);
        }
        let bitmap = u64::from(self.load_system::<u16>(task.base.wrapping_add(BITMAP_POINTER))?);
        let at = bitmap + u64::from(port >> 3);
        // Always two bytes are read, as the ports may lie across them.
        if at + 1 > limit {
            return Ok(false);
        }
        let bits = self.load_system::<u16>(task.base.wrapping_add(at))?;
        let wanted = ((1u16 << size) - 1) << (port & 7);
        Ok(bits & wanted == 0)
    }

    fn input<W: Integer>(&mut self, port: u16) -> W {
        self.sync_clock();
        let value = self.board.read(Space::Port, u64::from(port), W::BYTES);
        self.after_device();
        self.note_watched_port(port, W::BYTES);
        W::truncate(value)
    }

    fn output<W: Integer>(&mut self, port: u16, value: W) {
        self.sync_clock();
        self.board.write(Space::Port, u64::from(port), W::BYTES, value.zero_extend());
        self.after_device();
        self.note_watched_port(port, W::BYTES);
    }
}

/// The port: the immediate, or DX.
fn port(x: &Exec<'_>, op: &Op) -> u16 {
    if op.rm == reg::ZERO { op.imm as u16 } else { x.cpu.regs.get(reg::RDX) as u16 }
}

fn input<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let port = port(x, op);
    x.check_port(port, W::BYTES)?;
    x.input::<W>(port).set(x, reg::RAX);
    Ok(())
}

fn output<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let port = port(x, op);
    x.check_port(port, W::BYTES)?;
    x.output(port, W::get(x, reg::RAX));
    Ok(())
}

fn input_string<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let port = x.cpu.regs.get(reg::RDX) as u16;
    x.check_port(port, W::BYTES)?;
    x.repeat(op, |x, _| {
        let to = x.destination(op, W::BYTES, true)?;
        // A read may have effects, so nothing may fault after it.
        x.check_write(to, W::BYTES, seg::ES as u8)?;
        let value = x.input::<W>(port);
        x.store(to, value, seg::ES as u8)?;
        x.advance(reg::RDI, W::BYTES, 1, op);
        Ok((1, Next::Continue))
    })
    .map(|_| ())
}

fn output_string<W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    let port = x.cpu.regs.get(reg::RDX) as u16;
    x.check_port(port, W::BYTES)?;
    x.repeat(op, |x, _| {
        let from = x.source(op, W::BYTES)?;
        let value = x.load::<W>(from, op.seg)?;
        x.output(port, value);
        x.advance(reg::RSI, W::BYTES, 1, op);
        Ok((1, Next::Continue))
    })
    .map(|_| ())
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    let from = |index: u32| if l.is_register(index) { (reg::RDX, 0) } else { (reg::ZERO, l.immediate(index) & 0xff) };
    let string = |run| Op { flags: l.repeat(), ..l.op(run) };
    Some(match l.insn.mnemonic() {
        Mnemonic::In => {
            let (rm, imm) = from(1);
            Op { rm, imm, ..l.op(by_size!(l.operand_size(0), input)) }
        }
        Mnemonic::Out => {
            let (rm, imm) = from(0);
            Op { rm, imm, ..l.op(by_size!(l.operand_size(1), output)) }
        }
        Mnemonic::Insb => string(input_string::<u8>),
        Mnemonic::Insw => string(input_string::<u16>),
        Mnemonic::Insd => string(input_string::<u32>),
        Mnemonic::Outsb => string(output_string::<u8>),
        Mnemonic::Outsw => string(output_string::<u16>),
        Mnemonic::Outsd => string(output_string::<u32>),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::board::Region;
    use crate::cpu::{Flags, cr4, reg};
    use crate::device::{Context, Device, DeviceInput, Width};
    use crate::interp::tests::{Bench, CODE, DATA, STACK, TSS, selector};
    use crate::state::{StateError, decode, encode};

    /// A port that reads as the tick of the access, and remembers what is written.
    #[derive(Default)]
    struct Port {
        written: Vec<u64>,
    }

    impl Device for Port {
        fn read(&mut self, _: u32, _: u64, _: Width, ctx: &mut Context<'_>) -> u64 {
            ctx.now()
        }
        fn write(&mut self, _: u32, _: u64, width: Width, value: u64, ctx: &mut Context<'_>) {
            self.written.extend([ctx.now(), width.bytes(), value]);
        }
        fn peek(&self, _: u32, _: u64, _: Width, now: u64) -> u64 {
            now
        }
        fn timer(&mut self, _: u32, _: &mut Context<'_>) {}
        fn line(&mut self, _: u32, _: bool, _: &mut Context<'_>) {}
        fn input(&mut self, _: DeviceInput<'_>, _: &mut Context<'_>) {}
        fn input_room(&self, _port: u32) -> usize {
            0
        }
        fn reset(&mut self, _: &mut Context<'_>) {}
        fn save(&self) -> Vec<u8> {
            encode(&self.written)
        }
        fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
            self.written = decode("port", state)?;
            Ok(())
        }
    }

    fn with_port(mut bench: Bench) -> Bench {
        let id = bench.board.add_device("port", Box::new(Port::default()));
        bench.board.map(id, Region::ports(0, 0x40..0x44).widths(1, 4)).expect("the ports are free");
        bench.cpu.regs.set(reg::RDX, 0x40);
        bench
    }

    fn written(bench: &Bench) -> Vec<u64> {
        let state = bench.board.save();
        let saved = state.devices.iter().find(|device| device.0 == "port").expect("the port is there");
        decode("port", &saved.1).expect("the port saves its writes")
    }

    #[test]
    fn ports_are_reached_at_the_instruction_s_tick() {
        // nop; in eax, dx; out 0x41, al; in al, 0x99; hlt
        let mut bench = with_port(Bench::long(&[0x90, 0xed, 0xe6, 0x41, 0x89, 0xc3, 0xe4, 0x99, 0xf4]));
        bench.board.now = 100;
        bench.run_to_halt();
        assert_eq!(bench.cpu.regs.get(reg::RBX), 101);
        assert_eq!(bench.cpu.regs.get(reg::RAX), 0xff, "nobody answers at 0x99");
        assert_eq!(written(&bench), [102, 1, 101]);
    }

    #[test]
    fn strings_retire_an_instruction_for_each_element() {
        // rep insd; hlt
        let mut bench = with_port(Bench::long(&[0xf3, 0x6d, 0xf4]));
        bench.cpu.regs.set(reg::RDI, DATA);
        bench.cpu.regs.set(reg::RCX, 5);
        assert_eq!(bench.run(3).retired, 3);
        assert_eq!((bench.cpu.regs.rip(), bench.cpu.regs.get(reg::RCX)), (CODE, 2));
        bench.run_to_halt();
        let values: Vec<_> = (0..5).map(|at| bench.read32(DATA + 4 * at)).collect();
        assert_eq!(values, [0, 1, 2, 3, 4]);
        assert!(!bench.cpu.flags.has(Flags::RF));
        // rep outsw; hlt
        let mut bench = with_port(Bench::long(&[0x66, 0xf3, 0x6f, 0xf4]));
        bench.write(DATA, &[1, 2, 3, 4]);
        bench.cpu.regs.set(reg::RSI, DATA);
        bench.cpu.regs.set(reg::RCX, 2);
        bench.run_to_halt();
        assert_eq!(written(&bench), [0, 2, 0x201, 1, 2, 0x403]);
    }

    #[test]
    fn a_read_that_could_not_be_stored_does_not_happen() {
        // insb to a page that is not there
        let mut bench = with_port(Bench::long(&[0x6c, 0xf4]));
        bench.cpu.regs.set(reg::RDI, 0x2_0000_0000);
        assert_eq!(bench.caught(), Some(14));
        assert_eq!(bench.cpu.regs.get(reg::RDI), 0x2_0000_0000);
    }

    fn user(code: &[u8], bitmap: &[u8]) -> Option<u8> {
        let mut bench = with_port(Bench::long(code));
        bench.set_code(selector::USER_CODE64, selector::USER_DATA);
        bench.write(TSS + 0x66, &0x68u16.to_le_bytes());
        bench.write(TSS + 0x68, bitmap);
        bench.cpu.tr.limit = 0x67 + bitmap.len() as u32;
        bench.set_gate64(3, 0xee, 0);
        bench.caught()
    }

    #[test]
    fn the_bitmap_decides_for_programs() {
        let mut bitmap = [0xff; 10];
        // Ports 0x40 to 0x43.
        bitmap[8] = 0xf0;
        assert_eq!(user(&[0xed, 0xcc], &bitmap), Some(3), "in eax, dx");
        assert_eq!(user(&[0xe5, 0x41, 0xcc], &bitmap), Some(13), "in eax, 0x41 reaches 0x44");
        assert_eq!(user(&[0xe4, 0x43, 0xcc], &bitmap), Some(3), "in al, 0x43");
        assert_eq!(user(&[0xe4, 0x43, 0xcc], &bitmap[..9]), Some(13), "the bitmap needs a byte more");
        assert_eq!(user(&[0xe4, 0x43, 0xcc], &[]), Some(13), "no bitmap");
    }

    #[test]
    fn the_privilege_level_decides_first() {
        let mut bench = with_port(Bench::long(&[0xee, 0xcc]));
        bench.set_code(selector::USER_CODE64, selector::USER_DATA);
        bench.set_gate64(3, 0xee, 0);
        bench.set_flags(Flags::IOPL);
        assert_eq!(bench.caught(), Some(3));
    }

    #[test]
    fn watched_ports_trap() {
        // out dx, al; hlt
        let mut bench = with_port(Bench::long(&[0xee, 0xf4]));
        bench.cpu.dr[2] = 0x40;
        bench.cpu.dr7 = 0x400 | 1 << 4 | 2 << 24;
        bench.cpu.cr4 |= cr4::DE;
        assert_eq!(bench.caught(), Some(1));
        assert_eq!((bench.cpu.dr6, bench.read64(STACK - 40)), (0xffff_0ff4, CODE + 1));
    }
}
