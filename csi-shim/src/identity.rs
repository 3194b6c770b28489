//! Who this is, and whether it works.

use tonic::{Request, Response};

use crate::daemon::Daemon;
use crate::failure::Answer;
use crate::wire::csi::identity_server::Identity;
use crate::wire::csi::plugin_capability::{self, Service, VolumeExpansion, service, volume_expansion};
use crate::wire::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};

/// The driver's name: what a `StorageClass` calls its provisioner.
pub const DRIVER: &str = "csi.mdfabric.io";

#[tonic::async_trait]
impl Identity for Daemon {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Answer<GetPluginInfoResponse> {
        let vendor_version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = [].into();
        Ok(Response::new(GetPluginInfoResponse { name: DRIVER.to_owned(), vendor_version, manifest }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Answer<GetPluginCapabilitiesResponse> {
        let service = |kind: service::Type| plugin_capability::Type::Service(Service { r#type: kind.into() });
        let online = VolumeExpansion { r#type: volume_expansion::Type::Online.into() };
        let all = [
            service(service::Type::ControllerService),
            service(service::Type::VolumeAccessibilityConstraints),
            plugin_capability::Type::VolumeExpansion(online),
        ];
        let capabilities = all.map(|kind| PluginCapability { r#type: Some(kind) }).into();
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    /// Ready once the daemon answers and knows the records.
    async fn probe(&self, _: Request<ProbeRequest>) -> Answer<ProbeResponse> {
        let known = self.cluster().await;
        if let Err(status) = &known {
            tracing::warn!(code = ?status.code(), "not ready: {}", status.message());
        }
        Ok(Response::new(ProbeResponse { ready: Some(known.is_ok()) }))
    }
}
