//! Ledgers that many tests read.

use super::{Draft, Ledger, Scratch, draft};

/// Genesis and nine receipts in four frames of a sealed segment, then six in three frames of an open one.
pub(crate) fn sixteen() -> Ledger {
    scratch_of_sixteen().finish()
}

pub(crate) fn scratch_of_sixteen() -> Scratch {
    let mut scratch = Scratch::new();
    for frame in 0..6 {
        if frame == 3 {
            scratch.seal();
        }
        scratch.frame(
            &[draft("a", "{\"first\":1}"), draft("b", "{\"second\":22}"), draft("a", "{\"third\":333}")]
                [..frame % 2 + 2],
        );
    }
    scratch
}

/// Five segments, the last one open, of three frames each. Streams `a`, `b` and `c` run through all of them, every second
/// receipt of `b` links to the first of its segment and to one of each earlier segment.
pub(crate) fn five_segments() -> Ledger {
    scratch_of_five_segments().finish()
}

pub(crate) fn scratch_of_five_segments() -> Scratch {
    let mut scratch = Scratch::new();
    let mut firsts = vec![0];
    for segment in 0..5 {
        if segment > 0 {
            scratch.seal();
            firsts.push(scratch.leaves.len());
        }
        for _ in 0..3 {
            let known = firsts.iter().filter(|first| **first < scratch.leaves.len());
            let links = known.map(|first| scratch.link(*first)).collect();
            let linked = Draft { links, ..draft("b", "{\"linked\":true}") };
            scratch.frame(&[draft("a", "1"), draft("b", "22"), linked, draft("c", "333")]);
        }
    }
    scratch
}
