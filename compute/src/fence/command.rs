//! A fence that is a program of the site's own: for IPMI, a switched power strip, or whatever cuts a machine's power.
//!
//! It is called as `PATH off NODE [LABEL=VALUE]…` and `PATH status NODE [LABEL=VALUE]…`, with the node's name and labels as
//! arguments of their own and never through a shell. The first orders the machine off; what it answers counts for nothing.
//! The second prints what the machine's power is: only the word `off`, with exit code 0, says that it is off.

use super::{Fence, Power};
use async_trait::async_trait;
use cirro_models::{Error, Result, compute::Node};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

/// How long one call may take.
const LONGEST: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read.
const MOST: u64 = 1024;

/// See the module.
#[derive(Debug, Clone)]
pub struct FenceCommand {
    path: PathBuf,
    longest: Duration,
}

impl FenceCommand {
    /// The program at this path.
    ///
    /// # Errors
    /// A relative path, or one at which there is no file: that had better show before a machine is lost.
    pub fn at(path: PathBuf) -> Result<Self> {
        if !path.is_absolute() || !path.is_file() {
            let what = format!("there is no fence command {}: give the whole path of a program", path.display());
            return Err(Error::invalid("fence_command", what));
        }
        Ok(Self { path, longest: LONGEST })
    }

    /// Calls it; what it printed, if it ended well.
    async fn call(&self, verb: &str, node: &Node) -> Result<String> {
        let failed = |what: &str| {
            Error::unavailable(format!(
                "the fence command {} {verb} {} {what}: see that it works when it is called by hand",
                self.path.display(),
                node.name
            ))
        };
        let labels = node.meta.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let mut command = Command::new(&self.path);
        // of our own environment it gets nothing: the database's password may be there
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.arg(verb).arg(node.name.as_str()).args(labels).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| failed(&format!("can't be started ({error})")))?;
        match timeout(self.longest, ended(child)).await {
            Ok(Ok((true, printed))) => Ok(printed),
            Ok(Ok((false, _))) => Err(failed("has failed")),
            Ok(Err(error)) => Err(failed(&format!("can't be read ({error})"))),
            Err(_) => Err(failed(&format!("did not end within {} s", self.longest.as_secs()))),
        }
    }
}

/// Whether it ended well, and the begin of what it printed.
async fn ended(mut child: Child) -> std::io::Result<(bool, String)> {
    let mut printed = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MOST).read_to_end(&mut printed).await?;
    }
    let status = child.wait().await?;
    Ok((status.success(), String::from_utf8_lossy(&printed).into_owned()))
}

#[async_trait]
impl Fence for FenceCommand {
    async fn off(&self, node: &Node) -> Result<()> {
        self.call("off", node).await.map(drop)
    }
    async fn power(&self, node: &Node) -> Result<Power> {
        let printed = self.call("status", node).await?;
        Ok(if printed.trim() == "off" { Power::Off } else { Power::Other })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::turn_off;
    use cirro_models::{Model, meta::Meta, model::Seed};
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn node() -> Node {
        let labels = serde_json::json!({"bmc": "10.0.0.5; rm -rf $HOME"});
        let new =
            serde_json::json!({"name": "node-0005", "vcpus": 1, "memory_mib": 1, "disk_gib": 1, "labels": labels});
        let meta = Meta::created("service:test");
        let seed = Seed { id: uuid::Uuid::now_v7(), project: None, user: None, meta };
        Node::build(serde_json::from_value(new).unwrap(), seed).unwrap()
    }
    fn script(folder: &Path, text: &str) -> FenceCommand {
        let path = folder.join("fence");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", folder.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        FenceCommand::at(path).unwrap()
    }

    #[tokio::test]
    async fn only_a_machine_that_is_seen_to_be_off_is_off() {
        for (text, off) in [
            ("[ $1 = off ] && touch went; [ $1 = status ] && [ -e went ] && echo off", true),
            // what the order itself says counts for nothing
            ("if [ $1 = off ]; then exit 1; else echo off; fi", true),
            ("[ $1 = status ] && echo on; exit 0", false),
            ("[ $1 = off ] && echo off; exit 0", false),
            ("echo off; exit 1", false),
            ("echo 'off or on'", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let fence = script(folder.path(), text);
            let confirmed = turn_off(&fence, &node(), Duration::ZERO).await;
            assert_eq!(confirmed.is_ok(), off, "{text}: {confirmed:?}");
        }
    }

    #[tokio::test]
    async fn name_and_labels_are_arguments_and_the_environment_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let fence = script(folder.path(), "for word in \"$@\"; do echo \"$word\" >>said; done; env >seen; echo off");
        turn_off(&fence, &node(), Duration::ZERO).await.unwrap();
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        let label = "bmc=10.0.0.5; rm -rf $HOME";
        assert_eq!(said, format!("off\nnode-0005\n{label}\nstatus\nnode-0005\n{label}\n"));
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        assert!(!seen.contains("CARGO") && !seen.contains("HOME="), "{seen}");
    }

    #[tokio::test]
    async fn one_that_never_ends_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut fence = script(folder.path(), "exec sleep 1000");
        fence.longest = Duration::from_millis(200);
        let error = fence.power(&node()).await.unwrap_err().to_string();
        assert!(error.contains("did not end"), "{error}");
        assert!(FenceCommand::at("fence".into()).is_err() && FenceCommand::at("/nowhere/fence".into()).is_err());
    }
}
