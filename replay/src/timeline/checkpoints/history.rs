//! What pages of RAM held at checkpoints: for each page its versions, in the order of time.

use reprise_core::clock::Tick;
use reprise_core::memory::PAGE_SIZE;
use std::rc::Rc;

/// Contents of a page.
pub(super) type Page = [u8; PAGE_SIZE as usize];

/// Bytes that the contents of a page take: they are counted, and the host's allocator knows their length.
const PAGE_COST: u64 = PAGE_SIZE + 4 * size_of::<usize>() as u64;
/// Pages whose versions are kept together.
const CHUNK: usize = 512;

/// What a page held at a checkpoint, and at all later ones up to the next version.
struct Version {
    tick: Tick,
    /// `None` for zeros. Shared with the version before if the page was written but holds the same.
    contents: Option<Rc<Page>>,
}

type Chunk = [Vec<Version>; CHUNK];

/// All versions of all pages. A page without a version holds zeros.
#[derive(Default)]
pub(super) struct History {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Pages that have versions.
    pages: usize,
    /// Bytes that contents and versions take.
    bytes: u64,
}

impl History {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + size_of_val(&self.chunks[..]) as u64
    }

    /// How many pages have versions.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// The pages that have versions, in ascending order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let chunks = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        chunks.flat_map(|(at, chunk)| {
            let used = chunk.iter().enumerate().filter(|(_, versions)| !versions.is_empty());
            used.map(move |(within, _)| (at * CHUNK + within) as u32)
        })
    }

    fn versions(&self, page: u32) -> &[Version] {
        let chunk = self.chunks.get(page as usize / CHUNK).and_then(Option::as_ref);
        chunk.map_or(&[], |chunk| &chunk[page as usize % CHUNK])
    }

    /// Changes the versions of a page, and counts what that costs.
    fn change(&mut self, page: u32, change: impl FnOnce(&mut Vec<Version>) -> i64) {
        let at = page as usize / CHUNK;
        if at >= self.chunks.len() {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks[at].get_or_insert_with(|| {
            self.bytes += size_of::<Chunk>() as u64;
            Box::new([const { Vec::new() }; CHUNK])
        });
        let versions = &mut chunk[page as usize % CHUNK];
        let (were, capacity) = (versions.len(), versions.capacity());
        let contents = change(versions);
        self.pages = self.pages + usize::from(!versions.is_empty()) - usize::from(were != 0);
        let room = (versions.capacity() as i64 - capacity as i64) * size_of::<Version>() as i64;
        self.bytes = self.bytes.wrapping_add_signed(contents * PAGE_COST as i64 + room);
    }

    /// Adds the version of `tick`, which the page has none of.
    pub(super) fn add(&mut self, page: u32, tick: Tick, bytes: &Page) {
        self.change(page, |versions| {
            let at = versions.partition_point(|version| version.tick < tick);
            let before = at.checked_sub(1).and_then(|before| versions[before].contents.as_ref());
            let (contents, new) = match before {
                Some(before) if **before == *bytes => (Some(before.clone()), 0),
                _ if is_zero(bytes) => (None, 0),
                _ => (Some(Rc::new(*bytes)), 1),
            };
            versions.insert(at, Version { tick, contents });
            new
        });
    }

    /// Takes the version of `tick` out.
    pub(super) fn remove(&mut self, page: u32, tick: Tick) {
        self.change(page, |versions| {
            let Ok(at) = versions.binary_search_by_key(&tick, |version| version.tick) else { return 0 };
            let removed = versions.remove(at);
            if versions.len() * 4 < versions.capacity() {
                versions.shrink_to(versions.len() * 2);
            }
            -i64::from(removed.contents.is_some_and(|contents| Rc::strong_count(&contents) == 1))
        });
    }

    /// The version of `tick` becomes that of `heir`, a later tick with none between, unless it has one.
    pub(super) fn hand_on(&mut self, page: u32, tick: Tick, heir: Tick) {
        let versions = self.versions(page);
        let Ok(at) = versions.binary_search_by_key(&tick, |version| version.tick) else { return };
        if versions.get(at + 1).is_some_and(|next| next.tick == heir) {
            return self.remove(page, tick);
        }
        self.change(page, |versions| {
            versions[at].tick = heir;
            0
        });
    }

    fn find(&self, page: u32, tick: Tick) -> Option<&Rc<Page>> {
        let versions = self.versions(page);
        let at = versions.partition_point(|version| version.tick <= tick);
        versions[at.checked_sub(1)?].contents.as_ref()
    }

    /// What the page held at a checkpoint; `None` for zeros.
    pub(super) fn at(&self, page: u32, tick: Tick) -> Option<&Page> {
        self.find(page, tick).map(|contents| &**contents)
    }

    /// Whether it is known without looking at them that the page held the same at two checkpoints.
    pub(super) fn is_same(&self, page: u32, one: Tick, other: Tick) -> bool {
        match (self.find(page, one), self.find(page, other)) {
            (Some(one), Some(other)) => Rc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Whether the page has a version after one tick and no later than another.
    pub(super) fn has_version(&self, page: u32, after: Tick, up_to: Tick) -> bool {
        let versions = self.versions(page);
        let at = versions.partition_point(|version| version.tick <= after);
        versions.get(at).is_some_and(|version| version.tick <= up_to)
    }
}

#[cfg(test)]
impl History {
    /// Compares what was counted with what is there.
    pub(super) fn check(&self) {
        let chunks = self.chunks.iter().flatten();
        let mut bytes = chunks.clone().count() * size_of::<Chunk>();
        let mut contents = std::collections::BTreeSet::new();
        let mut pages = 0;
        for versions in chunks.flat_map(|chunk| chunk.iter()) {
            bytes += versions.capacity() * size_of::<Version>();
            contents.extend(versions.iter().filter_map(|version| version.contents.as_ref()).map(Rc::as_ptr));
            pages += usize::from(!versions.is_empty());
            assert!(versions.is_sorted_by(|one, other| one.tick < other.tick));
        }
        assert_eq!((self.bytes, self.pages), (bytes as u64 + contents.len() as u64 * PAGE_COST, pages));
    }
}

fn is_zero(page: &Page) -> bool {
    page.as_chunks::<16>().0.iter().all(|chunk| *chunk == [0; 16])
}
