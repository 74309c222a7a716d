use crate::support::{Served, append, new_ledger, receipt};
use counterfoil_api::v1;
use counterfoil_client::{CatalogStatus, Error};
use counterfoil_engine::{Environment, Ledger, Limits};
use counterfoil_proof::TreeSize;
use tonic_types::StatusExt as _;

async fn served_with_catalog() -> Served {
    let directory = new_ledger();
    let ledger = Ledger::open(Environment::with_catalog(directory.path()), Limits::default()).unwrap();
    Served::with(directory, ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_give_every_stream_once_and_in_order() {
    let served = served_with_catalog().await;
    let client = served.client().await;
    let streams = ["b", "in/2", "in/1", "in/3", "z"];
    append(&client, streams.iter().map(|stream| receipt(stream, 1)).collect()).await.unwrap();
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = client.streams("in/", 2, next.as_ref()).await.unwrap();
        assert_eq!((page.taken_in, page.size, page.left_out), (TreeSize(6), TreeSize(6), 0));
        found.extend(page.streams.into_iter().map(|listed| (listed.stream.to_string(), listed.first.0)));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, [("in/1".into(), 3), ("in/2".into(), 2), ("in/3".into(), 4)]);
    assert_eq!(client.status().await.unwrap().catalog, CatalogStatus::Kept { taken_in: TreeSize(6) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_of_another_prefix_is_refused() {
    let served = served_with_catalog().await;
    append(&served.client().await, vec![receipt("a/1", 1), receipt("a/2", 2)]).await.unwrap();
    let request = |prefix: &str, page_token| v1::ListStreamsRequest {
        prefix: prefix.into(),
        page_size: 1,
        page_token,
        ..Default::default()
    };
    let mut raw = served.raw().await;
    let page_token = raw.list_streams(request("a/", String::new())).await.unwrap().into_inner().next_page_token;
    let status = raw.list_streams(request("a", page_token)).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "BAD_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_catalog_says_so() {
    let served = Served::fresh().await;
    let client = served.client().await;
    let error = client.streams("", 10, None).await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    assert_eq!(error.code(), "NO_CATALOG");
    assert_eq!(client.status().await.unwrap().catalog, CatalogStatus::Off);
}
