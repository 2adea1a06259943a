//! Moves and gathers of the elements that a mask's signs enable (SDM vol. 2, VMASKMOV, VPMASKMOV, VGATHERDPS, VPGATHERDD;
//! 2.3.12 Vector SIB (VSIB) Memory Addressing).
//!
//! Elements that are not enabled are not accessed, so they raise nothing.

use crate::interp::exec::{Exec, Outcome};
use crate::interp::families::sse::form::{Form, form, plain};
use crate::interp::families::sse::lanes::{Lanes, build, map};
use crate::interp::families::sse::operand::{Vector, Xmm, after};
use crate::interp::families::sse::vex::{Vex128, Vex256};
use crate::interp::op::{Handler, Lowering, Op};
use crate::interp::word::Integer;
use iced_x86::{Mnemonic, Register};

/// Whether an element of a mask enables.
fn enables<W: Integer>(element: W) -> bool {
    element.zero_extend() & W::SIGN != 0
}

/// Linear address of the element at an index.
fn element<W: Integer>(x: &mut Exec<'_>, op: &Op, index: usize, write: bool) -> Outcome<u64> {
    let offset = x.offset(op).wrapping_add((index * W::BYTES) as u64);
    x.linear(op.seg, offset, W::BYTES, write)
}

fn load<V: Xmm + Lanes<W>, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let mask = <V as Lanes<W>>::split(V::of(x, op.third));
    let mut lanes = <V as Lanes<W>>::Array::default();
    for (index, &element_mask) in mask.as_ref().iter().enumerate() {
        if enables(element_mask) {
            let linear = element::<W>(x, op, index, false)?;
            lanes.as_mut()[index] = x.load(linear, op.seg)?;
        }
    }
    <V as Lanes<W>>::join(lanes).put(x, op.reg);
    Ok(())
}

/// All enabled elements are writable, or none is written: the first byte of all is checked, and then the last one.
fn store<V: Xmm + Lanes<W>, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome {
    V::ready(x)?;
    let mask = <V as Lanes<W>>::split(V::of(x, op.third));
    let lanes = <V as Lanes<W>>::split(V::of(x, op.rm));
    let enabled = (0..lanes.as_ref().len()).filter(|&index| enables(mask.as_ref()[index]));
    let (Some(first), Some(last)) = (enabled.clone().next(), enabled.clone().next_back()) else { return Ok(()) };
    let (first, last) = (element::<W>(x, op, first, true)?, element::<W>(x, op, last, true)?);
    x.check_write(first, 1, op.seg)?;
    x.check_write(after(x, last, W::BYTES as u64 - 1), 1, op.seg)?;
    for index in enabled {
        let linear = element::<W>(x, op, index, true)?;
        x.store(linear, lanes.as_ref()[index], op.seg)?;
    }
    Ok(())
}

/// Gathers [`Op::size`] elements, in order: each that is enabled is loaded and its mask cleared, so that the instruction
/// can go on where a fault stopped it. Until it is done, masks are all ones or zero, and what the destination has above
/// the elements stays.
fn gather<V: Xmm + Lanes<W>, I: Copy + Into<i64>, W: Integer>(x: &mut Exec<'_>, op: &Op) -> Outcome
where
    Vex256: Lanes<I> + Lanes<W>,
{
    V::ready(x)?;
    extend_mask::<V, W>(x, op.rm);
    for index in 0..usize::from(op.size) {
        if enables(lane::<W>(x, op.rm, index)) {
            let element = gathered::<I, W>(x, op, index)?;
            set_lane::<V, W>(x, op.reg, index, element);
            set_lane::<V, W>(x, op.rm, index, W::default());
        }
    }
    let kept = |index| if index < usize::from(op.size) { lane::<W>(x, op.reg, index) } else { W::default() };
    build::<W, Vex256>(kept).put(x, op.reg);
    Vex256::default().put(x, op.rm);
    Ok(())
}

/// Makes every mask all ones or zero.
fn extend_mask<V: Xmm + Lanes<W>, W: Integer>(x: &mut Exec<'_>, register: u8) {
    map(V::of(x, register), |mask| W::truncate(if enables(mask) { W::MASK } else { 0 })).put(x, register);
}

fn lane<W: Integer>(x: &Exec<'_>, register: u8, index: usize) -> W
where
    Vex256: Lanes<W>,
{
    <Vex256 as Lanes<W>>::split(Vex256::of(x, register)).as_ref()[index]
}

fn set_lane<V: Xmm + Lanes<W>, W: Integer>(x: &mut Exec<'_>, register: u8, index: usize, value: W) {
    let mut lanes = <V as Lanes<W>>::split(V::of(x, register));
    lanes.as_mut()[index] = value;
    <V as Lanes<W>>::join(lanes).put(x, register);
}

/// The element that an element of the index register leads to.
fn gathered<I: Copy + Into<i64>, W: Integer>(x: &mut Exec<'_>, op: &Op, index: usize) -> Outcome<W>
where
    Vex256: Lanes<I>,
{
    let indices = <Vex256 as Lanes<I>>::split(Vex256::of(x, op.index));
    let scaled = indices.as_ref()[index].into() << (op.scale & 3);
    let offset = x.cpu.regs.get(op.base).wrapping_add(op.disp as i64 as u64).wrapping_add(scaled as u64);
    let linear = x.linear(op.seg, x.wrap(offset, op.address_size), W::BYTES, false)?;
    x.load(linear, op.seg)
}

/// Picks the move by its direction and its form.
macro_rules! masked {
    ($l:ident, $element:ty) => {
        plain(
            $l,
            match ($l.is_memory(0), form($l) == Form::Vex256) {
                (true, false) => store::<Vex128, $element> as Handler,
                (true, true) => store::<Vex256, $element>,
                (false, false) => load::<Vex128, $element>,
                (false, true) => load::<Vex256, $element>,
            },
        )
    };
}

macro_rules! gather {
    ($l:ident, $index:ty, $element:ty) => {
        if form($l) == Form::Vex256 || $l.insn.memory_index().is_ymm() {
            gather::<Vex256, $index, $element>
        } else {
            gather::<Vex128, $index, $element>
        }
    };
}

/// A gather: as many elements as both the destination and the index register have.
fn lower_gather(l: &Lowering<'_>, index_bytes: usize, bytes: usize, run: Handler) -> Op {
    let count = (l.operand_size(0) / bytes).min(l.insn.memory_index().size() / index_bytes);
    let address_size = match l.insn.memory_base() {
        Register::None => l.insn.memory_displ_size() as usize,
        base => base.size(),
    };
    Op { size: count as u8, address_size: address_size as u8, ..plain(l, run) }
}

pub(super) fn lower(l: &Lowering<'_>) -> Option<Op> {
    use Mnemonic as M;
    Some(match l.insn.mnemonic() {
        M::Vmaskmovps | M::Vpmaskmovd => masked!(l, u32),
        M::Vmaskmovpd | M::Vpmaskmovq => masked!(l, u64),
        M::Vgatherdps | M::Vpgatherdd => lower_gather(l, 4, 4, gather!(l, i32, u32)),
        M::Vgatherdpd | M::Vpgatherdq => lower_gather(l, 4, 8, gather!(l, i32, u64)),
        M::Vgatherqps | M::Vpgatherqd => lower_gather(l, 8, 4, gather!(l, i64, u32)),
        M::Vgatherqpd | M::Vpgatherqq => lower_gather(l, 8, 8, gather!(l, i64, u64)),
        _ => return None,
    })
}
