//! The service `Ledger`.

use crate::limits::PAGE_BYTES_MAX;
use crate::node::Node;
use crate::rpc::observe::observed;
use crate::rpc::{append, export, page, wire};
use crate::status::Failure;
use counterfoil_api::v1::ledger_server::Ledger;
use counterfoil_api::{PAGE_RECEIPTS_DEFAULT, PAGE_RECEIPTS_MAX, v1};
use counterfoil_engine::{ReadError, StreamsError};
use counterfoil_proof::{LeafIndex, TreeSize};
use std::sync::Arc;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

/// Appends, reads and proves.
pub(crate) struct LedgerService(Arc<Node>);

impl LedgerService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self(node)
    }

    async fn page(&self, request: v1::ReadRequest) -> Result<v1::ReadResponse, Failure> {
        let name = self.0.ledger(&request.ledger)?.0.to_owned();
        let selection = wire::selection(request.selection)?;
        let after = page::cursor(&name, &selection, &request.page_token)?;
        let receipts_max = page_size(request.page_size);
        let read = move |ledger: &counterfoil_engine::Ledger| {
            let found = ledger.read(&selection, after, receipts_max, PAGE_BYTES_MAX)?;
            let next = found.next.map(|cursor| page::token(&name, &selection, cursor));
            Ok::<_, ReadError>(v1::ReadResponse {
                receipts: found.receipts.into_iter().map(|receipt| wire::read(ledger, receipt)).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        self.0.blocking(&request.ledger, read).await
    }

    async fn streams(&self, request: v1::ListStreamsRequest) -> Result<v1::ListStreamsResponse, Failure> {
        let name = self.0.ledger(&request.ledger)?.0.to_owned();
        let v1::ListStreamsRequest { ledger, prefix, page_size: asked, page_token } = request;
        let after = page::after_stream(&name, &prefix, &page_token)?;
        let list = move |ledger: &counterfoil_engine::Ledger| {
            let found = ledger.streams(&prefix, after.as_ref(), page_size(asked))?;
            let next = found.next.map(|last| page::stream_token(&name, &prefix, &last));
            Ok::<_, StreamsError>(v1::ListStreamsResponse {
                streams: found.streams.iter().map(wire::stream).collect(),
                next_page_token: next.unwrap_or_default(),
                taken_in: found.taken_in.0,
                size: found.size.0,
                left_out: found.left_out,
            })
        };
        self.0.blocking(&ledger, list).await
    }
}

/// Entries of a page, from what a request asks for.
fn page_size(asked: u32) -> usize {
    match asked {
        0 => PAGE_RECEIPTS_DEFAULT as usize,
        asked => asked.min(PAGE_RECEIPTS_MAX) as usize,
    }
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    type AppendStreamStream = BoxStream<v1::AppendStreamResponse>;
    type ExportStream = BoxStream<v1::ExportResponse>;

    async fn get_ledger(
        &self,
        request: Request<v1::GetLedgerRequest>,
    ) -> Result<Response<v1::GetLedgerResponse>, Status> {
        let request = request.into_inner();
        observed("GetLedger", async {
            let (name, hosted) = self.0.ledger(&request.ledger)?;
            Ok(wire::identity(name, hosted.ledger.identity(), hosted.ledger.limits()))
        })
        .await
    }

    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendResponse>, Status> {
        observed("Append", append::unary(&self.0, request.into_inner())).await
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<v1::AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Ok(Response::new(append::stream(self.0.clone(), request.into_inner())))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let request = request.into_inner();
        observed("Get", async {
            let index = LeafIndex(request.index);
            let read =
                move |ledger: &counterfoil_engine::Ledger| ledger.get(index).map(|receipt| wire::read(ledger, receipt));
            Ok(v1::GetResponse { receipt: Some(self.0.blocking(&request.ledger, read).await?) })
        })
        .await
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        observed("Read", self.page(request.into_inner())).await
    }

    async fn list_streams(
        &self,
        request: Request<v1::ListStreamsRequest>,
    ) -> Result<Response<v1::ListStreamsResponse>, Status> {
        observed("ListStreams", self.streams(request.into_inner())).await
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let request = request.into_inner();
        observed("GetCheckpoint", async {
            let (_, hosted) = self.0.ledger(&request.ledger)?;
            Ok(v1::GetCheckpointResponse { checkpoint: hosted.ledger.checkpoint().to_string() })
        })
        .await
    }

    async fn prove_inclusion(
        &self,
        request: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::ProveInclusionResponse>, Status> {
        let request = request.into_inner();
        observed("ProveInclusion", async {
            let index = LeafIndex(request.index);
            let proof = self.0.blocking(&request.ledger, move |ledger| ledger.prove_inclusion(index)).await?;
            Ok(v1::ProveInclusionResponse { proof: proof.to_string() })
        })
        .await
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        let request = request.into_inner();
        observed("ProveConsistency", async {
            let old = TreeSize(request.old_size);
            let proof = self.0.blocking(&request.ledger, move |ledger| ledger.prove_consistency(old)).await?;
            Ok(v1::ProveConsistencyResponse { proof: proof.to_string() })
        })
        .await
    }

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        observed("Export", export::stream(self.0.clone(), request.into_inner())).await
    }
}
