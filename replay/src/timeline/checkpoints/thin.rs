//! Which checkpoint is missed least.
//!
//! Two things are wanted. From the position back, and on, the distance to the next checkpoint may grow with the distance
//! that is gone: who has gone back a second may wait as long as a thousandth of that, not a thousandth of an hour. And
//! wherever one goes, the next checkpoint shall not be farther than need be: a cold seek goes anywhere.
//!
//! So a gap between two checkpoints is a share of two wholes: of the distance on a logarithmic scale from the position,
//! L(t) = ln(1 + |t - position| / [`NEAR`]), and of the span of history. With K checkpoints each has its share of both, and
//! that checkpoint is dropped whose neighbours would be the smallest gap without it:
//!
//! ```text
//! gap(a, b) = |L(b) - L(a)| / sum of L over history  +  (b - a) / span of history
//! ```
//!
//! Dropping the smallest makes all gaps alike: between 1/K and 4/K, since the sum of all is 2. Hence the spacing at distance
//! d from the position, in a history of n ticks with l = ln(1 + n / NEAR), is about
//!
//! ```text
//! spacing(d) = 2/K / (1 / (l (d + NEAR)) + 1 / n)
//! ```
//!
//! With many checkpoints that is uniform from a distance of n / l on, no wider than 2n / K (or twice that, in between two
//! merges), and ever denser below. With few, K about l, it is exponential: each gap about as wide as the distance to the
//! position. So history grows by a factor for each checkpoint that is added: n ticks need O(log n).

use reprise_core::clock::Tick;

/// Ticks from the position within which it does not matter where a checkpoint is: running so far takes no time.
const NEAR: f64 = 1024.0;

/// Where a tick lies on the logarithmic scale: grows with it, and is 0 at the position.
fn scale(tick: Tick, position: Tick) -> f64 {
    let distance = (tick.abs_diff(position) as f64 / NEAR).ln_1p();
    if tick < position { -distance } else { distance }
}

/// The checkpoint that is missed least: of `ticks`, in order, each with whether it must stay. Never the first, nor the last.
pub(super) fn least_missed(ticks: &[(Tick, bool)], position: Tick) -> Option<Tick> {
    let (&(first, _), &(last, _)) = (ticks.first()?, ticks.last()?);
    let (span, scales) = ((last - first) as f64, scale(last, position) - scale(first, position));
    let place = |&(tick, _): &(Tick, bool)| scale(tick, position) / scales + (tick - first) as f64 / span;
    let places: Vec<f64> = ticks.iter().map(place).collect();
    let gaps = places.windows(3).map(|around| around[2] - around[0]);
    let droppable = gaps.zip(&ticks[1..]).filter(|(_, (_, stays))| !stays);
    let (_, &(tick, _)) = droppable.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks that are left of one every `step` up to `end`, when no more than `most` are ever kept.
    fn left(step: Tick, end: Tick, most: usize) -> Vec<Tick> {
        let mut kept: Vec<(Tick, bool)> = Vec::new();
        for tick in (0..=end).step_by(step as usize) {
            kept.push((tick, false));
            if kept.len() > most {
                let dropped = least_missed(&kept, tick).unwrap();
                kept.retain(|&(tick, _)| tick != dropped);
            }
        }
        kept.into_iter().map(|(tick, _)| tick).collect()
    }

    /// No gap is wider than twice what the formula says, if they were taken every `step` ticks.
    fn assert_spacing(ticks: &[Tick], step: Tick) {
        let n = *ticks.last().unwrap();
        for gap in ticks.windows(2) {
            let (far, width) = ((n - gap[0]) as f64, (gap[1] - gap[0]) as f64);
            let l = (n as f64 / NEAR).ln_1p();
            let spacing = 2.0 / ticks.len() as f64 / (1.0 / (l * (far + NEAR)) + 1.0 / n as f64);
            assert!(width <= 2.0 * spacing.max(step as f64), "{gap:?}: {width} ticks, {spacing} by the formula");
        }
    }

    #[test]
    fn plenty_of_memory_leaves_near_uniform_spacing() {
        let (n, most) = (10_000_000_000, 200);
        let ticks = left(10_000_000, n, most);
        assert_eq!((ticks.len(), ticks[0], ticks[most - 1]), (most, 0, n));
        let widest = ticks.windows(2).map(|gap| gap[1] - gap[0]).max().unwrap();
        assert!(widest <= 4 * n / most as u64, "{widest}");
        assert_spacing(&ticks, 10_000_000);
        let last = &ticks[most - 40..];
        assert!(last.windows(2).all(|gap| gap[1] - gap[0] <= widest / 2), "denser near the end: {last:?}");
    }

    #[test]
    fn short_memory_leaves_exponential_spacing() {
        for end in [1_000_000, 30_000_000] {
            // As many as factors of two.
            let most = (end as f64 / NEAR).log2() as usize;
            let ticks = left(1000, end, most);
            assert_spacing(&ticks, 1000);
            let before = |distance: Tick| ticks.iter().rev().find(|&&tick| end - tick >= distance).unwrap();
            for power in 12..20 {
                let distance = 1 << power;
                assert!(end - before(distance) <= 8 * distance, "{distance} from {end}: {ticks:?}");
            }
        }
    }

    #[test]
    fn it_is_dense_around_the_position_and_what_must_stay_stays() {
        let position = 600_000_000;
        let mut kept: Vec<_> = (0..=1000).map(|n| (n * 1_000_000, n == 17)).collect();
        while kept.len() > 50 {
            let dropped = least_missed(&kept, position).unwrap();
            kept.retain(|&(tick, _)| tick != dropped);
        }
        assert!(kept.contains(&(17_000_000, true)));
        let distance = |at: usize| kept[at].0.abs_diff(position);
        let nearest = (0..kept.len()).min_by_key(|&at| distance(at)).unwrap();
        assert!(
            distance(nearest) <= 1_000_000 && distance(nearest - 1) <= 4_000_000 && distance(nearest + 1) <= 4_000_000
        );
        assert!(kept.windows(2).all(|gap| gap[1].0 - gap[0].0 <= 80_000_000), "{kept:?}");
    }

    #[test]
    fn the_first_and_the_last_are_never_missed_least() {
        assert_eq!(least_missed(&[], 0), None);
        assert_eq!(least_missed(&[(0, false), (9, false)], 5), None);
        assert_eq!(least_missed(&[(0, false), (5, true), (9, false)], 5), None);
        assert_eq!(least_missed(&[(0, false), (5, false), (9, false)], 5), Some(5));
    }
}
