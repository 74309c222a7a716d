use crate::support::{Served, append, batch};
use core::time::Duration;
use counterfoil_api::v1;
use counterfoil_api::v1::export_response::Part;
use counterfoil_client::{Client, Error, ExportScope, NewReceipt};
use counterfoil_proof::{LeafIndex, StreamName, TreeSize};
use tonic::Code;

fn stream(name: &str) -> ExportScope {
    ExportScope::Stream(StreamName::new(name).unwrap())
}

async fn export(client: &Client, scope: &ExportScope) -> Vec<u8> {
    let mut export = client.export(scope, &[]).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        bytes.extend(piece);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_comes_in_pieces_behind_its_summary() {
    let served = Served::fresh().await;
    let client = served.client().await;
    append(&client, [batch("a", 3), batch("b", 2)].concat()).await.unwrap();
    let export = client.export(&stream("a"), &[TreeSize(1)]).await.unwrap();
    let summary = export.summary();
    assert_eq!((summary.receipts, summary.size, summary.statement), (3, TreeSize(6), Some(LeafIndex(6))));
    assert_eq!(summary.checkpoint.checkpoint().size, TreeSize(7));
    let bytes = self::export(&client, &stream("a")).await;
    assert!(bytes.starts_with(b"format.md\0"));
    assert!(bytes.ends_with(&[0; 1024]) && bytes.len().is_multiple_of(512));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_are_exported_whole() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let payload = format!("\"{}\"", "p".repeat(900_000));
    for _ in 0..10 {
        append(&client, vec![NewReceipt::json("a", "test.event/1", payload.clone()).unwrap()]).await.unwrap();
    }
    let range = ExportScope::Range { from: LeafIndex(1), to: TreeSize(11) };
    let bytes = export(&client, &range).await;
    let found = bytes.windows(payload.len()).filter(|window| *window == payload.as_bytes()).count();
    assert_eq!(found, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_refused_at_once() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let code = async |scope: ExportScope| client.export(&scope, &[]).await.unwrap_err();
    assert_eq!(code(stream("none")).await.code(), "UNKNOWN_STREAM");
    assert_eq!(code(ExportScope::Range { from: LeafIndex(0), to: TreeSize(9) }).await.code(), "UNKNOWN_INDEX");
    let empty = code(ExportScope::Range { from: LeafIndex(1), to: TreeSize(1) }).await;
    assert!(matches!(empty, Error::Invalid(_)), "{empty:?}");
    let unsaid = served.raw().await.export(v1::ExportRequest::default()).await.unwrap_err();
    assert_eq!(unsaid.code(), Code::InvalidArgument);
    assert_eq!(client.checkpoint().await.unwrap().checkpoint().size, TreeSize(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_an_export_with_a_status() {
    let mut served = Served::fresh().await;
    let client = served.client().await;
    let payload = format!("\"{}\"", "p".repeat(1_000_000));
    for _ in 0..40 {
        append(&client, vec![NewReceipt::json("a", "test.event/1", payload.clone()).unwrap()]).await.unwrap();
    }
    let scope = Some(v1::export_request::Scope::Stream("a".into()));
    let request = v1::ExportRequest { scope, ..Default::default() };
    let mut parts = served.raw().await.export(request).await.unwrap().into_inner();
    assert!(matches!(parts.message().await.unwrap().unwrap().part, Some(Part::Summary(_))));
    // More than the windows of the connection hold is still to come when the server is asked to stop.
    served.begin_to_stop();
    let end = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match parts.message().await {
                Ok(Some(_)) => {}
                other => return other.map(|_| ()),
            }
        }
    });
    let status = end.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    served.stopped().await;
}
