use crate::support::{Served, append, batch, receipt};
use counterfoil_client::{ConnectOptions, Error, Health, Page, Selection};
use counterfoil_proof::{
    CheckpointSigner, Hash, LeafIndex, Origin, StreamName, StreamSeq, TreeSize, TrustPolicy, VerifierKey,
};

fn stream(name: &str, from: u64) -> Selection {
    Selection::Stream { stream: StreamName::new(name).unwrap(), from: StreamSeq(from) }
}

async fn read_all(client: &counterfoil_client::Client, selection: Selection, page_size: u32) -> Vec<u64> {
    let mut indices = Vec::new();
    let mut next = None;
    loop {
        let page: Page = client.read(&selection, page_size, next.as_ref()).await.unwrap();
        indices.extend(page.receipts.iter().map(|receipt| receipt.envelope.index.0));
        next = page.next;
        if next.is_none() {
            return indices;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_comes_back_as_it_was_sent() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let sent = receipt("incident/1", 7);
    let place = append(&client, vec![sent.clone()]).await.unwrap().receipts[0];
    let read = client.get(place.index).await.unwrap();
    assert_eq!(read.leaf, place.leaf);
    assert_eq!(read.content.unwrap().payload, sent.payload);
    assert_eq!((read.envelope.stream, read.envelope.kind), (sent.stream, sent.kind));
    assert_eq!((read.envelope.writer.as_str(), read.class.as_str()), ("local", "forever"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_give_every_receipt_once_and_in_order() {
    let served = Served::fresh().await;
    let client = served.client().await;
    for _ in 0..3 {
        append(&client, [batch("a", 4), batch("b", 3)].concat()).await.unwrap();
    }
    let whole = Selection::Ledger { from: LeafIndex(0) };
    assert_eq!(read_all(&client, whole, 4).await, (0..22).collect::<Vec<_>>());
    assert_eq!(read_all(&client, Selection::Ledger { from: LeafIndex(20) }, 4).await, [20, 21]);
    assert_eq!(read_all(&client, stream("b", 0), 2).await, [5, 6, 7, 12, 13, 14, 19, 20, 21]);
    assert_eq!(read_all(&client, stream("b", 4), 2).await, [13, 14, 19, 20, 21]);
    assert!(read_all(&client, Selection::Ledger { from: LeafIndex(99) }, 4).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let code = |error: Error| {
        assert!(matches!(error, Error::NotFound(_)), "{error:?}");
        error.code().to_owned()
    };
    assert_eq!(code(client.get(LeafIndex(9)).await.unwrap_err()), "UNKNOWN_INDEX");
    assert_eq!(code(client.read(&stream("none", 0), 10, None).await.unwrap_err()), "UNKNOWN_STREAM");
    assert_eq!(code(client.prove_inclusion(LeafIndex(9), &Hash::ZERO).await.unwrap_err()), "UNKNOWN_INDEX");
    assert_eq!(code(client.prove_consistency(TreeSize(9)).await.unwrap_err()), "UNKNOWN_SIZE");
    let elsewhere = ConnectOptions { ledger: "other".into(), ..served.options() };
    assert_eq!(code(counterfoil_client::Client::connect(elsewhere).await.unwrap_err()), "UNKNOWN_LEDGER");
}

#[tokio::test(flavor = "multi_thread")]
async fn inclusion_and_consistency_are_proved() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let first = append(&client, batch("a", 5)).await.unwrap();
    append(&client, batch("a", 6)).await.unwrap();
    let place = first.receipts[3];
    let proof = client.prove_inclusion(place.index, &place.leaf).await.unwrap();
    assert_eq!(proof.checkpoint.unverified().size, TreeSize(12));
    assert_eq!(client.prove_inclusion(place.index, &Hash::ZERO).await.unwrap_err().code(), "BAD_PROOF");
    let consistency = client.prove_consistency(TreeSize(6)).await.unwrap();
    assert_eq!(consistency.old_root, first.checkpoint.checkpoint().root);
    let latest = client.check_extends(first.checkpoint.signed()).await.unwrap();
    assert_eq!(latest.checkpoint().size, TreeSize(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_forked_or_shrank_since_a_checkpoint_is_noticed() {
    let served = Served::fresh().await;
    let client = served.client().await;
    append(&client, batch("a", 5)).await.unwrap();
    let signer = CheckpointSigner::new(
        Origin::new("example.com/test").unwrap(),
        ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
    );
    let other = signer.sign(TreeSize(4), Hash([1; 32]));
    assert_eq!(client.check_extends(&other).await.unwrap_err().code(), "LEDGER_FORKED");
    let later = signer.sign(TreeSize(40), Hash([1; 32]));
    assert_eq!(client.check_extends(&later).await.unwrap_err().code(), "LEDGER_SHRANK");
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_comes_from_outside_or_says_that_it_does_not() {
    let served = Served::fresh().await;
    let client = served.client().await;
    assert!(client.trust_is_self_asserted());
    let vkey = std::fs::read_to_string(served.directory.path().join("ledger.vkey")).unwrap();
    let key = VerifierKey::parse(vkey.trim()).unwrap();
    assert_eq!(client.identity().key, key);

    let trust = Some(TrustPolicy::single(key).unwrap());
    let trusting = counterfoil_client::Client::connect(ConnectOptions { trust, ..served.options() }).await.unwrap();
    assert!(!trusting.trust_is_self_asserted());
    trusting.checkpoint().await.unwrap();

    let stranger = CheckpointSigner::new(
        Origin::new("example.com/test").unwrap(),
        ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
    );
    let trust = Some(TrustPolicy::single(stranger.verifier().clone()).unwrap());
    let refused = counterfoil_client::Client::connect(ConnectOptions { trust, ..served.options() }).await.unwrap_err();
    assert_eq!(refused.code(), "UNTRUSTED_CHECKPOINT");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_seal_tell_about_segments() {
    let served = Served::fresh().await;
    let client = served.client().await;
    append(&client, batch("a", 5)).await.unwrap();
    let before = client.status().await.unwrap();
    assert_eq!((before.health, before.control_receipts, before.streams), (Health::Writable, 1, 2));
    assert_eq!(before.checkpoint.checkpoint().size, TreeSize(6));
    let sealed = client.seal().await.unwrap().unwrap();
    assert_eq!((sealed.first, sealed.receipts, sealed.sealed), (LeafIndex(0), 6, true));
    assert!(client.seal().await.unwrap().is_none());
    assert!(client.status().await.unwrap().segments[0].sealed);
    let place = append(&client, batch("a", 1)).await.unwrap().receipts[0];
    assert_eq!((place.index, place.stream_seq), (LeafIndex(6), StreamSeq(5)));
}
