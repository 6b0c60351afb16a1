//! The control plane over HTTP.

use crate::control_plane::ControlPlane;
use async_trait::async_trait;
use cirro_client::{Http, Login, Session};
use cirro_models::{
    Context, Error, Id, Result,
    compute::{
        Node,
        assignment::{ImageSpec, NodeAssignment},
        report::NodeReport,
    },
    identity::Secret,
    storage::assignment::{StorageAssignment, StorageReport},
};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;

/// How long an answer may take beyond what the control plane may hold it.
const ANSWER: Duration = Duration::from_secs(10);

/// A node's session with its control plane.
pub struct HttpControlPlane {
    node: Id<Node>,
    session: Session,
}

impl HttpControlPlane {
    /// A session that logs in when it is first used.
    pub fn new(url: &str, node: Id<Node>, credential: Secret) -> Result<Self> {
        let login = Login { name: format!("node:{node}"), secret: credential, project: None };
        Ok(Self { node, session: Session::new(Arc::new(Http::new(url, None)?), login) })
    }

    async fn context(&self, within: Duration) -> Result<Context> {
        Ok(self.session.context().await?.until(Instant::now() + within))
    }

    /// A token that is not taken any more (another key, a restored site) is thrown away: the next call logs in again.
    async fn checked<T>(&self, answer: Result<T>) -> Result<T> {
        if matches!(answer, Err(Error::Unauthenticated { .. })) {
            self.session.renew().await;
        }
        answer
    }

    async fn ask<T: DeserializeOwned>(&self, service: &str, since: Option<&str>, wait: Duration) -> Result<T> {
        let mut path = format!("/{service}/v1/nodeassignment/{}?wait_ms={}", self.node, wait.as_millis());
        if let Some(since) = since {
            path.push_str("&since=");
            push_encoded(&mut path, since);
        }
        let ctx = self.context(wait + ANSWER).await?;
        let answer = self.session.http().json(&ctx, "GET", &path, None::<&()>).await;
        self.checked(answer).await
    }

    async fn tell(&self, service: &str, report: &(impl Serialize + Sync)) -> Result<()> {
        let path = format!("/{service}/v1/nodereport/{}", self.node);
        let ctx = self.context(ANSWER).await?;
        let body = serde_json::to_vec(report).map_err(Error::internal)?;
        let answer = self.session.http().answer(&ctx, "POST", &path, Some(body.into()), &[]).await;
        let answer = self.checked(answer).await?;
        let taken = if (200..300).contains(&answer.status) { Ok(()) } else { Err(answer.error()) };
        self.checked(taken).await
    }
}

/// A revision is opaque, so every byte of it that is not plain is encoded.
fn push_encoded(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[async_trait]
impl ControlPlane for HttpControlPlane {
    async fn compute_assignment(&self, since: Option<&str>, wait: Duration) -> Result<NodeAssignment> {
        self.ask("compute", since, wait).await
    }

    async fn storage_assignment(&self, since: Option<&str>, wait: Duration) -> Result<StorageAssignment> {
        self.ask("storage", since, wait).await
    }

    async fn report(&self, report: &NodeReport) -> Result<()> {
        self.tell("compute", report).await
    }

    async fn storage_report(&self, report: &StorageReport) -> Result<()> {
        self.tell("storage", report).await
    }

    async fn fetch_image(&self, image: &ImageSpec, into: &mut tokio::fs::File) -> Result<()> {
        let ctx = self.context(ANSWER).await?;
        let path = format!("/images/v1/machineimage/{}/bytes", image.id);
        let streamed = self.session.http().download(&ctx, &path).await;
        let mut bytes = self.checked(streamed).await?.bytes;
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| Error::unavailable(format!("the image's bytes broke off: {error}")))?;
            into.write_all(&chunk).await.map_err(Error::internal)?;
        }
        into.flush().await.map_err(Error::internal)
    }
}
