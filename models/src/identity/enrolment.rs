//! What `POST /identity/v1/enrolment` and `POST /identity/v1/certificate` take and answer.

use crate::{GiB, Id, MiB, Name, Vcpus, compute::Node, identity::secret::Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A machine asks to become a node. What it says of its capacity counts up to what its join token approves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The secret of a join token.
    pub secret: Secret,
    /// A PKCS #10 request as PEM. Its public key counts, and nothing else that it asks for.
    #[schema(max_length = 8192)]
    pub request: String,
    /// What the machine calls itself.
    pub name: Name,
    /// Virtual processors for guests.
    pub vcpus: Vcpus,
    /// Memory for guests.
    pub memory_mib: MiB,
    /// Disk for guests, and for volumes in its pool.
    pub disk_gib: GiB,
}

/// What a new node is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolment {
    /// The node that the machine is from now on.
    pub node_id: Id<Node>,
    /// The site.
    pub site: Name,
    /// The node's certificate, as PEM.
    pub certificate: String,
    /// The site's authority, as PEM.
    pub authority: String,
}

/// Whoever has a certificate of the site asks for its next one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// A PKCS #10 request as PEM. Its public key counts, and nothing else that it asks for.
    #[schema(max_length = 8192)]
    pub request: String,
}

/// A new certificate.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// As PEM.
    pub certificate: String,
}

/// The site's authority: what a new node checks against the fingerprint that it was told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SiteAuthority {
    /// Its certificate, as PEM.
    pub authority: String,
}
