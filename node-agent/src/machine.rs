//! What this machine can give to guests.

use cirro_models::{Error, GiB, MiB, Name, Result, Vcpus};
use std::path::Path;

/// Virtual processors per processor: guests rarely use theirs at the same time.
const OVERCOMMIT: i64 = 8;
/// Memory in MiB that the host keeps for itself.
const KEPT_MIB: i64 = 1024;

/// What this machine can give to guests.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Virtual processors, overcommit included.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory_mib: MiB,
    /// Disk.
    pub disk_gib: GiB,
}

impl Capacity {
    /// As the kernel tells it, for guests whose disks are under this path. Blocks.
    pub fn of(path: &Path) -> Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
        let info = std::fs::read_to_string("/proc/meminfo").map_err(Error::internal)?;
        let total = info
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().split(' ').next()?.parse::<i64>().ok());
        let memory = total.ok_or_else(|| Error::internal("the kernel does not tell its memory"))? / 1024;
        let disk = rustix::fs::statvfs(path).map_err(Error::internal)?;
        let free = i64::try_from(disk.f_bavail.saturating_mul(disk.f_frsize) >> 30).unwrap_or(0);
        Ok(Self {
            vcpus: Vcpus::new(cpus * OVERCOMMIT),
            memory_mib: MiB::new((memory - KEPT_MIB).max(memory / 2)),
            disk_gib: GiB::new(free),
        })
    }
}

/// The machine's name, as far as it can be a node's. Blocks.
pub fn name() -> Result<Name> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Name::parse(host.trim()).or_else(|_| Name::parse("local")).map_err(Error::internal)
}
