//! Control of the unit: control and status words, environments, saved states, the stack's top and tags.

use super::status;
use crate::cpu::{Exception, Vector, X87, cr0, reg};
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use crate::softfloat::F80;
use iced_x86::Mnemonic;

/// WAIT (SDM vol. 2): #NM needs both MP and TS.
fn wait(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    let both = cr0::MP | cr0::TS;
    if x.cpu.cr0 & both == both {
        return x.raise(Exception::new(Vector::DeviceNotAvailable));
    }
    if x.cpu.x87.status & status::ES != 0 {
        return x.raise(Exception::new(Vector::X87Error));
    }
    Ok(())
}

fn no_operation(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    Ok(())
}

/// FENI, FDISI and FSETPM: of the 8087 and 287, and without effect since.
fn obsolete(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.x87_present()
}

fn initialize(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.x87_present()?;
    x.cpu.x87 = X87 { control: 0x37f, empty: 0xff, regs: x.cpu.x87.regs, ..X87::default() };
    Ok(())
}

fn clear_exceptions(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.x87_present()?;
    x.cpu.x87.status &= !(0x3f | status::SF | status::ES | status::B);
    Ok(())
}

fn load_control(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let value = x.read::<u16>(op)?;
    set_control(x, value);
    Ok(())
}

fn set_control(x: &mut Exec<'_>, value: u16) {
    x.cpu.x87.set_control(value);
}

fn store_control(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_present()?;
    x.write(op, x.cpu.x87.control)
}

fn store_status(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_present()?;
    x.write(op, x.cpu.x87.status)
}

fn store_status_register(x: &mut Exec<'_>, _op: &Op) -> Outcome {
    x.x87_present()?;
    x.cpu.x87.status.set(x, reg::RAX);
    Ok(())
}

fn rotate(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    x.cpu.x87.status &= !status::C1;
    x.rotate_stack(op.imm as i16);
    Ok(())
}

/// FFREE, and FFREEP, which pops.
fn free(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    x.cpu.x87.status &= !status::C1;
    x.free_st(op.reg);
    x.pop_times(op.third);
    Ok(())
}

impl X87 {
    /// The environment: control, status, tags, instruction pointer and selector with opcode, operand pointer and
    /// selector (SDM vol. 1, figures 8-9 to 8-12). Words of 16 bits outside 32-bit operand size.
    fn environment(&self, protected: bool) -> [u32; 7] {
        let (control, status, tags) = (u32::from(self.control), u32::from(self.status), u32::from(self.tags()));
        let (fip, fdp) = (self.fip as u32, self.fdp as u32);
        let opcode = u32::from(self.fop & 0x7ff);
        if protected {
            let code = u32::from(self.fcs) | opcode << 16;
            return [control, status, tags, fip, code, fdp, u32::from(self.fds)];
        }
        let code = opcode | (fip >> 4 & 0xffff_f000);
        [control, status, tags, fip & 0xffff, code, fdp & 0xffff, fdp >> 4 & 0xffff_f000]
    }
}

/// Writes the environment; returns the linear address behind it. `extra` bytes follow.
fn write_environment(x: &mut Exec<'_>, op: &Op, extra: usize) -> Outcome<u64> {
    let wide = op.size == 4;
    let size = if wide { 28 } else { 14 };
    let linear = x.ea(op, size + extra, true)?;
    x.check_write(linear, size + extra, op.seg)?;
    let words = x.cpu.x87.environment(x.cpu.is_protected());
    for (at, word) in words.into_iter().enumerate() {
        if wide {
            // Reserved halves read as ones.
            let reserved = if matches!(at, 0..=2 | 6) && x.cpu.is_protected() { 0xffff_0000 } else { 0 };
            x.store(linear.wrapping_add(4 * at as u64), word | reserved, op.seg)?;
        } else {
            x.store(linear.wrapping_add(2 * at as u64), word as u16, op.seg)?;
        }
    }
    Ok(linear.wrapping_add(size as u64))
}

fn read_environment(x: &mut Exec<'_>, op: &Op, extra: usize) -> Outcome<u64> {
    let wide = op.size == 4;
    let size = if wide { 28 } else { 14 };
    let linear = x.ea(op, size + extra, false)?;
    x.check_read(linear, size + extra, op.seg)?;
    let mut words = [0u32; 7];
    for (at, word) in words.iter_mut().enumerate() {
        *word = if wide {
            x.load::<u32>(linear.wrapping_add(4 * at as u64), op.seg)?
        } else {
            x.load::<u16>(linear.wrapping_add(2 * at as u64), op.seg)?.into()
        };
    }
    let [control, status, tags, fip, code, fdp, _] = words;
    let x87 = &mut x.cpu.x87;
    x87.status = status as u16;
    x87.set_tags(tags as u16);
    x87.fip = fip.into();
    x87.fdp = fdp.into();
    x87.fop = if wide { (code >> 16) as u16 & 0x7ff } else { 0 };
    set_control(x, control as u16);
    Ok(linear.wrapping_add(size as u64))
}

/// FNSTENV: all exceptions are masked afterwards.
fn store_environment(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_present()?;
    write_environment(x, op, 0)?;
    x.cpu.x87.control |= 0x3f;
    x.update_summary();
    Ok(())
}

fn load_environment(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    read_environment(x, op, 0)?;
    Ok(())
}

/// FNSAVE: the environment, then ST(0) to ST(7); the unit is initialised afterwards.
fn save(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_present()?;
    let behind = write_environment(x, op, 80)?;
    for i in 0..8 {
        let at = behind.wrapping_add(10 * u64::from(i));
        let value = x.st(i);
        x.store(at, value.sig, op.seg)?;
        x.store(at.wrapping_add(8), value.sign_exp, op.seg)?;
    }
    initialize(x, op)
}

fn restore(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let behind = read_environment(x, op, 80)?;
    for i in 0..8 {
        let at = behind.wrapping_add(10 * u64::from(i));
        let sig = x.load::<u64>(at, op.seg)?;
        let sign_exp = x.load::<u16>(at.wrapping_add(8), op.seg)?;
        let register = x.physical_register(i);
        x.cpu.x87.regs[register] = F80 { sign_exp, sig };
    }
    Ok(())
}

fn lower_environment(l: &Lowering<'_>, run: Handler) -> Op {
    use iced_x86::MemorySize;
    let wide = matches!(l.insn.memory_size(), MemorySize::FpuEnv28 | MemorySize::FpuState108);
    Op { size: if wide { 4 } else { 2 }, ..l.op(run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Wait => l.op(wait),
        M::Fnop => l.op(no_operation),
        M::Fneni | M::Fndisi | M::Fnsetpm => l.op(obsolete),
        M::Fninit => l.op(initialize),
        M::Fnclex => l.op(clear_exceptions),
        M::Fldcw => l.op(load_control),
        M::Fnstcw => l.op(store_control),
        M::Fnstsw if l.is_register(0) => l.op(store_status_register),
        M::Fnstsw => l.op(store_status),
        M::Fincstp => Op { imm: 1, ..l.op(rotate) },
        M::Fdecstp => Op { imm: u64::MAX, ..l.op(rotate) },
        M::Ffree => Op { reg: l.register(0), third: 0, ..l.op(free) },
        M::Ffreep => Op { reg: l.register(0), third: 1, ..l.op(free) },
        M::Fnstenv => lower_environment(l, store_environment),
        M::Fldenv => lower_environment(l, load_environment),
        M::Fnsave => lower_environment(l, save),
        M::Frstor => lower_environment(l, restore),
        _ => return None,
    })
}
