use crate::support::{Served, append, batch, new_ledger, receipt};
use counterfoil_client::{AppendOptions, BatchId, Error, StreamOptions};
use counterfoil_engine::{Environment, Ledger, Limits};
use counterfoil_proof::{LeafIndex, Link, StreamSeq};

const WITH_PROOFS: AppendOptions = AppendOptions { with_proofs: true, request_id: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_appended_with_proofs_that_hold() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let appended = client.append(batch("incident/1", 3), WITH_PROOFS).await.unwrap();
    let places: Vec<_> = appended.receipts.iter().map(|receipt| (receipt.index.0, receipt.stream_seq.0)).collect();
    assert_eq!(places, [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(appended.checkpoint.checkpoint().size.0, 4);
    assert_eq!(appended.proofs.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_every_batch_in_order() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let options = StreamOptions { with_proofs: true, batches_in_flight_max: 5, ..StreamOptions::default() };
    let mut stream = client.append_stream(options).await.unwrap();
    let mut acks = Vec::new();
    for _ in 0..40 {
        stream.send(batch("a", 10)).await.unwrap();
        assert!(stream.in_flight() <= 5);
        while let Some(ack) = stream.ready_ack() {
            acks.push(ack);
        }
    }
    acks.extend(stream.finish().await.unwrap());
    assert_eq!(acks.iter().map(|ack| ack.batch).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    let indices = acks.iter().flat_map(|ack| &ack.appended.receipts).map(|receipt| receipt.index.0);
    assert_eq!(indices.collect::<Vec<_>>(), (1..=400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_conditional_appends_one_wins_and_the_other_learns_the_head() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let conditional = || {
        let mut receipt = receipt("incident/1", 0);
        receipt.expected_stream_seq = Some(StreamSeq(0));
        append(&client, vec![receipt])
    };
    let (first, second) = tokio::join!(conditional(), conditional());
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    let lost = lost.unwrap_err();
    assert!(matches!(lost, Error::Refused(_)), "{lost:?}");
    assert_eq!(lost.code(), "LOST_RACE");
    assert_eq!((lost.facts()["expected"].as_str(), lost.facts()["actual"].as_str()), ("0", "1"));
    assert_eq!(lost.facts()["head"], won.unwrap().receipts[0].leaf.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_takes_nothing_more() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let mut last = receipt("incident/1", 0);
    last.closes_stream = true;
    append(&client, vec![last]).await.unwrap();
    let refused = append(&client, batch("incident/1", 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!((refused.code(), refused.facts()["closed_at"].as_str()), ("STREAM_CLOSED", "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_class_is_refused() {
    let served = Served::fresh().await;
    let mut odd = receipt("incident/1", 0);
    odd.class = Some("short".into());
    let refused = append(&served.client().await, vec![receipt("a", 0), odd]).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!((refused.code(), refused.facts()["at"].as_str()), ("UNKNOWN_CLASS", "1"));
    assert!(!refused.next().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_not_json_is_invalid() {
    let served = Served::fresh().await;
    let mut odd = receipt("incident/1", 0);
    odd.payload = "{".into();
    let invalid = append(&served.client().await, vec![odd]).await.unwrap_err();
    assert!(matches!(invalid, Error::Invalid(_)), "{invalid:?}");
    assert_eq!(invalid.code(), "BAD_PAYLOAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_name_earlier_receipts_and_nothing_else() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let cause = append(&client, batch("a", 1)).await.unwrap().receipts[0];
    let linked = |leaf| {
        let mut receipt = receipt("b", 0);
        receipt.links = vec![Link { index: cause.index, leaf }];
        append(&client, vec![receipt])
    };
    let effect = linked(cause.leaf).await.unwrap().receipts[0];
    assert_eq!(client.get(effect.index).await.unwrap().envelope.links[0].leaf, cause.leaf);
    assert_eq!(linked(effect.leaf).await.unwrap_err().code(), "UNKNOWN_LINK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_twice_is_appended_once() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let options = AppendOptions { request_id: Some(BatchId([7; 16])), ..AppendOptions::default() };
    let first = client.append(batch("a", 2), options).await.unwrap();
    let second = client.append(batch("a", 2), options).await.unwrap();
    assert_eq!(first.receipts, second.receipts);
    assert_eq!(client.checkpoint().await.unwrap().checkpoint().size.0, 3);
    let reused = client.append(batch("b", 2), options).await.unwrap_err();
    assert_eq!(reused.code(), "ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_can_be_resumed_without_appending_twice() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let mut broken = client.append_stream(StreamOptions::default()).await.unwrap();
    broken.send(batch("a", 2)).await.unwrap();
    let first = broken.next_ack().await.unwrap().unwrap();
    let session = Some(broken.session());
    drop(broken);

    let options = StreamOptions { session, first_batch: first.batch, ..StreamOptions::default() };
    let mut resumed = client.append_stream(options).await.unwrap();
    resumed.send(batch("a", 2)).await.unwrap();
    resumed.send(batch("a", 1)).await.unwrap();
    let acks = resumed.finish().await.unwrap();
    assert_eq!(acks[0].appended.receipts, first.appended.receipts);
    assert_eq!(acks[1].appended.receipts[0].index, LeafIndex(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_ends_the_stream_after_the_answers_before_it() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let mut stream = client.append_stream(StreamOptions::default()).await.unwrap();
    stream.send(batch("a", 1)).await.unwrap();
    let mut odd = receipt("a", 1);
    odd.payload = "not json".into();
    let refused = stream.send(vec![odd]).await.unwrap();
    assert_eq!(stream.next_ack().await.unwrap().unwrap().batch, 0);
    assert_eq!(stream.next_ack().await.unwrap_err().code(), "BAD_PAYLOAD");
    assert_eq!(stream.unacknowledged().collect::<Vec<_>>(), [refused]);
    assert_eq!(stream.send(batch("a", 1)).await.unwrap_err().code(), "BAD_PAYLOAD");
    assert_eq!(client.checkpoint().await.unwrap().checkpoint().size.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_served_read_only_reads_and_does_not_append() {
    let directory = new_ledger();
    let ledger = Ledger::open_read_only(Environment::real(directory.path()), Limits::default()).unwrap();
    let served = Served::with(directory, ledger).await;
    let client = served.client().await;
    assert_eq!(client.get(LeafIndex(0)).await.unwrap().leaf, client.identity().ledger_id);
    let failed = append(&client, batch("a", 1)).await.unwrap_err();
    assert!(matches!(failed, Error::Failed(_)), "{failed:?}");
    assert_eq!(failed.code(), "READ_ONLY");
}
