//! The process itself, as the kernel sees it.

use crate::metrics::page::{Kind, Page};
use std::fs;

/// Memory and open files; what the kernel does not tell is left out.
pub(super) fn write(page: &mut Page) {
    if let Some(bytes) = resident() {
        page.family("process_resident_memory_bytes", Kind::Gauge, "Memory that the process holds.").value(&[], bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // the folder itself is open while it is read
        let open = open.count().saturating_sub(1);
        page.family("process_open_fds", Kind::Gauge, "Open files and connections.").value(&[], open);
    }
    if let Some(most) = most_files() {
        page.family("process_max_fds", Kind::Gauge, "The most files and connections that it may open.")
            .value(&[], most);
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
