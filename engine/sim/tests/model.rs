//! The engine against a plain model in memory, without any fault: whatever is appended in whatever order, every answer is
//! the predicted one, and everything reads back by index, by stream, in pages and with proofs.

use counterfoil_proof::Media;
use counterfoil_sim::{
    Append, Boot, Case, Condition, Draft, End, Flaw, Gather, Name, SEGMENT_BYTES_MEDIUM, SEGMENT_BYTES_SMALL,
    SEGMENT_BYTES_TINY, Step, run,
};
use proptest::prelude::*;

fn draft() -> impl Strategy<Value = Draft> {
    let media = prop::sample::select(vec![Media::Text, Media::Json, Media::Bytes]);
    let payload_bytes = prop_oneof![4 => 0..100usize, 1 => 0..9000usize];
    (0..5u64, payload_bytes, media, any::<bool>(), 0..4u64, prop::bool::weighted(0.05)).prop_map(
        |(stream, payload_bytes, media, has_subject, links, closes)| Draft {
            stream,
            payload_bytes,
            media,
            has_subject,
            links,
            closes,
        },
    )
}

fn append() -> impl Strategy<Value = Append> {
    let name = prop::sample::select(vec![Name::None, Name::Request, Name::Session]);
    let condition = prop_oneof![4 => Just(Condition::None), 4 => Just(Condition::Holds), 1 => Just(Condition::Fails)];
    let flaws = vec![Flaw::WrongLink, Flaw::EarlyLink, Flaw::UnknownClass, Flaw::WrongMedia, Flaw::Reserved];
    let flaw = prop::option::weighted(0.05, prop::sample::select(flaws));
    (prop::collection::vec(draft(), 1..6), name, condition, flaw, any::<bool>()).prop_map(
        |(receipts, name, condition, flaw, with_proofs)| Append { receipts, name, condition, flaw, with_proofs },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let gather = prop::sample::select(vec![Gather::Frames, Gather::TwoFrames]);
    let together = (prop::collection::vec(append(), 2..5), gather);
    prop_oneof![
        8 => append().prop_map(Step::Append),
        3 => together.prop_map(|(appends, gather)| Step::Together(appends, gather)),
        2 => any::<bool>().prop_map(|changed| Step::Repeat { changed }),
        1 => Just(Step::Seal),
        1 => Just(Step::Reopen),
        1 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_answers_as_the_model_does(
        seed: u64,
        steps in prop::collection::vec(step(), 1..30),
        keeper_calls in prop::option::of(0..8u64),
        segment_bytes_max in prop::sample::select(vec![SEGMENT_BYTES_TINY, SEGMENT_BYTES_SMALL, SEGMENT_BYTES_MEDIUM]),
    ) {
        let boot = Boot { keeper_calls, ..Boot::new(steps, End::Close) };
        let case = Case { segment_bytes_max, ..Case::new(seed, vec![boot]) };
        prop_assert!(run(&case).is_ok_and(|outcome| outcome.receipts > 0), "{:?}", run(&case).err());
    }
}
