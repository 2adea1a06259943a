//! Memory for translated code: one reservation that never moves, and of which no page can ever be both written and run.
//!
//! The bytes are shared anonymous memory that is mapped twice: a view that is written, and a view that is executed. (Perf reads
//! its maps of names for anonymous memory alone, not for a memfd.) All addresses that this module gives and takes are of
//! the executable view. Code that runs often (*hot*) grows from the bottom, stubs that run rarely (*cold*) from the
//! middle, so that the processor's caches hold hot code only.
//!
//! A processor may have fetched bytes ahead through one view before they are written through the other: it must meet a
//! serialising instruction before it runs them (Intel SDM vol. 3, 9.1.3 Handling Self- and Cross-Modifying Code).
//! [`CodeMemory::take_modified`] says when, and the [entry](crate::enter) does it.
//!
//! Invariant that others rely on: at every address that [`CodeMemory::contains`], the executable view holds what was given to
//! [`CodeMemory::append`] and [`CodeMemory::patch_rel32`], and nothing else writes there.
#![allow(unsafe_code)] // mapping memory, and writing through the mapping: there is no safe way to do either

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};

/// Each area is a multiple of this.
const PAGE: usize = 4096;

/// An area of the code memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code memory is full")]
pub struct Full;

/// How far the code memory was filled at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    hot: usize,
    cold: usize,
}

/// Bytes in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// By hot code.
    pub hot: usize,
    /// By cold code.
    pub cold: usize,
}

/// The memory that translated code lies in.
#[derive(Debug)]
pub struct CodeMemory {
    writable: Writable,
    executable: View,
    hot: usize,
    cold: usize,
    modified: bool,
}

impl CodeMemory {
    /// Reserves room for so many bytes, half of them hot; the host gives memory only as it is filled.
    pub fn new(bytes: usize) -> io::Result<Self> {
        assert!(bytes >= 2 * PAGE && bytes <= i32::MAX as usize, "relative jumps must reach all of the code memory");
        let bytes = bytes.next_multiple_of(2 * PAGE);
        let writable = Writable(View::map(bytes)?);
        let executable = writable.executable()?;
        Ok(Self { writable, executable, hot: 0, cold: bytes / 2, modified: false })
    }

    /// Address and bytes of the hot code before a mark.
    pub fn hot_before(&self, mark: Mark) -> (u64, &[u8]) {
        (self.executable.address(), &self.writable.contents()[..mark.hot])
    }

    /// Where the next hot code will be.
    pub fn hot_next(&self) -> u64 {
        self.executable.address() + self.hot as u64
    }

    /// Where the next cold code will be.
    pub fn cold_next(&self) -> u64 {
        self.executable.address() + self.cold as u64
    }

    /// Whether this is the address of code that has been appended.
    pub fn contains(&self, address: u64) -> bool {
        self.offset(address).is_some_and(|offset| self.is_used(offset))
    }

    /// Bytes in use.
    pub fn used(&self) -> Used {
        Used { hot: self.hot, cold: self.cold - self.middle() }
    }

    /// Bytes that each of the two areas has.
    pub fn area(&self) -> usize {
        self.middle()
    }

    /// Adds code that was emitted for [`Self::hot_next`] and [`Self::cold_next`]; when either area lacks the room, nothing
    /// is added.
    pub fn append(&mut self, hot: &[u8], cold: &[u8]) -> Result<(), Full> {
        if hot.len() > self.middle() - self.hot || cold.len() > self.executable.bytes - self.cold {
            return Err(Full);
        }
        self.writable.write(self.hot, hot);
        self.writable.write(self.cold, cold);
        self.hot += hot.len();
        self.cold += cold.len();
        self.modified = true;
        Ok(())
    }

    /// Makes the jump whose four displacement bytes are at `field` lead to `target`.
    pub fn patch_rel32(&mut self, field: u64, target: u64) {
        let offset = self.offset(field).filter(|offset| self.is_used(*offset) && self.is_used(*offset + 3));
        let offset = offset.unwrap_or_else(|| panic!("{field:#x} is not in translated code"));
        assert!(self.contains(target), "{target:#x} is not in translated code");
        self.writable.write(offset, &relative(field, target).to_le_bytes());
        self.modified = true;
    }

    /// Where the jump whose displacement is at `field` leads.
    pub fn target_rel32(&self, field: u64) -> u64 {
        let code = self.read(field, 4);
        let displacement = i32::from_le_bytes(code.try_into().expect("four bytes"));
        (field + 4).wrapping_add_signed(i64::from(displacement))
    }

    /// Translated code, to be shown to people.
    pub fn read(&self, address: u64, bytes: usize) -> &[u8] {
        let offset = self.offset(address).expect("an address in the code memory");
        &self.writable.contents()[offset..offset + bytes]
    }

    /// How far the memory is filled now.
    pub fn mark(&self) -> Mark {
        Mark { hot: self.hot, cold: self.cold }
    }

    /// Forgets all code that was appended after the mark was taken. Nothing may lead there any more.
    pub fn reset_to(&mut self, mark: Mark) {
        assert!(mark.hot <= self.hot && mark.cold <= self.cold, "the mark is of later code");
        self.hot = mark.hot;
        self.cold = mark.cold;
        self.modified = true;
    }

    /// Whether code has changed since this was last asked: the processor must serialise before it runs any.
    pub fn take_modified(&mut self) -> bool {
        std::mem::take(&mut self.modified)
    }

    /// Where the cold area begins, and the length of either.
    fn middle(&self) -> usize {
        self.executable.bytes / 2
    }

    fn offset(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.executable.address())?).ok()?;
        (offset < self.executable.bytes).then_some(offset)
    }

    fn is_used(&self, offset: usize) -> bool {
        offset < self.hot || (self.middle()..self.cold).contains(&offset)
    }
}

/// The displacement at `field` of a jump to `target`.
pub(crate) fn relative(field: u64, target: u64) -> i32 {
    let distance = target.wrapping_sub(field + 4) as i64;
    i32::try_from(distance).expect("relative jumps reach all of the code memory")
}

/// One mapping of the whole file.
#[derive(Debug)]
struct View {
    start: NonNull<u8>,
    bytes: usize,
}

impl View {
    /// Maps memory that is read and written.
    fn map(bytes: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: with a null hint and without MAP_FIXED, mmap takes addresses that nothing else uses.
        let start = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::SHARED) }?;
        Self::at(start, bytes)
    }

    fn at(start: *mut c_void, bytes: usize) -> io::Result<Self> {
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, bytes })
    }

    fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this view's own, and every reference into it borrows from the view.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// The view that is written, and never executed.
#[derive(Debug)]
struct Writable(View);

impl Writable {
    /// Another view of the same memory, which is executed and never written.
    fn executable(&self) -> io::Result<View> {
        let (start, bytes) = (self.0.start.as_ptr().cast(), self.0.bytes);
        // SAFETY: of shared memory, an old size of 0 makes a second mapping at addresses that nothing else uses, and
        // leaves the first as it is.
        let second = unsafe { rustix::mm::mremap(start, 0, bytes, MremapFlags::MAYMOVE) }?;
        let view = View::at(second, bytes)?;
        // SAFETY: the mapping is the new view's own, and no reference into it exists.
        unsafe { rustix::mm::mprotect(second, bytes, MprotectFlags::READ | MprotectFlags::EXEC) }?;
        Ok(view)
    }

    fn contents(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `bytes` long, and lives as long as `self`; whoever writes holds `&mut self`,
        // and nobody else has the file.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.bytes) }
    }

    fn write(&mut self, offset: usize, code: &[u8]) {
        // SAFETY: the mapping is readable and writable, `bytes` long, and lives as long as `self`, which is borrowed
        // mutably; the other view of the same bytes is never read through a reference.
        let contents = unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.bytes) };
        contents[offset..offset + code.len()].copy_from_slice(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> CodeMemory {
        CodeMemory::new(2 * PAGE).expect("a small mapping")
    }

    #[test]
    fn areas_grow_from_bottom_and_middle() {
        let mut memory = memory();
        let (hot, cold) = (memory.hot_next(), memory.cold_next());
        assert_eq!(cold - hot, PAGE as u64);
        memory.append(&[1, 2, 3], &[4]).expect("room");
        assert_eq!((memory.hot_next(), memory.cold_next()), (hot + 3, cold + 1));
        assert_eq!((memory.read(hot, 3), memory.read(cold, 1)), (&[1, 2, 3][..], &[4][..]));
        assert_eq!(memory.used(), Used { hot: 3, cold: 1 });
        assert!(memory.contains(hot + 2) && !memory.contains(hot + 3) && !memory.contains(hot - 1));
        assert!(memory.contains(cold) && !memory.contains(cold + 1));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // what the host says of its mappings is what is tested
    fn no_page_is_both_written_and_run() {
        let memory = memory();
        let mappings = std::fs::read_to_string("/proc/self/maps").expect("a list of mappings");
        let access_at = |start: u64| {
            let line = mappings.lines().find(|line| line.starts_with(&format!("{start:x}-"))).expect("a mapping");
            line.split(' ').nth(1).expect("access").to_owned()
        };
        assert_eq!(access_at(memory.writable.0.address()), "rw-s");
        assert_eq!(access_at(memory.executable.address()), "r-xs");
        assert!(mappings.lines().all(|line| !line.contains("rwx")));
    }

    #[test]
    fn a_full_area_takes_nothing_and_leaves_the_other_alone() {
        let mut memory = memory();
        assert_eq!(memory.append(&[0; 1], &[0; PAGE + 1]), Err(Full));
        assert_eq!(memory.append(&[0; PAGE + 1], &[0; 1]), Err(Full));
        assert_eq!(memory.used(), Used::default());
        memory.append(&[0; PAGE], &[0; PAGE]).expect("exactly full");
        assert_eq!(memory.append(&[0], &[]), Err(Full));
        assert_eq!(memory.append(&[], &[0]), Err(Full));
        assert_eq!(memory.append(&[], &[]), Ok(()));
    }

    #[test]
    fn jumps_are_patched_across_areas() {
        let mut memory = memory();
        let (hot, cold) = (memory.hot_next(), memory.cold_next());
        memory.append(&[0xe9, 0, 0, 0, 0], &[0x90]).expect("room");
        assert_eq!(memory.target_rel32(hot + 1), hot + 5);
        memory.patch_rel32(hot + 1, cold);
        assert_eq!(memory.target_rel32(hot + 1), cold);
        memory.patch_rel32(hot + 1, hot);
        assert_eq!(memory.read(hot, 5), [0xe9, 0xfb, 0xff, 0xff, 0xff]);
    }

    #[test]
    #[should_panic(expected = "is not in translated code")]
    fn a_field_that_ends_beyond_the_code_is_not_patched() {
        let mut memory = memory();
        let hot = memory.hot_next();
        memory.append(&[0xe9, 0, 0, 0], &[]).expect("room");
        memory.patch_rel32(hot + 1, hot);
    }

    #[test]
    #[should_panic(expected = "is not in translated code")]
    fn nothing_is_made_to_jump_where_no_code_is() {
        let mut memory = memory();
        let hot = memory.hot_next();
        memory.append(&[0xe9, 0, 0, 0, 0], &[]).expect("room");
        memory.patch_rel32(hot + 1, hot + 5);
    }

    #[test]
    fn code_after_a_mark_is_forgotten_and_its_room_given_again() {
        let mut memory = memory();
        memory.append(&[1], &[2]).expect("room");
        let (mark, hot) = (memory.mark(), memory.hot_next());
        memory.append(&[3; 100], &[4; 100]).expect("room");
        memory.reset_to(mark);
        assert_eq!((memory.used(), memory.hot_next()), (Used { hot: 1, cold: 1 }, hot));
        memory.append(&[5], &[]).expect("room");
        assert_eq!(memory.read(hot, 1), [5]);
    }

    #[test]
    fn every_change_asks_for_serialisation_once() {
        let mut memory = memory();
        assert!(!memory.take_modified());
        let hot = memory.hot_next();
        memory.append(&[0xe9, 0, 0, 0, 0], &[]).expect("room");
        assert!(memory.take_modified());
        assert!(!memory.take_modified());
        memory.patch_rel32(hot + 1, hot);
        assert!(memory.take_modified());
    }
}
