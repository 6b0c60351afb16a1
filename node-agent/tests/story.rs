//! What an agent does for a request is told under the request's id: in its log, and in the calls by which it reports.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{
    Id,
    compute::{
        Instance,
        instance::{InstanceStatus, Power},
        instance_action::ActionKind,
    },
    storage::{
        Volume,
        assignment::{AttachmentSpec, VolumeSpec},
        attachment::AttachmentStatus,
    },
};
use cirro_node_agent_core::{
    agent::{Agent, Settings},
    desk::{Desk, Papers},
    simulated::{Knobs, Simulated},
};
use kit::{id, spec};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

const SOON: Duration = Duration::from_secs(20);

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self, words: &[&str]) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

async fn heard(desk: &Desk, what: &str, is: impl Fn(&Papers) -> bool) {
    desk.wait(what, SOON, |papers| is(papers).then_some(())).await.unwrap();
}

#[tokio::test]
async fn what_is_done_for_a_request_is_told_under_its_id() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().json().with_writer(move || writer.clone()).init();
    let (desk, machine) = (Arc::new(Desk::new(None)), Arc::new(Simulated::new(Knobs::default())));
    let settings = Settings { heartbeat: Duration::from_millis(500), ..Settings::default() };
    let agent = tokio::spawn(Agent::new(desk.clone(), machine, settings).run(std::future::pending()));
    let (web, data): (Id<Instance>, Id<Volume>) = (id(7), id(8));

    desk.with(|papers| papers.requests.insert(web.uuid(), "create-web1".to_owned()));
    desk.order(spec(web, 1, Power::Running));
    let runs = |papers: &Papers| papers.seen.get(&web).is_some_and(|seen| seen.status == InstanceStatus::Running);
    heard(&desk, "it runs", runs).await;
    heard(&desk, "that is reported under its id", |papers| papers.report_ids.contains("create-web1")).await;
    assert!(log.lines(&["begun", "build", "create-web1"]) >= 1);

    // of an instance that stays as it is, the action's request is told
    desk.with(|papers| papers.requests.clear());
    let reboot = desk.act(web, ActionKind::Reboot);
    desk.with(|papers| papers.requests.insert(reboot.uuid(), "reboot-web1".to_owned()));
    heard(&desk, "it is rebooted", |papers| papers.ended.iter().any(|done| done.id == reboot)).await;
    assert!(log.lines(&["begun", "reboot-web1"]) >= 1);

    let attachment = AttachmentSpec { id: id(9), volume_id: data, instance_id: web, detach: false };
    desk.with(|papers| {
        papers.requests.insert(data.uuid(), "create-data".to_owned());
        papers.requests.insert(attachment.id.uuid(), "attach-data".to_owned());
        papers.volumes.push(VolumeSpec { id: data, size_gib: cirro_models::GiB::new(1) });
        papers.attachments.push(attachment.clone());
    });
    let attached = |papers: &Papers| {
        papers.attachments_seen.get(&attachment.id).is_some_and(|seen| seen.status == AttachmentStatus::Attached)
    };
    heard(&desk, "it has the disk", attached).await;
    assert!(log.lines(&["make volume", "create-data"]) >= 1 && log.lines(&["attach", "attach-data"]) >= 1);
    agent.abort();
}
