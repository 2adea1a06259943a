//! To be filled.
use crate::interp::op::{Lowering, Op};

pub(super) fn lower(_l: &Lowering<'_>) -> Option<Op> {
    None
}
