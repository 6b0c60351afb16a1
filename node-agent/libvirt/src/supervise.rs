//! Runs a command below a process that takes in its orphans. Where process 1 does not do so at once (containers without
//! an init), every guest that ends stays a zombie for two seconds, and libvirt waits for it.

use cirro_node_agent_core::failure::{OrSay, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use std::process::ExitCode;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// Runs the command and ends with its code; SIGTERM, SIGINT and SIGHUP are passed on.
pub async fn run(command: &[String]) -> Result<ExitCode> {
    let trouble = || "the process can't take in orphans or hear signals".to_owned();
    set_child_subreaper(Pid::from_raw(1)).or_say(trouble)?;
    let mut child_ended = signal(SignalKind::child()).or_say(trouble)?;
    let mut term = signal(SignalKind::terminate()).or_say(trouble)?;
    let mut int = signal(SignalKind::interrupt()).or_say(trouble)?;
    let mut hup = signal(SignalKind::hangup()).or_say(trouble)?;
    let (program, arguments) = command.split_first().ok_or("no command").or_say(|| "give a command after --")?;
    let child = Command::new(program)
        .args(arguments)
        .spawn()
        .or_say(|| format!("can't run {program}: check its path and mode"))?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).ok_or("it ended").or_say(trouble)?;
    loop {
        let pass_on = tokio::select! {
            _ = child_ended.recv() => None,
            _ = term.recv() => Some(Signal::TERM),
            _ = int.recv() => Some(Signal::INT),
            _ = hup.recv() => Some(Signal::HUP),
        };
        if let Some(signal) = pass_on {
            // It may have ended just now; then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
        // Any child: guests lead sessions and groups of their own.
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == pid {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number));
                return Ok(ExitCode::from(u8::try_from(code.unwrap_or(1)).unwrap_or(1)));
            }
        }
    }
}
