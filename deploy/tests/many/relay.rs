//! A way to a process that is slow, hangs, or tells nonsense.

use crate::common::LIMIT;
use cirro_client::registry::{Entry, Registration, Registry, RegistryParams};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

/// How long a slow one thinks.
const SLOW: Duration = Duration::from_secs(2);

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ill {
    Not,
    Slow,
    Hangs,
    Nonsense,
}

/// A relay to a process, registered beside it as one more.
pub struct Relay {
    how: Arc<AtomicU8>,
    registration: Option<Registration>,
    runtime: Runtime,
}

impl Relay {
    /// To the process at `target`, in this registry.
    pub fn start(registry: &Registry, target: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (how, target) = (Arc::new(AtomicU8::new(Ill::Not as u8)), target.to_owned());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let entry = Entry { address: listener.local_addr().unwrap().to_string(), version: "0.1.0".to_owned() };
        let told = how.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(relay(stream, target.clone(), told.clone()));
            }
        });
        let inside = runtime.enter();
        let check = Arc::new(|| Box::pin(std::future::ready(true)) as _);
        let registration = registry.register("relay", &entry, RegistryParams::default(), check).unwrap();
        drop(inside);
        Self { how, registration: Some(registration), runtime }
    }
    pub fn is(&self, ill: Ill) {
        self.how.store(ill as u8, Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let left = self.registration.take().unwrap().stop();
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, left).await }).unwrap();
    }
}

async fn relay(mut near: TcpStream, target: String, how: Arc<AtomicU8>) -> Option<()> {
    let mut far = TcpStream::connect(target).await.ok()?;
    // nothing waits here for an acknowledgement, which takes 40 ms while a connection begins
    near.set_nodelay(true).ok()?;
    far.set_nodelay(true).ok()?;
    let (mut asked, mut answered) = (vec![0; 16384], vec![0; 16384]);
    loop {
        tokio::select! {
            read = near.read(&mut asked) => match read.ok()? {
                0 => return None,
                n => far.write_all(&asked[..n]).await.ok()?,
            },
            read = far.read(&mut answered) => match read.ok()? {
                0 => return None,
                n => {
                    let ill = how.load(Relaxed);
                    if ill == Ill::Hangs as u8 {
                        std::future::pending::<()>().await;
                    }
                    if ill == Ill::Nonsense as u8 {
                        near.write_all(b"HTTP/1.1 two hundred\r\nwhat: ever\x00\x01\r\n\r\n").await.ok()?;
                        return None;
                    }
                    if ill == Ill::Slow as u8 {
                        tokio::time::sleep(SLOW).await;
                    }
                    near.write_all(&answered[..n]).await.ok()?;
                }
            },
        }
    }
}
