//! `cirro site init`: the site's authority, and what its services prove their roles with.

use crate::bus::EDGE_FILE;
use cirro_client::{
    Credential,
    credential::{CREDENTIAL_FILE, replace},
};
use cirro_identity::{authority::Authority, bootstrap::FirstAdmin};
use cirro_models::{Error, Name, Result, Service, SiteRole, Timestamp};
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder of the authority within the site's.
pub const AUTHORITY: &str = "authority";
/// The file in the site's folder with the first administrator's login.
pub const FIRST_ADMIN: &str = "first-admin.json";

/// The file in the site's folder with the token for metrics.
pub const METRICS_TOKEN: &str = "metrics-token";

/// What [`init()`] has made, and what it found.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// The site's name.
    pub site: Name,
    /// Whether the authority is new, and with it the site.
    pub new: bool,
    /// The folders of credentials that were made, or made anew because the old ones were near their end.
    pub credentials: Vec<PathBuf>,
}

/// Makes the site's authority in `folder`, a credential for each service, the bus and the registry, a certificate for those who call the
/// bus by one of the names in `edge`, the first administrator's login, and a token for whoever scrapes metrics.
/// What is there and good stays, so it can be repeated. Blocks.
///
/// # Errors
/// The folder can't be written, or holds another site.
pub fn init(folder: &Path, site: &Name, edge: &[String]) -> Result<Made> {
    let unusable = |error: std::io::Error| {
        Error::unavailable(format!("the folder {} can't be used ({error}): check rights and room", folder.display()))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let at = folder.join(AUTHORITY);
    let new = !at.exists();
    let authority = if new { begin(folder, &at, site)? } else { Authority::load(&at)? };
    if authority.site() != site {
        return Err(Error::conflict(format!(
            "{} is the folder of the site {}: give that name, or another folder",
            folder.display(),
            authority.site()
        )));
    }
    let roles = Service::ALL.into_iter().map(|service| (service.name(), SiteRole::Service(service)));
    let mut credentials = Vec::new();
    for (name, role) in roles.chain([("bus", SiteRole::Bus), ("registry", SiteRole::Registry)]) {
        let own = folder.join(name);
        if !is_good(&own, &authority)? {
            authority.credential(role)?.save(&own)?;
            credentials.push(own);
        }
    }
    let own = folder.join("bus").join(EDGE_FILE);
    if !edge_is_good(&own, &authority)? {
        write_private(&own, &authority.edge(edge)?)?;
        credentials.push(own);
    }
    let own = folder.join(METRICS_TOKEN);
    if !own.exists() {
        let mut token = [0; 32];
        openssl::rand::rand_bytes(&mut token).map_err(Error::internal)?;
        write_private(&own, token.iter().map(|byte| format!("{byte:02x}")).collect::<String>().as_bytes())?;
        credentials.push(own);
    }
    Ok(Made { site: site.clone(), new, credentials })
}

fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    replace(file, bytes, 0o600).map_err(|error| {
        Error::unavailable(format!("{} can't be written ({error}): check rights and room", file.display()))
    })
}

/// The first administrator's login comes before the authority: a site that has one is complete.
fn begin(folder: &Path, at: &Path, site: &Name) -> Result<Authority> {
    let admin = serde_json::to_string(&FirstAdmin::generate()?).map_err(Error::internal)?;
    write_private(&folder.join(FIRST_ADMIN), admin.as_bytes())?;
    let authority = Authority::generate(site.clone())?;
    // whole or not at all
    let partial = folder.join("authority.new");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::internal)?;
    }
    authority.save(&partial)?;
    fs::rename(&partial, at).map_err(Error::internal)?;
    Ok(authority)
}

/// Whether there is a certificate for callers that need not be renewed yet, or that is not ours to renew.
fn edge_is_good(file: &Path, authority: &Authority) -> Result<bool> {
    if !file.exists() {
        return Ok(false);
    }
    let pem = fs::read(file).map_err(Error::internal)?;
    Ok(!authority.edge_is_due(&pem, Timestamp::now())?)
}

/// Whether a folder holds a credential of this authority that need not be renewed yet.
fn is_good(folder: &Path, authority: &Authority) -> Result<bool> {
    if !folder.join(CREDENTIAL_FILE).exists() {
        return Ok(false);
    }
    let credential = Credential::load(folder)?;
    Ok(credential.ca() == authority.pem()? && credential.renew_at()? > Timestamp::now())
}
