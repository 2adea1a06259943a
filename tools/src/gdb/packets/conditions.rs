//! Conditions of breakpoints, which a debugger sends with them (Debugging with GDB, E.2 Packets, `Z0`).

use super::super::agent::{AnyOf, Expression};
use super::super::features::Features;
use super::parse;
use reprise_core::probe::Condition;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Most breakpoints with conditions.
const LIMIT: usize = 10_000;
/// Most expressions of one breakpoint.
const EXPRESSION_LIMIT: usize = 64;
/// Most operations of the expressions of all breakpoints: some 16 bytes each.
const OPERATION_LIMIT: usize = 1 << 20;

/// A breakpoint as a packet names it: its type, 0 or 1, and its linear address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) address: u64,
    pub(super) kind: u8,
}

/// The breakpoints that a client has, with and without conditions.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    breakpoints: BTreeMap<Name, Option<Rc<AnyOf>>>,
    /// Operations of all expressions.
    operations: usize,
}

/// What `Z0` and `Z1` have behind the letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insertion<'p> {
    pub(super) name: Name,
    /// The packet's part without conditions.
    pub(super) plain: &'p [u8],
    /// Bytecode, of each of its conditions.
    expressions: Vec<Vec<u8>>,
}

/// The breakpoint that `z0`, `z1`, `Z0` or `Z1` is about; `None` if it is about something else.
pub(super) fn name(body: &[u8]) -> Option<Name> {
    let (kind, rest) = parse::split(body, b',')?;
    let kind = parse::number(kind).filter(|kind| *kind <= 1)?;
    let (address, length) = parse::split(rest, b',')?;
    parse::number(length)?;
    Some(Name { address: parse::number(address)?, kind: kind as u8 })
}

impl<'p> Insertion<'p> {
    /// Parses the packet behind its letter; `None` if it is malformed, or wants commands to be executed.
    pub(super) fn parse(body: &'p [u8]) -> Option<Self> {
        let (plain, rest) = parse::split(body, b';').unwrap_or((body, b""));
        Some(Self { name: name(plain)?, plain, expressions: expressions(rest)? })
    }
}

/// `X len,bytecode`, any number of them. gdb puts separators between lists, others between expressions.
fn expressions(mut text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut expressions = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        if *first == b';' {
            text = rest;
            continue;
        }
        let (length, rest) = parse::split(rest, b',').filter(|_| *first == b'X')?;
        let digits = usize::try_from(parse::number(length)?).ok()?.checked_mul(2)?;
        expressions.push(parse::bytes(rest.get(..digits)?)?);
        text = &rest[digits..];
    }
    (expressions.len() <= EXPRESSION_LIMIT).then_some(expressions)
}

impl Conditions {
    /// A breakpoint is inserted, once more perhaps and with other conditions. False if there are too many.
    pub(super) fn insert(&mut self, insertion: &Insertion<'_>, features: &Features) -> bool {
        let Insertion { name, expressions, .. } = insertion;
        if self.breakpoints.len() >= LIMIT && !self.breakpoints.contains_key(name) {
            return false;
        }
        let compiled: Result<Vec<_>, _> = expressions.iter().map(|code| Expression::compile(code, features)).collect();
        let condition = match compiled {
            Ok(list) if list.is_empty() => None,
            Ok(list) => Some(Rc::new(AnyOf(list))),
            // The machine stops each time, and the debugger finds out by itself whether it counts.
            Err(error) => {
                log::warn!(target: "gdb", "the condition of the breakpoint at {:#x} is left to the debugger: {error}", name.address);
                None
            }
        };
        let operations = self.operations + size(condition.as_ref());
        if operations > OPERATION_LIMIT {
            return false;
        }
        self.operations = operations;
        let replaced = self.breakpoints.insert(*name, condition).flatten();
        self.operations -= size(replaced.as_ref());
        true
    }

    /// A breakpoint is removed.
    pub(super) fn remove(&mut self, name: Name) {
        let removed = self.breakpoints.remove(&name).flatten();
        self.operations -= size(removed.as_ref());
    }

    /// When breakpoints at `address` count; always, without one.
    pub(super) fn of(&self, address: u64) -> Option<Rc<dyn Condition>> {
        let at = |kind| self.breakpoints.get(&Name { address, kind });
        match (at(0), at(1)) {
            (Some(Some(one)), None) | (None, Some(Some(one))) => Some(one.clone()),
            (Some(Some(one)), Some(Some(other))) => Some(Rc::new(AnyOf([one.0.clone(), other.0.clone()].concat()))),
            (Some(None), _) | (_, Some(None)) | (None, None) => None,
        }
    }
}

/// Operations of a condition.
fn size(condition: Option<&Rc<AnyOf>>) -> usize {
    condition.map_or(0, |any| any.0.iter().map(Expression::len).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Board;
    use reprise_core::cpu::{CpuState, Model};

    fn features() -> Features {
        Features::new(Model::find(Model::DEFAULT).unwrap())
    }

    fn inserted(packets: &[&[u8]]) -> Conditions {
        let mut conditions = Conditions::default();
        for packet in packets {
            assert!(conditions.insert(&Insertion::parse(packet).unwrap(), &features()));
        }
        conditions
    }

    /// Whether a breakpoint at 0x1000 counts.
    fn counts(conditions: &Conditions) -> bool {
        let (board, cpu) = (Board::new(1 << 20, 1).unwrap(), CpuState::new(0, Model::find(Model::DEFAULT).unwrap()));
        conditions.of(0x1000).is_none_or(|condition| condition.holds(&cpu, &board))
    }

    #[test]
    fn conditions_are_found_behind_the_breakpoint() {
        let insertion = Insertion::parse(b"0,1000,1;X3,220027X2,2227;X0,").unwrap();
        assert_eq!((insertion.plain, insertion.name), (b"0,1000,1".as_slice(), Name { address: 0x1000, kind: 0 }));
        assert_eq!(insertion.expressions, [vec![0x22, 0, 0x27], vec![0x22, 0x27], vec![]]);
        assert_eq!(Insertion::parse(b"1,1000,1;").unwrap().expressions, Vec::<Vec<u8>>::new());
        for packet in [
            b"0,1000".as_slice(),
            b"2,1000,8",
            b"0,,1",
            b"0,1000,1;X",
            b"0,1000,1;X4,220027",
            b"0,1000,1;X3,22002",
            b"0,1000,1;Xffffffffffffffff,22",
            b"0,1000,1;Y1,22",
            b"0,1000,1;X1,27;cmds:0,X1,27",
        ] {
            assert_eq!(Insertion::parse(packet), None, "{}", String::from_utf8_lossy(packet));
        }
        let many = [b"0,1000,1;".as_slice(), &b"X1,27".repeat(EXPRESSION_LIMIT + 1)].concat();
        assert_eq!(Insertion::parse(&many), None);
    }

    #[test]
    fn a_breakpoint_counts_if_any_of_its_conditions_holds() {
        assert!(counts(&inserted(&[b"0,1000,1"])));
        assert!(!counts(&inserted(&[b"0,1000,1;X3,220027"])));
        assert!(counts(&inserted(&[b"0,1000,1;X3,220027X3,220127"])));
        assert!(counts(&inserted(&[b"0,1000,1;X3,220027", b"1,1000,1"])), "one of two has no condition");
        assert!(!counts(&inserted(&[b"0,1000,1;X3,220027", b"1,1000,1;X3,220027"])));
        assert!(counts(&inserted(&[b"0,1000,1;X3,220027", b"1,1000,1;X3,220127"])));
    }

    #[test]
    fn what_is_inserted_again_has_its_new_conditions_and_what_is_removed_none() {
        assert!(!counts(&inserted(&[b"0,1000,1", b"0,1000,1;X3,220027"])));
        let mut conditions = inserted(&[b"0,1000,1;X3,220027", b"0,2000,1;X3,220027"]);
        conditions.remove(name(b"0,1000,1").unwrap());
        assert!(conditions.of(0x1000).is_none() && conditions.of(0x2000).is_some());
    }

    #[test]
    fn a_condition_that_is_none_is_left_to_the_debugger() {
        assert!(inserted(&[b"0,1000,1;X3,22ff0c"]).of(0x1000).is_none());
    }

    #[test]
    fn there_is_a_most() {
        let mut conditions = Conditions::default();
        for at in 0..=LIMIT {
            let packet = format!("0,{at:x},1;X3,220027");
            let taken = conditions.insert(&Insertion::parse(packet.as_bytes()).unwrap(), &features());
            assert_eq!(taken, at < LIMIT);
        }
    }
}
