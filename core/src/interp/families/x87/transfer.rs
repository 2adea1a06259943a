//! Loads, stores, exchanges, conditional moves and constants.

use super::arith::{kind, memory_kind};
use super::status;
use crate::interp::exec::{Exec, Outcome};
use crate::interp::op::{Handler, Lowering, Op};
use crate::softfloat::x87::{Constant, constant, fbld, fbstp, load, store};
use crate::softfloat::{Env, F32, F64, F80, IntWidth, Rounding, from_signed, to_signed};
use iced_x86::Mnemonic;

fn clear_c1(x: &mut Exec<'_>) {
    x.cpu.x87.status &= !status::C1;
}

/// FLD of a register: the value is read before the push.
fn load_register(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    if x.is_empty(op.rm) {
        // The source is missing; the masked answer is pushed, whether there is room or not.
        if x.stack_fault(false) {
            x.rotate_stack(-1);
            x.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let value = x.st(op.rm);
    clear_c1(x);
    x.push_st(value);
    Ok(())
}

fn load_memory(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let mut env = x.x87_env();
    let value = read_value(x, op, &mut env)?;
    x.note_pointer(op);
    if !x.is_empty(7) {
        x.push_st(value);
        return Ok(());
    }
    x.finish_x87(&mut env);
    // An unmasked denormal operand is reported, and does not stop the load.
    if !env.unmasked().intersects(crate::softfloat::Flags::IE) {
        x.push_st(value);
    }
    Ok(())
}

fn read_value(x: &mut Exec<'_>, op: &Op, env: &mut Env) -> Outcome<F80> {
    Ok(match op.size {
        kind::SINGLE => load::<F32>(x.read(op)?, env),
        kind::DOUBLE => load::<F64>(x.read(op)?, env),
        kind::EXTENDED => F80::from_le_bytes(read_ten(x, op)?),
        kind::DECIMAL => fbld(read_ten(x, op)?, env),
        kind::WORD => from_signed::<F80>(x.read::<u16>(op)? as i16 as i64, env),
        kind::DWORD => from_signed::<F80>(x.read::<u32>(op)? as i32 as i64, env),
        _ => from_signed::<F80>(x.read::<u64>(op)? as i64, env),
    })
}

fn read_ten(x: &mut Exec<'_>, op: &Op) -> Outcome<[u8; 10]> {
    let linear = x.ea(op, 10, false)?;
    let low = x.load::<u64>(linear, op.seg)?;
    let high = x.load::<u16>(linear.wrapping_add(8), op.seg)?;
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&high.to_le_bytes());
    Ok(bytes)
}

fn write_ten(x: &mut Exec<'_>, op: &Op, bytes: [u8; 10]) -> Outcome {
    // Two stores, as on Intel's processors: a fault of the second leaves the first done.
    let linear = x.ea(op, 10, true)?;
    let [a, b, c, d, e, f, g, h, i, j] = bytes;
    x.store(linear, u64::from_le_bytes([a, b, c, d, e, f, g, h]), op.seg)?;
    x.store(linear.wrapping_add(8), u16::from_le_bytes([i, j]), op.seg)
}

/// FST and FSTP to a register.
fn store_register(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    if !x.is_empty(0) {
        clear_c1(x);
    } else if op.imm != 0 {
        // FSTPNCE ("no check for empty") only pops.
        clear_c1(x);
        x.pop_times(op.third);
        return Ok(());
    } else if !x.stack_fault(false) {
        return Ok(());
    }
    let value = if x.is_empty(0) { F80::INDEFINITE } else { x.st(0) };
    x.set_st(op.reg, value);
    x.pop_times(op.third);
    Ok(())
}

/// FST, FIST, FISTTP and FBSTP to memory: `imm` is 1 for FISTTP, which truncates.
fn store_memory(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    let mut env = x.x87_env();
    let empty = x.is_empty(0);
    if empty && env.unmasked_invalid() {
        // Nothing is stored; an address that faults does so first.
        x.note_pointer(op);
        x.stack_fault(false);
        return Ok(());
    }
    // The indefinite of every format is what its conversion makes of the register's indefinite.
    let value = if empty { F80::INDEFINITE } else { x.st(0) };
    let image = convert(op, value, &mut env);
    if !empty && env.clone_settled().blocks_memory() {
        x.note_pointer(op);
        x.finish_x87(&mut env);
        return Ok(());
    }
    write_image(x, op, image)?;
    x.note_pointer(op);
    if empty {
        x.stack_fault(false);
    } else {
        x.finish_x87(&mut env);
    }
    x.pop_times(op.third);
    Ok(())
}

/// The bytes of a number in the format of the memory operand.
fn convert(op: &Op, value: F80, env: &mut Env) -> [u8; 10] {
    let rounding = if op.imm == 1 { Rounding::Zero } else { env.rounding };
    let integer = |width, env: &mut Env| widen(&to_signed::<F80>(value, width, rounding, env).to_le_bytes());
    match op.size {
        kind::SINGLE => widen(&store::<F32>(value, env).to_le_bytes()),
        kind::DOUBLE => widen(&store::<F64>(value, env).to_le_bytes()),
        kind::EXTENDED => value.to_le_bytes(),
        kind::DECIMAL => fbstp(value, env),
        kind::WORD => integer(IntWidth::W16, env),
        kind::DWORD => integer(IntWidth::W32, env),
        _ => integer(IntWidth::W64, env),
    }
}

fn widen(bytes: &[u8]) -> [u8; 10] {
    let mut wide = [0; 10];
    wide[..bytes.len()].copy_from_slice(bytes);
    wide
}

fn write_image(x: &mut Exec<'_>, op: &Op, image: [u8; 10]) -> Outcome {
    let [a, b, c, d, e, f, g, h, ..] = image;
    match op.size {
        kind::WORD => x.write(op, u16::from_le_bytes([a, b])),
        kind::SINGLE | kind::DWORD => x.write(op, u32::from_le_bytes([a, b, c, d])),
        kind::EXTENDED | kind::DECIMAL => write_ten(x, op, image),
        _ => x.write(op, u64::from_le_bytes([a, b, c, d, e, f, g, h])),
    }
}

fn exchange(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let missing = (x.is_empty(0), x.is_empty(op.rm));
    if (missing.0 || missing.1) && !x.stack_fault(false) {
        return Ok(());
    }
    let value = |x: &Exec<'_>, i: u8, missing: bool| if missing { F80::INDEFINITE } else { x.st(i) };
    let (a, b) = (value(x, 0, missing.0), value(x, op.rm, missing.1));
    if !(missing.0 || missing.1) {
        clear_c1(x);
    }
    x.set_st(0, b);
    x.set_st(op.rm, a);
    Ok(())
}

fn load_constant(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    let which = match op.imm {
        0 => Constant::One,
        1 => Constant::Log2Ten,
        2 => Constant::Log2E,
        3 => Constant::Pi,
        4 => Constant::Log10Two,
        5 => Constant::LnTwo,
        _ => Constant::Zero,
    };
    let value = constant(which, x.x87_env().rounding);
    clear_c1(x);
    x.push_st(value);
    Ok(())
}

/// FCMOVcc: `imm` is 0 to 3 for B, E, BE, U; 4 to 7 for their opposites.
fn conditional_move(x: &mut Exec<'_>, op: &Op) -> Outcome {
    x.x87_ready()?;
    x.note_pointer(op);
    if (x.is_empty(0) || x.is_empty(op.rm)) && !x.stack_fault(false) {
        return Ok(());
    }
    if x.is_empty(0) || x.is_empty(op.rm) {
        x.set_st(0, F80::INDEFINITE);
        return Ok(());
    }
    let flags = &x.cpu.flags;
    let holds = match op.imm & 3 {
        0 => flags.carry(),
        1 => flags.zero(),
        2 => flags.carry() || flags.zero(),
        _ => flags.parity(),
    };
    if holds == (op.imm < 4) {
        let value = x.st(op.rm);
        x.set_st(0, value);
    }
    Ok(())
}

impl Env {
    /// Whether an invalid operation would be reported.
    fn unmasked_invalid(&self) -> bool {
        !self.masks.intersects(crate::softfloat::Flags::IE)
    }

    /// This environment as it is at the end of the instruction.
    fn clone_settled(&self) -> Self {
        let mut settled = *self;
        settled.settle();
        settled
    }
}

fn lower_store(l: &Lowering<'_>, pops: u8, truncates: bool) -> Op {
    if l.is_register(0) {
        return Op { third: pops, reg: l.register(0), ..l.op(store_register) };
    }
    Op { third: pops, imm: u64::from(truncates), size: memory_kind(l), ..l.op(store_memory) }
}

fn lower_load(l: &Lowering<'_>) -> Op {
    let last = l.insn.op_count() - 1;
    if l.is_register(last) {
        return Op { rm: l.register(last), ..l.op(load_register) };
    }
    Op { size: memory_kind(l), ..l.op(load_memory) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    let numbered = |run: Handler, imm: u64| Op { imm, ..l.op(run) };
    let moved = |imm: u64| Op { imm, rm: l.register(1), ..l.op(conditional_move) };
    Some(match l.insn.mnemonic() {
        M::Fld | M::Fild | M::Fbld => lower_load(l),
        M::Fst | M::Fist => lower_store(l, 0, false),
        M::Fstp | M::Fistp | M::Fbstp => lower_store(l, 1, false),
        M::Fstpnce => Op { imm: 1, ..lower_store(l, 1, false) },
        M::Fisttp => lower_store(l, 1, true),
        M::Fxch => Op { rm: l.register(1), ..l.op(exchange) },
        M::Fld1 => numbered(load_constant, 0),
        M::Fldl2t => numbered(load_constant, 1),
        M::Fldl2e => numbered(load_constant, 2),
        M::Fldpi => numbered(load_constant, 3),
        M::Fldlg2 => numbered(load_constant, 4),
        M::Fldln2 => numbered(load_constant, 5),
        M::Fldz => numbered(load_constant, 6),
        M::Fcmovb => moved(0),
        M::Fcmove => moved(1),
        M::Fcmovbe => moved(2),
        M::Fcmovu => moved(3),
        M::Fcmovnb => moved(4),
        M::Fcmovne => moved(5),
        M::Fcmovnbe => moved(6),
        M::Fcmovnu => moved(7),
        _ => return None,
    })
}
