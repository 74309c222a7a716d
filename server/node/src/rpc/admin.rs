//! The service `Admin`.

use crate::node::Node;
use crate::rpc::observe::observed;
use crate::rpc::wire;
use crate::status::Failure;
use counterfoil_api::v1;
use counterfoil_api::v1::admin_server::Admin;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Looks after the ledgers.
pub(crate) struct AdminService(Arc<Node>);

impl AdminService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self(node)
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn seal(&self, request: Request<v1::SealRequest>) -> Result<Response<v1::SealResponse>, Status> {
        let request = request.into_inner();
        observed("Seal", async {
            let sealed = self.0.blocking(&request.ledger, |ledger| ledger.seal()).await?;
            Ok(v1::SealResponse { segment: sealed.as_ref().map(wire::segment) })
        })
        .await
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let request = request.into_inner();
        observed("GetStatus", async {
            let status = self.0.blocking(&request.ledger, |ledger| Ok::<_, Failure>(ledger.status())).await?;
            Ok(wire::status(status))
        })
        .await
    }
}
