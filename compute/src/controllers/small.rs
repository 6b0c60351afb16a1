//! Flavors and SSH keys: checked for sense, otherwise as by default.

use async_trait::async_trait;
use cirro_models::{
    Context, Created, Error, Result,
    compute::{Flavor, SshKey, flavor::NewFlavor, ssh_key::NewSshKey},
};
use cirro_server::{Controller, OwnerContext};

pub(crate) struct Flavors;

#[async_trait]
impl Controller<Flavor> for Flavors {
    async fn create(&self, ctx: &Context, draft: Flavor, _: NewFlavor) -> Result<Created<Flavor>> {
        let sizes = [
            ("vcpus", draft.vcpus.get(), 1),
            ("memory_mib", draft.memory_mib.get(), 32),
            ("disk_gib", draft.disk_gib.get(), 1),
        ];
        if let Some((field, given, least)) = sizes.into_iter().find(|(_, given, least)| given < least) {
            return Err(Error::invalid(field, format!("{given} is too little for a guest: give at least {least}")));
        }
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }
}

pub(crate) struct SshKeys;

/// The kinds of key that OpenSSH takes.
const KINDS: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Refuses what is no single public key line (`authorized_keys` in sshd(8)), and above all a private key.
fn check(line: &str) -> Result<()> {
    let refuse = |detail: &str| Err(Error::invalid("public_key", detail));
    if line.contains("PRIVATE KEY") {
        return refuse("this is a private key: keep it to yourself, and give the line of its .pub file");
    }
    if line.chars().any(char::is_control) {
        return refuse("give one line without control characters, as in a .pub file");
    }
    let mut words = line.split(' ');
    let (kind, body) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if !KINDS.contains(&kind) || body.len() < 40 || !body.chars().all(base64) {
        return refuse("this is no public SSH key: give the line of a .pub file, such as `ssh-ed25519 AAAA… you@host`");
    }
    Ok(())
}

#[async_trait]
impl Controller<SshKey> for SshKeys {
    async fn create(&self, ctx: &Context, mut draft: SshKey, _: NewSshKey) -> Result<Created<SshKey>> {
        draft.public_key.truncate(draft.public_key.trim_end().len());
        check(&draft.public_key)?;
        ctx.write(move |tx| tx.insert(&draft).map(|()| draft.clone())).await.map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_public_keys_pass() {
        let body = "A".repeat(68);
        assert!(check(&format!("ssh-ed25519 {body} me@host")).is_ok());
        for wrong in [
            "",
            "ssh-ed25519",
            "hello",
            &format!("ssh-ed25519 {body}\nssh-rsa {body}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(check(wrong).is_err(), "{wrong:?} passed");
        }
    }
}
