//! Renewal: the next certificate of a credential comes in time, and nothing is started again for it.

use crate::{credential::Credential, http::Http};
use cirro_models::{
    Context, Error, Result, Stores, Timestamp,
    alert::{Alert, Bell},
    identity::{Certificate, CertificateRequest},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(60);

static BELL: Bell = Bell::new(Alert::CertificateExpires);

/// What is told of each newer credential: it is to be shown and trusted from now on.
pub type Swap = Box<dyn Fn(&Credential) -> Result<()> + Send + Sync>;

/// Keeps the credential in a folder fresh.
pub struct Renewal {
    held: Credential,
    folder: PathBuf,
    http: Arc<Http>,
    swap: Swap,
}

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// It is good for a while yet.
    Good,
    /// Another process of this folder had renewed it.
    Found,
    /// It was renewed.
    Renewed,
}

impl Renewal {
    /// Of this credential in this folder. `http` reaches identity and shows the credential; `swap` is told of each newer one.
    pub fn new(held: Credential, folder: PathBuf, http: Arc<Http>, swap: Swap) -> Self {
        Self { held, folder, http, swap }
    }
    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.look(Timestamp::now()).await {
                Ok(Looked::Good) => {}
                Ok(_) => tracing::info!(role = %self.held.role(), "there is a newer certificate, and it is in use"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(error, "the certificate can't be renewed yet; it is tried again in a minute");
                }
            }
        }
    }
    /// From when on a look renews it.
    pub fn due(&self) -> Result<Timestamp> {
        self.held.renew_at()
    }
    /// One look, at this moment.
    pub async fn look(&mut self, now: Timestamp) -> Result<Looked> {
        let found = self.take_over().await?;
        if now < self.held.renew_at()? {
            return Ok(found);
        }
        match self.renew().await {
            Ok(()) => Ok(Looked::Renewed),
            Err(error) => {
                let ends = self.held.ends_at()?;
                if ends.micros() - now.micros() < self.held.life_us()? / 4 {
                    BELL.ring(|| {
                        let role = self.held.role();
                        format!("the certificate of {role} ends at {ends} and can't be renewed: have identity looked at, and the way to it")
                    });
                }
                Err(error)
            }
        }
    }
    /// Takes what another process of the same folder has renewed.
    async fn take_over(&mut self) -> Result<Looked> {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || Credential::load(&folder)).await.map_err(Error::internal)?;
        match read {
            Ok(found) if self.is_successor(&found)? => {
                (self.swap)(&found)?;
                self.held = found;
                Ok(Looked::Found)
            }
            Ok(_) => Ok(Looked::Good),
            Err(error) => {
                // what is held is as good as before; the next certificate is written there again
                tracing::warn!(error = &error as &dyn std::error::Error, "the folder of the credential can't be read");
                Ok(Looked::Good)
            }
        }
    }
    /// Whether this is the same role's, and good for longer.
    fn is_successor(&self, other: &Credential) -> Result<bool> {
        let same = other.role() == self.held.role() && other.site() == self.held.site();
        Ok(same && other.ends_at()? > self.held.ends_at()?)
    }
    async fn renew(&mut self) -> Result<()> {
        let ctx = Context::client(Arc::new(Stores::default()), None);
        let request = CertificateRequest { request: self.held.request()? };
        let path = "/identity/v1/certificate";
        let answer: Certificate = self.http.json(&ctx, "POST", path, Some(&request)).await?;
        let fresh = self.held.renewed(answer.certificate.as_bytes())?;
        if !self.is_successor(&fresh)? {
            return Err(Error::unavailable(format!(
                "identity answered a certificate that is not the next one of {}: have its authority and its clock looked at",
                self.held.role()
            )));
        }
        // first to the disk: what is only in memory is lost with the process, and the old one may have ended then
        let (folder, kept) = (self.folder.clone(), fresh.clone());
        tokio::task::spawn_blocking(move || kept.save(&folder)).await.map_err(Error::internal)??;
        (self.swap)(&fresh)?;
        self.held = fresh;
        Ok(())
    }
}
