//! Processes that may have to be ended. Each is held by a descriptor, so that its number can't come to mean another one.

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::sockopt::socket_peercred,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::Path,
};

/// What the programs that are guests are called (QEMU's build system, one for each kind of processor).
const QEMU: &[u8] = b"qemu-system-";

/// See the module.
pub(super) struct Prey {
    pid: Pid,
    held: OwnedFd,
}

impl Prey {
    fn of(pid: Pid) -> Option<Self> {
        pidfd_open(pid, PidfdFlags::empty()).ok().map(|held| Self { pid, held })
    }
    /// The process at the other end.
    pub(super) fn peer(of: &UnixStream) -> Option<Self> {
        Self::of(socket_peercred(of).ok()?.pid)
    }
    /// The process whose number is in this file.
    pub(super) fn named_in(file: &Path) -> Option<Self> {
        Self::of(Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)?)
    }
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }
    pub(super) fn kill(&self, what: &str) {
        match pidfd_send_signal(&self.held, Signal::KILL) {
            Ok(()) => tracing::warn!(pid = self.pid.as_raw_nonzero(), "{what} is ended"),
            // it has ended by itself
            Err(Errno::SRCH) => {}
            Err(error) => tracing::error!(pid = self.pid.as_raw_nonzero(), %error, "{what} can't be ended"),
        }
    }
}

/// The guests whose files are in this folder of an agent's: QEMU is told each of them.
pub(super) fn guests(data: &Path) -> io::Result<Vec<Prey>> {
    let mut folder = data.join("instances").as_os_str().as_bytes().to_vec();
    folder.push(b'/');
    let mut guests = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // held first: what is read then is of this process, or of none
        let Some(prey) = Prey::of(pid) else { continue };
        if fs::read(entry.path().join("cmdline")).is_ok_and(|command| is_guest(&command, &folder)) {
            guests.push(prey);
        }
    }
    Ok(guests)
}

/// By its arguments, each of which ends with a zero byte. One that has ended and was not waited for has none.
fn is_guest(command: &[u8], folder: &[u8]) -> bool {
    let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(QEMU) && command.windows(folder.len()).any(|part| part == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_qemu_with_a_file_of_ours() {
        let ours = b"/data/instances/";
        let guest = b"/usr/bin/qemu-system-x86_64\0-name\0guest=web1\0-blockdev\0{\"filename\":\"/data/instances/1/root.qcow2\"}\0";
        assert!(is_guest(guest, ours));
        assert!(!is_guest(guest, b"/other/instances/"), "another agent's");
        assert!(!is_guest(b"tail\0-f\0/data/instances/1/console.log\0", ours), "somebody looks at a file");
        assert!(!is_guest(b"/usr/bin/qemu-system-x86_64\0-hda\0/home/me/disk\0", ours), "somebody else's guest");
        assert!(!is_guest(b"", ours));
    }
}
