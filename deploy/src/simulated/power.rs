//! The power of simulated machines that live in processes of their own: a line is asked at the socket of such a process, and
//! a line answered. `cirro site simulate-power` asks; it is the fence command of a site whose nodes are simulated.

use super::apart::FOLDER;
use cirro_models::{Error, Name, Result};
use cirro_node_agent_core::simulated::Simulated;
use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No question and no answer is longer.
const LONGEST: u64 = 256;
/// What is answered of machines that are others'.
const UNKNOWN: &str = "unknown";

/// What is asked of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That it goes off.
    Off,
    /// Whether it is off.
    Status,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Off { "off" } else { "status" })
    }
}

/// Answers for these machines until dropped, one question after the other.
pub(super) async fn serve(listener: UnixListener, machines: HashMap<Name, Arc<Simulated>>) {
    loop {
        let answered = match listener.accept().await {
            Ok((peer, _)) => timeout(PATIENCE, answer(peer, &machines)).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "a question about the power of a simulated machine was not answered");
            // as where no more files can be opened: a little later they can
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn answer(mut peer: UnixStream, machines: &HashMap<Name, Arc<Simulated>>) -> io::Result<()> {
    let mut asked = String::new();
    BufReader::new((&mut peer).take(LONGEST)).read_line(&mut asked).await?;
    let (order, name) = asked.trim_end().split_once(' ').unwrap_or_default();
    let said = match name.parse().ok().and_then(|name: Name| machines.get(&name)) {
        None => UNKNOWN.to_owned(),
        Some(machine) => {
            if order == Order::Off.to_string() {
                machine.lose().await.map_err(io::Error::other)?;
            }
            if machine.is_lost() { "off".to_owned() } else { "on".to_owned() }
        }
    };
    peer.write_all(format!("{said}\n").as_bytes()).await
}

/// What the process says that has this node, among those of the site in this folder: `on` or `off`.
///
/// # Errors
/// None of them has it, or none answers.
pub async fn ask(data: &Path, order: Order, node: &Name) -> Result<String> {
    let folder = data.join(FOLDER);
    let sockets = tokio::task::spawn_blocking(move || sockets(&folder)).await.map_err(Error::internal)?;
    for socket in sockets.unwrap_or_default() {
        // one that a killed process has left answers nothing
        if let Ok(Ok(said)) = timeout(PATIENCE, asked(&socket, order, node)).await
            && ["on", "off"].contains(&said.as_str())
        {
            return Ok(said);
        }
    }
    Err(Error::unavailable(format!(
        "no process that runs simulates {node} for the site in {}: start it with `cirro site simulate`",
        data.display()
    )))
}

fn sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sock");
    let found = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    found.map(|paths| paths.into_iter().filter(is_one).collect())
}

async fn asked(socket: &Path, order: Order, node: &Name) -> io::Result<String> {
    let mut peer = UnixStream::connect(socket).await?;
    peer.write_all(format!("{order} {node}\n").as_bytes()).await?;
    let mut said = String::new();
    BufReader::new(peer.take(LONGEST)).read_line(&mut said).await?;
    Ok(said.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_node_agent_core::simulated::Knobs;

    #[tokio::test]
    async fn a_machine_is_seen_to_be_off_only_once_it_is() {
        let site = tempfile::tempdir().unwrap();
        std::fs::create_dir(site.path().join(FOLDER)).unwrap();
        let (mut all, name) = (Vec::new(), |n: usize| format!("node-000{n}").parse::<Name>().unwrap());
        for n in [1, 2] {
            let listener = UnixListener::bind(site.path().join(FOLDER).join(format!("power-{n}.sock"))).unwrap();
            let machine = Arc::new(Simulated::new(Knobs::default()));
            all.push(machine.clone());
            tokio::spawn(serve(listener, HashMap::from([(name(n), machine)])));
        }
        // one was killed
        drop(UnixListener::bind(site.path().join(FOLDER).join("power-0.sock")).unwrap());
        let ask = |order, n| {
            let (data, name) = (site.path().to_owned(), name(n));
            async move { super::ask(&data, order, &name).await }
        };
        assert_eq!(ask(Order::Status, 1).await.unwrap(), "on");
        assert_eq!(ask(Order::Off, 2).await.unwrap(), "off");
        assert_eq!((all[0].is_lost(), all[1].is_lost()), (false, true));
        assert_eq!(ask(Order::Status, 2).await.unwrap(), "off");
        assert!(ask(Order::Status, 3).await.unwrap_err().to_string().contains("node-0003"));
    }
}
