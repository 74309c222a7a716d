use crate::support::Served;
use counterfoil_api::{FILE_DESCRIPTOR_SET, v1};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

fn receipt(payload: Vec<u8>) -> v1::NewReceipt {
    v1::NewReceipt {
        stream: "a".into(),
        kind: "test.event/1".into(),
        media: v1::Media::Bytes.into(),
        payload: payload.into(),
        ..Default::default()
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn field(status: &Status) -> String {
    status.get_details_bad_request().expect("a field is named").field_violations[0].field.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_receipt_is_refused_with_its_field() {
    let served = Served::fresh().await;
    let mut raw = served.raw().await;
    let mut refused = async |change: fn(&mut v1::NewReceipt)| {
        let mut odd = receipt(Vec::new());
        change(&mut odd);
        let request = v1::AppendRequest { receipts: vec![receipt(Vec::new()), odd], ..Default::default() };
        let status = raw.append(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_REQUEST"));
        field(&status)
    };
    assert_eq!(refused(|odd| odd.stream.clear()).await, "receipts[1].stream");
    assert_eq!(refused(|odd| odd.kind = "no version".into()).await, "receipts[1].kind");
    assert_eq!(refused(|odd| odd.media = 99).await, "receipts[1].media");
    assert_eq!(refused(|odd| odd.subject = vec![1; 15].into()).await, "receipts[1].subject");
    let short = |odd: &mut v1::NewReceipt| odd.links = vec![v1::Link { index: 0, leaf_hash: vec![1; 31].into() }];
    assert_eq!(refused(short).await, "receipts[1].links[0].leaf_hash");
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_names_are_refused() {
    let served = Served::fresh().await;
    let control = v1::NewReceipt { stream: "ledger".into(), ..receipt(Vec::new()) };
    let request = v1::AppendRequest { receipts: vec![control], ..Default::default() };
    assert_eq!(reason(&served.raw().await.append(request).await.unwrap_err()), "RESERVED_NAME");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_oversized_batch_is_refused_and_the_server_goes_on() {
    const MIB: usize = 1024 * 1024;
    let served = Served::fresh().await;
    let mut raw = served.raw().await;
    let mut append = async |receipts: Vec<v1::NewReceipt>| {
        raw.append(v1::AppendRequest { receipts, ..Default::default() }).await.map(drop)
    };
    assert_eq!(reason(&append(Vec::new()).await.unwrap_err()), "EMPTY_BATCH");
    let beyond_the_batch = append(vec![receipt(vec![0; MIB]); 17]).await.unwrap_err();
    assert_eq!(reason(&beyond_the_batch), "BATCH_TOO_LARGE");
    let beyond_the_payload = append(vec![receipt(vec![0; MIB + 1])]).await.unwrap_err();
    assert_eq!(
        (reason(&beyond_the_payload), field(&beyond_the_payload)),
        ("PAYLOAD_TOO_LARGE".into(), "receipts[0].payload".into())
    );
    assert_eq!(reason(&append(vec![receipt(Vec::new()); 10_001]).await.unwrap_err()), "TOO_MANY_RECEIPTS");
    let beyond_the_message = append(vec![receipt(vec![0; MIB]); 21]).await.unwrap_err();
    assert_eq!(beyond_the_message.code(), Code::OutOfRange);
    append(vec![receipt(vec![0; MIB]); 15]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_for_more_receipts_than_an_answer_carries_are_refused() {
    let served = Served::fresh().await;
    let receipts = vec![receipt(Vec::new()); 1_001];
    let request = v1::AppendRequest { receipts, with_proofs: true, ..Default::default() };
    assert_eq!(reason(&served.raw().await.append(request).await.unwrap_err()), "TOO_MANY_RECEIPTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_session_is_refused() {
    let served = Served::fresh().await;
    let batch = v1::AppendStreamRequest { receipts: vec![receipt(Vec::new())], ..Default::default() };
    let mut answers = served.raw().await.append_stream(tokio_stream::once(batch)).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!((status.code(), field(&status)), (Code::InvalidArgument, "session".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_of_another_selection_is_refused() {
    let served = Served::fresh().await;
    let mut raw = served.raw().await;
    let receipts = vec![receipt(Vec::new()); 3];
    raw.append(v1::AppendRequest { receipts, ..Default::default() }).await.unwrap();
    let request = v1::ReadRequest { page_size: 2, ..Default::default() };
    let page_token = raw.read(request).await.unwrap().into_inner().next_page_token;
    let selection = Some(v1::read_request::Selection::FromIndex(1));
    let status = raw.read(v1::ReadRequest { selection, page_token, ..Default::default() }).await.unwrap_err();
    assert_eq!(reason(&status), "BAD_PAGE_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_for_the_server_and_for_the_ledger_service() {
    let served = Served::fresh().await;
    let mut health = HealthClient::new(served.channel().await);
    for service in ["", "counterfoil.v1.Ledger"] {
        let request = HealthCheckRequest { service: service.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "none".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_and_their_descriptions() {
    let served = Served::fresh().await;
    let reflection = ServerReflectionClient::new(served.channel().await);
    let ask = |message_request| {
        let mut reflection = reflection.clone();
        async move {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
            let answers = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap();
            answers.into_inner().next().await.unwrap().unwrap().message_response.unwrap()
        }
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("a list of services was asked for")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "counterfoil.v1.Admin",
            "counterfoil.v1.Ledger",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection"
        ]
    );
    let symbol = MessageRequest::FileContainingSymbol("counterfoil.v1.Ledger".into());
    let MessageResponse::FileDescriptorResponse(file) = ask(symbol).await else { panic!("a file was asked for") };
    let comment = b"Appends, reads and proves the receipts of a ledger.";
    assert!(file.file_descriptor_proto[0].windows(comment.len()).any(|window| window == comment));
    assert!(!FILE_DESCRIPTOR_SET.is_empty());
}
