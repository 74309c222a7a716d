//! A server that follows a script, to see when a batch is sent again and under which id.

#![expect(clippy::unwrap_used, reason = "a test fails where its preparation fails")]

use core::time::Duration;
use counterfoil_api::v1::ledger_server::{Ledger, LedgerServer};
use counterfoil_api::{reason, v1};
use counterfoil_client::{AppendOptions, BatchId, Client, ConnectOptions, Error, NewReceipt};
use counterfoil_proof::{CheckpointSigner, Frontier, Hash, Origin};
use ed25519_dalek::SigningKey;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Answers to `Append`, first to last; after the last it accepts. Keeps the ids it saw.
#[derive(Clone, Default)]
struct Script {
    refusals: Arc<Mutex<VecDeque<Status>>>,
    ids: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(Origin::new("example.com/script").unwrap(), SigningKey::from_bytes(&[1; 32]))
}

fn accepted() -> v1::Appended {
    let leaf = Hash::of_envelope(b"x");
    let mut tree = Frontier::empty();
    tree.push(leaf, |_, _| ());
    let checkpoint = signer().sign(tree.size(), tree.root()).to_string();
    let receipt = v1::AppendedReceipt { leaf_hash: leaf.0.to_vec().into(), ..Default::default() };
    v1::Appended { receipts: vec![receipt], time: 1, checkpoint }
}

fn refusal(code: Code, reason: &str, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, HashMap::new());
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, "not now", details)
}

#[tonic::async_trait]
impl Ledger for Script {
    type AppendStreamStream = BoxStream<v1::AppendStreamResponse>;
    type ExportStream = BoxStream<v1::ExportResponse>;

    async fn get_ledger(&self, _: Request<v1::GetLedgerRequest>) -> Result<Response<v1::GetLedgerResponse>, Status> {
        let limits =
            v1::Limits { payload_bytes_max: 1024, batch_receipts_max: 10, batch_bytes_max: 4096, proofs_max: 10 };
        Ok(Response::new(v1::GetLedgerResponse {
            ledger: "main".into(),
            ledger_id: vec![1; 32].into(),
            origin: "example.com/script".into(),
            vkey: signer().verifier().to_string(),
            commitment: "blake3".into(),
            limits: Some(limits),
        }))
    }

    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendResponse>, Status> {
        self.ids.lock().unwrap().push(request.into_inner().request_id.to_vec());
        match self.refusals.lock().unwrap().pop_front() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(v1::AppendResponse { appended: Some(accepted()) })),
        }
    }

    async fn append_stream(
        &self,
        _: Request<Streaming<v1::AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn read(&self, _: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn list_streams(
        &self,
        _: Request<v1::ListStreamsRequest>,
    ) -> Result<Response<v1::ListStreamsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_checkpoint(
        &self,
        _: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn prove_inclusion(
        &self,
        _: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::ProveInclusionResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn prove_consistency(
        &self,
        _: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn export(&self, _: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

async fn scripted(timeout: Duration, refusals: Vec<Status>) -> (Client, Script) {
    let script = Script { refusals: Arc::new(Mutex::new(refusals.into())), ..Script::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let service = tonic::transport::Server::builder().add_service(LedgerServer::new(script.clone()));
    tokio::spawn(service.serve_with_incoming(TcpIncoming::from(listener)));
    let options = ConnectOptions { server, timeout, ..ConnectOptions::default() };
    (Client::connect(options).await.unwrap(), script)
}

fn batch() -> Vec<NewReceipt> {
    vec![NewReceipt::json("a", "test.event/1", "{}").unwrap()]
}

const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_overloaded_or_closing_server_is_asked_again_under_the_same_id() {
    let delay = Some(Duration::from_millis(1));
    let refusals = vec![
        refusal(Code::ResourceExhausted, reason::OVERLOADED, delay),
        refusal(Code::Unavailable, reason::CLOSING, None),
        refusal(Code::ResourceExhausted, reason::DISK_FULL, delay),
    ];
    let (client, script) = scripted(PATIENT, refusals).await;
    client.append(batch(), AppendOptions::default()).await.unwrap();
    let ids = script.ids.lock().unwrap().clone();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[0].len(), 16);
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own_unless_stated() {
    let (client, script) = scripted(PATIENT, Vec::new()).await;
    client.append(batch(), AppendOptions::default()).await.unwrap();
    client.append(batch(), AppendOptions::default()).await.unwrap();
    let stated = AppendOptions { request_id: Some(BatchId([5; 16])), ..AppendOptions::default() };
    client.append(batch(), stated).await.unwrap();
    let ids = script.ids.lock().unwrap().clone();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[2], [5; 16]);
}

#[tokio::test]
async fn a_refusal_is_not_argued_with() {
    let refusals = vec![refusal(Code::Aborted, reason::LOST_RACE, None)];
    let (client, script) = scripted(PATIENT, refusals).await;
    let refused = client.append(batch(), AppendOptions::default()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!(script.ids.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_delay_beyond_the_timeout_is_not_waited_for() {
    let refusals = vec![refusal(Code::ResourceExhausted, reason::OVERLOADED, Some(Duration::from_secs(3600)))];
    let (client, script) = scripted(PATIENT, refusals).await;
    let busy = client.append(batch(), AppendOptions::default()).await.unwrap_err();
    assert!(matches!(busy, Error::Busy(_)), "{busy:?}");
    assert_eq!(busy.report().unwrap().retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(script.ids.lock().unwrap().len(), 1);
}
