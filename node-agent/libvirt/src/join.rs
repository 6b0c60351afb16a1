//! `cirro-node-agent join`.

use cirro_client::credential::replace;
use cirro_models::{Id, Name, compute::Node, identity::Secret};
use cirro_node_agent_core::{
    failure::{Failure, OrSay, Result, off_thread},
    join::join,
    machine::{self, Capacity},
};
use clap::Args;
use serde_json::json;
use std::{
    fs::{DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// No join token is longer.
const LONGEST: u64 = 4096;

/// Makes this host a node of a site. The join token, which `cirro node join-token` prints, is read from standard input, so
/// that it stands in no list of processes.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// Where the site's bus takes nodes: https://HOST:PORT, several with commas between.
    #[arg(long)]
    url: String,
    /// Where certificate, configuration, images and guests are kept.
    #[arg(long, default_value = "/var/lib/cirro-node")]
    data: PathBuf,
    /// Read the join token from this file instead.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What the node is called [default: this host's name]; a name in the join token goes before.
    #[arg(long)]
    name: Option<Name>,
    /// Which libvirt will run its guests.
    #[arg(long, value_name = "URI", default_value = "qemu:///system")]
    libvirt_uri: String,
}

impl Join {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let data = std::path::absolute(&self.data).or_say(|| "the folder for --data has no absolute path")?;
        let (folder, file, given) = (data.clone(), self.token_file.clone(), self.name.clone());
        let (token, name, capacity) = off_thread(move || {
            let token = read(file.as_deref())?;
            let make = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            make.or_say(|| format!("{} can't be made: check rights and room, or give --data", folder.display()))?;
            let name = given.map_or_else(machine::name, Ok).or_say(|| "this host has no name: give --name")?;
            let capacity = Capacity::of(&folder).or_say(|| "this host's capacity can't be told")?;
            Ok((token, name, capacity))
        })
        .await?;
        let credential = data.join("credential");
        let joined = join(&self.url, &token, name, capacity, &credential).await;
        let node = joined.or_say(|| format!("this host could not join the site at {}", self.url))?;
        let config = off_thread(move || self.write_config(&data, &credential, node)).await?;
        println!("This host is node {node} now. Start its agent:");
        println!("  cirro-node-agent run --config {}", config.display());
        Ok(ExitCode::SUCCESS)
    }

    fn write_config(&self, data: &Path, credential: &Path, node: Id<Node>) -> Result<PathBuf> {
        let config = json!({
            "url": self.url, "node_id": node, "credential_dir": credential, "data_dir": data, "libvirt_uri": self.libvirt_uri,
        });
        let path = data.join("node-agent.json");
        let written = replace(&path, format!("{config:#}\n").as_bytes(), 0o600);
        written.or_say(|| format!("the configuration {} can't be written: join again", path.display()))?;
        Ok(path)
    }
}

/// The join token from a file or from standard input.
fn read(file: Option<&Path>) -> Result<Secret> {
    let mut text = String::new();
    let done = match file {
        Some(file) => File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text)),
        None => io::stdin().take(LONGEST).read_to_string(&mut text),
    };
    done.or_say(|| "the join token can't be read: pipe it in, or give its file with --token-file")?;
    if text.trim().is_empty() {
        return Err(Failure::new(
            "no join token came: pipe in what `cirro node join-token` prints, or give --token-file",
        ));
    }
    Ok(Secret::new(text.trim()))
}
