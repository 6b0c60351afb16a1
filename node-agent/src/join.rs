//! A machine becomes a node: it makes its key, shows the secret of a join token to the site's identity service, and keeps
//! the certificate that it gets.

use crate::{http::place, machine::Capacity};
use cirro_client::{
    Credential, Http, Reach, Tls,
    credential::{new_key, replace, request},
    pinned_authority,
};
use cirro_models::{
    Context, Error, Id, Name, Result, Service, SiteRole, Stores,
    compute::Node,
    identity::{Enrolment, EnrolmentRequest, JoinSecret, Secret},
};
use openssl::pkey::{PKey, Private};
use std::{fs, io::ErrorKind, path::Path, sync::Arc};

/// The key of a machine that has not joined yet, in the folder of its credential.
const KEY_FILE: &str = "joining.key";

/// Joins the site of a join token at this URL (see [`place`]), and keeps the credential in a folder. Repeated after
/// whatever went wrong, it goes on with the same key and so is the same joining.
pub async fn join(url: &str, secret: &Secret, name: Name, capacity: Capacity, folder: &Path) -> Result<Id<Node>> {
    let known = JoinSecret::read(secret.expose()).ok_or_else(|| {
        Error::invalid("token", "that is no join token: give what `cirro node join-token` has printed, whole")
    })?;
    let place = place(url)?;
    let at = folder.to_owned();
    let key = off_thread(move || kept_key(&at)).await?;
    let authority = pinned_authority(&place, &known.site, &known.authority).await?;
    // from here on only the identity service of that very site is spoken to
    let reach =
        Reach { tls: Some(Tls::site(&authority, None)?), site: Some(known.site.to_string()), ..Reach::default() };
    let http = Http::each_at(&[(Service::Identity, place)], &reach)?;
    let Capacity { vcpus, memory_mib, disk_gib } = capacity;
    let asked = EnrolmentRequest { secret: known.text(), request: request(&key)?, name, vcpus, memory_mib, disk_gib };
    let ctx = Context::client(Arc::new(Stores::default()), None);
    let told: Enrolment = http.json(&ctx, "POST", "/identity/v1/enrolment", Some(&asked)).await?;
    let pem = key.private_key_to_pem_pkcs8().map_err(Error::internal)?;
    let credential = Credential::from_pem(authority, [told.certificate.into_bytes(), pem].concat())?;
    if *credential.site() != known.site || credential.role() != SiteRole::Node(told.node_id) {
        return Err(Error::unavailable(format!(
            "identity answered a certificate of {:?} where node {} was expected: have the identity service looked at",
            credential, told.node_id
        )));
    }
    let at = folder.to_owned();
    off_thread(move || {
        credential.save(&at)?;
        // it is part of the credential now
        fs::remove_file(at.join(KEY_FILE)).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(unwritable(&at, &error)),
        })
    })
    .await?;
    Ok(told.node_id)
}

/// The key of an earlier try, or a new one, which is on the disk before it is used.
fn kept_key(folder: &Path) -> Result<PKey<Private>> {
    let file = folder.join(KEY_FILE);
    match fs::read(&file) {
        Ok(pem) => PKey::private_key_from_pem(&pem).map_err(|error| {
            Error::unavailable(format!("the key {} can't be used ({error}): remove it and try again", file.display()))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = new_key()?;
            let pem = key.private_key_to_pem_pkcs8().map_err(Error::internal)?;
            let write = || fs::create_dir_all(folder).and_then(|()| replace(&file, &pem, 0o600));
            write().map_err(|error| unwritable(folder, &error)).map(|()| key)
        }
        Err(error) => Err(unwritable(folder, &error)),
    }
}

fn unwritable(folder: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("the folder {} can't be used ({error}): check rights and room", folder.display()))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
