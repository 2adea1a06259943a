//! What pages of RAM held at checkpoints: for each page its versions, in the order of time.

use super::contents::{Contents, ContentsId};
use reprise_core::clock::Tick;
use reprise_core::memory::PAGE_SIZE;

/// Contents of a page.
pub(super) type Page = [u8; PAGE_SIZE as usize];

/// Pages whose versions are kept together.
const CHUNK: usize = 512;

/// What a page held at a checkpoint, and at all later ones up to the next version.
struct Version {
    tick: Tick,
    /// `None` for zeros. Shared with the version before if the page was written but holds the same.
    contents: Option<ContentsId>,
}

type Chunk = [Vec<Version>; CHUNK];

/// All versions of all pages. A page without a version holds zeros.
#[derive(Default)]
pub(super) struct History {
    chunks: Vec<Option<Box<Chunk>>>,
    contents: Contents,
    /// Pages that have versions.
    pages: usize,
    /// Bytes that versions take.
    bytes: u64,
}

impl History {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.contents.bytes() + size_of_val(&self.chunks[..]) as u64
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
    fn change<T>(&mut self, page: u32, change: impl FnOnce(&mut Vec<Version>) -> T) -> T {
        let at = page as usize / CHUNK;
        if at >= self.chunks.len() {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks[at].get_or_insert_with(|| {
            self.bytes += size_of::<Chunk>() as u64;
            Box::new([const { Vec::new() }; CHUNK])
        });
        let versions = &mut chunk[page as usize % CHUNK];
        let (were, room) = (versions.len(), versions.capacity() * size_of::<Version>());
        let result = change(versions);
        self.pages = self.pages + usize::from(!versions.is_empty()) - usize::from(were != 0);
        self.bytes = self.bytes - room as u64 + (versions.capacity() * size_of::<Version>()) as u64;
        result
    }

    /// Adds the version of `tick`, which the page has none of.
    pub(super) fn add(&mut self, page: u32, tick: Tick, bytes: &Page) {
        let contents = match self.find(page, tick) {
            Some(before) if self.contents.get(before) == bytes => Some(self.contents.share(before)),
            _ if is_zero(bytes) => None,
            _ => Some(self.contents.add(bytes)),
        };
        self.change(page, |versions| {
            let at = versions.partition_point(|version| version.tick < tick);
            if versions.capacity() == 0 {
                // Many pages have one version for ever.
                versions.reserve_exact(1);
            }
            versions.insert(at, Version { tick, contents });
        });
    }

    /// Takes the version of `tick` out.
    pub(super) fn remove(&mut self, page: u32, tick: Tick) {
        let removed = self.change(page, |versions| {
            let at = versions.binary_search_by_key(&tick, |version| version.tick).ok()?;
            let removed = versions.remove(at);
            if versions.len() * 4 < versions.capacity() {
                versions.shrink_to(versions.len() * 2);
            }
            removed.contents
        });
        if let Some(contents) = removed {
            self.contents.release(contents);
        }
    }

    /// The version of `tick` becomes that of `heir`, a later tick with none between, unless it has one.
    pub(super) fn hand_on(&mut self, page: u32, tick: Tick, heir: Tick) {
        let versions = self.versions(page);
        let Ok(at) = versions.binary_search_by_key(&tick, |version| version.tick) else { return };
        if versions.get(at + 1).is_some_and(|next| next.tick == heir) {
            return self.remove(page, tick);
        }
        self.change(page, |versions| versions[at].tick = heir);
    }

    fn find(&self, page: u32, tick: Tick) -> Option<ContentsId> {
        let versions = self.versions(page);
        let at = versions.partition_point(|version| version.tick <= tick);
        versions[at.checked_sub(1)?].contents
    }

    /// What the page held at a checkpoint; `None` for zeros.
    pub(super) fn at(&self, page: u32, tick: Tick) -> Option<&Page> {
        self.find(page, tick).map(|contents| self.contents.get(contents))
    }

    /// Whether it is known without looking at them that the page held the same at two checkpoints.
    pub(super) fn is_same(&self, page: u32, one: Tick, other: Tick) -> bool {
        self.find(page, one) == self.find(page, other)
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
        let (mut shares, mut pages) = (std::collections::BTreeMap::new(), 0);
        for versions in chunks.flat_map(|chunk| chunk.iter()) {
            bytes += versions.capacity() * size_of::<Version>();
            let contents = versions.iter().filter_map(|version| version.contents);
            contents.for_each(|contents| *shares.entry(contents).or_insert(0) += 1);
            pages += usize::from(!versions.is_empty());
            assert!(versions.is_sorted_by(|one, other| one.tick < other.tick));
        }
        assert_eq!((self.bytes, self.pages, self.contents.len()), (bytes as u64, pages, shares.len()));
        assert!(shares.iter().all(|(&contents, &shares)| self.contents.shares(contents) == shares));
    }
}

fn is_zero(page: &Page) -> bool {
    page.as_chunks::<16>().0.iter().all(|chunk| *chunk == [0; 16])
}
