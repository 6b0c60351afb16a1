//! What somebody types, against a small site: what is printed, what is asked of the API, and the exit codes.
#![allow(clippy::expect_used, missing_docs, unreachable_pub, reason = "a test may stop at anything unexpected")]

mod everyday;
mod fake;
mod launch;
mod many;
mod queue;
mod quota;

use fake::{Fake, KEY, PROJECT};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};
use tempfile::TempDir;

struct Alice {
    site: Fake,
    home: TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Did {
    code: i32,
    out: String,
    err: String,
}
impl Did {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Alice {
    fn new() -> Self {
        Self { site: Fake::start(), home: tempfile::tempdir().expect("a folder") }
    }
    fn logged_in() -> Self {
        let alice = Self::new();
        let url = alice.site.url.clone();
        let did = alice.typing(&["login", "--url", &url, "--user", "alice", "--password-stdin"], "correct horse\n");
        assert_eq!(did.code, 0, "{did:?}");
        alice
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cirro"));
        command.args(words).env_clear().env("CIRRO_CONFIG", self.home.path().join("config"));
        command
    }
    fn runs(&self, words: &[&str]) -> Did {
        self.typing(words, "")
    }
    fn typing(&self, words: &[&str], input: &str) -> Did {
        finish(self.command(words), input)
    }
    fn profile(&self) -> std::path::PathBuf {
        self.home.path().join("config/profile.json")
    }
    fn asked(&self, method: &str) -> Vec<(String, Option<String>)> {
        let asked = self.site.state().asked.clone();
        asked.into_iter().filter(|(m, ..)| m == method).map(|(_, path, key)| (path, key)).collect()
    }
    fn instance(&self, name: &str) -> String {
        self.site.add(
            "instance",
            json!({"name": name, "status": "running", "power": "running", "on_node_loss": "stay", "generation": 1, "observed_generation": 1,
                "flavor_id": PROJECT, "image_id": PROJECT, "vcpus": 1, "memory_mib": 512, "disk_gib": 1}),
        )
    }
}

fn finish(mut command: Command, input: &str) -> Did {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cirro starts");
    // a command that does not read has closed its end
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
    let done = child.wait_with_output().expect("cirro ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Did { code: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
}

#[test]
fn login_keeps_a_profile_that_nobody_else_reads() {
    let alice = Alice::logged_in();
    let mode = fs::metadata(alice.profile()).expect("a profile").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(alice.runs(&["token"]).out, "token-1\n");
    let kept = fs::read_to_string(alice.profile()).expect("a profile");
    assert!(!kept.contains("correct horse"), "the password is not kept unless asked");
    assert_eq!(alice.runs(&["logout"]).code, 0);
    let after = alice.runs(&["instance", "list"]);
    assert_eq!(after.code, 4);
    assert!(after.err.contains("cirro login"), "{after:?}");
}

#[test]
fn a_wrong_password_is_refused_and_keeps_nothing() {
    let alice = Alice::new();
    let url = alice.site.url.clone();
    let did = alice.typing(&["--url", &url, "login", "--user", "alice", "--password-stdin"], "wrong\n");
    assert_eq!((did.code, did.err.as_str()), (4, "cirro: the name or the password is wrong\n"));
    assert!(!alice.profile().exists());
}

#[test]
fn an_ended_login_renews_itself() {
    let alice = Alice::logged_in();
    alice.site.state().good.clear();
    assert_eq!(alice.runs(&["instance", "list"]).code, 0, "refused once, renewed, asked again");
    assert_eq!(alice.runs(&["token"]).out, "token-2\n");
    alice.site.state().lifetime = 5;
    alice.site.state().good.clear();
    assert_eq!(alice.runs(&["instance", "list"]).code, 0);
    assert_eq!(alice.runs(&["token"]).out, "token-4\n", "one that is about to end is not used");
}

#[test]
fn commands_at_once_do_not_spend_one_refresh_secret_twice() {
    let alice = Alice::logged_in();
    alice.site.state().good.clear();
    let children: Vec<_> = (0..6)
        .map(|_| alice.command(&["instance", "list"]).stdout(Stdio::null()).spawn().expect("cirro starts"))
        .collect();
    for mut child in children {
        assert!(child.wait().expect("cirro ends").success());
    }
    assert_eq!(alice.runs(&["token"]).out, "token-2\n");
}

#[test]
fn a_login_goes_to_its_own_site_only() {
    let alice = Alice::logged_in();
    let other = Fake::start();
    let did = alice.runs(&["--url", &other.url, "instance", "list"]);
    assert_eq!(did.code, 4, "{did:?}");
    assert!(other.state().asked.is_empty());
    let mut command = alice.command(&["instance", "list"]);
    command.env("CIRRO_URL", &other.url).env("CIRRO_TOKEN", "given");
    other.state().good.push("given".to_owned());
    assert_eq!(finish(command, "").code, 0);
}

#[test]
fn a_given_key_gets_tokens_for_as_long_as_it_is_good_and_works_in_its_own_project() {
    let alice = Alice::logged_in();
    let with = |key: &str, words: &[&str]| {
        let mut command = alice.command(words);
        command.env("CIRRO_URL", &alice.site.url).env("CIRRO_TOKEN", key);
        finish(command, "")
    };
    let before = alice.site.state().good.len();
    assert_eq!(with(KEY.0, &["instance", "list"]).code, 0);
    let did = with(KEY.0, &["token"]);
    assert_eq!(did.out.trim(), alice.site.state().good.last().expect("it got one"));
    assert_eq!(alice.site.state().good.len(), before + 2);
    alice.site.add(
        "project",
        json!({"name": "other", "max_instances": 1, "max_vcpus": 1, "max_memory_mib": 1, "max_volumes": 1,
            "max_volume_gib": 1, "max_image_gib": 1}),
    );
    let did = with(KEY.0, &["--project", "other", "instance", "delete", "web1"]);
    assert_eq!(did.code, 2, "{did:?}");
    let wrong = KEY.0.replace("ubiquitous", "wrong");
    let did = with(&wrong, &["instance", "list"]);
    assert!(did.code == 4 && did.err.contains("cirro key create") && !did.err.contains("wrong-proof"), "{did:?}");
}

#[test]
fn a_given_token_is_not_used_in_another_project() {
    let alice = Alice::logged_in();
    alice.site.state().good.push("given".to_owned());
    alice.site.add(
        "project",
        json!({"name": "other", "max_instances": 1, "max_vcpus": 1, "max_memory_mib": 1, "max_volumes": 1,
            "max_volume_gib": 1, "max_image_gib": 1}),
    );
    let mut command = alice.command(&["--project", "other", "instance", "delete", "web1"]);
    command.env("CIRRO_URL", &alice.site.url).env("CIRRO_TOKEN", "given");
    let did = finish(command, "");
    assert_eq!(did.code, 2, "{did:?}");
    assert!(did.err.contains("cirro --project other token"), "{did:?}");
}

#[test]
fn an_instance_is_created_by_names_and_awaited() {
    let alice = Alice::logged_in();
    let flavor = alice.site.add("flavor", json!({"name": "small", "vcpus": 1, "memory_mib": 512, "disk_gib": 1}));
    let foreign = json!({"name": "demo", "format": "qcow2", "status": "ready", "public": true,
        "project_id": "01970000-0000-7000-8000-0000000000bb"});
    alice.site.add("machineimage", foreign);
    let own =
        alice.site.add("machineimage", json!({"name": "demo", "format": "qcow2", "status": "ready", "public": false}));
    alice.site.state().script.insert("instance".into(), vec!["pending", "building", "building", "running"]);
    let create = ["instance", "create", "--image", "demo", "--flavor", "small", "--name", "web1", "--wait"];
    let did = alice.runs(&create);
    assert_eq!(did.code, 0, "{did:?}");
    assert_eq!(did.err, "web1: pending\nweb1: building\nweb1: running\n");
    assert!(did.out.contains("flavor_id") && did.out.contains(&format!("small ({flavor})")), "{}", did.out);
    let row = alice.site.state().rows["instance"][0].clone();
    assert_eq!(row["image_id"], *own, "the own project comes before public things");
    let posts = alice.asked("POST");
    let (_, key) = posts.iter().find(|(path, _)| path == "/compute/v1/instance").expect("it was created");
    assert!(key.is_some(), "every change carries a key");
}

#[test]
fn a_failure_is_told_with_its_reason() {
    let alice = Alice::logged_in();
    alice.site.state().script.insert("volume".into(), vec!["creating", "failed"]);
    let did = alice.runs(&["volume", "create", "--name", "data", "--size", "1GiB", "--wait"]);
    assert_eq!(did.code, 1);
    assert!(did.err.ends_with("cirro: volume data is failed: the disk is full\n"), "{did:?}");
    let did = alice.runs(&["volume", "create", "--name", "slow", "--size", "1GiB", "--wait", "--timeout", "1"]);
    assert_eq!(did.code, 5, "{did:?}");
    assert!(did.err.contains("it goes on"), "{did:?}");
}

#[test]
fn power_waits_for_the_node_to_act() {
    let alice = Alice::logged_in();
    alice.instance("web1");
    alice.site.state().script.insert("instance".into(), vec!["stopping", "stopped"]);
    let did = alice.runs(&["instance", "stop", "web1", "--force", "--wait", "-o", "json"]);
    assert_eq!(did.code, 0, "{did:?}");
    assert_eq!(did.json()["status"], "stopped");
    assert_eq!(did.json()["force_stop"], true);
}

#[test]
fn deleting_waits_until_it_is_gone_and_then_it_is_not_found() {
    let alice = Alice::logged_in();
    let id = alice.instance("web1");
    alice.site.state().script.insert("instance".into(), vec!["deleting", "gone"]);
    let did = alice.runs(&["instance", "delete", "web1", "--wait", "--idempotency-key", "k1"]);
    assert_eq!((did.code, did.out.as_str()), (0, "instance web1 is deleted\n"), "{did:?}");
    assert_eq!(alice.asked("DELETE"), [(format!("/compute/v1/instance/{id}"), Some("k1".to_owned()))]);
    for which in ["web1", id.as_str()] {
        assert_eq!(alice.runs(&["instance", "show", which]).code, 3);
    }
}

#[test]
fn json_is_exactly_what_the_api_said() {
    let alice = Alice::logged_in();
    for n in 0..5 {
        alice.instance(&format!("web{n}"));
    }
    let rows = json!(alice.site.state().rows["instance"]);
    let one = alice.runs(&["instance", "show", "web0", "-o", "json"]);
    assert_eq!(one.json(), rows[0], "links and all");
    let page = alice.runs(&["instance", "list", "--limit", "2", "-o", "json"]).json();
    assert_eq!((page["items"].as_array().map(Vec::len), &page["next"]), (Some(2), &rows[1]["id"]));
    let all = alice.runs(&["instance", "list", "--limit", "2", "--all", "-o", "json"]).json();
    assert_eq!(all, json!({ "items": rows }));
}

#[test]
fn an_image_is_uploaded_and_comes_back() {
    let alice = Alice::logged_in();
    let file = alice.home.path().join("demo.qcow2");
    let mut content = b"QFI\xfb".to_vec();
    content.resize(3_000_000, 7);
    fs::write(&file, &content).expect("a file");
    let did = alice.runs(&["image", "create", "--file", &file.display().to_string(), "-o", "json"]);
    assert_eq!(did.code, 0, "{did:?}");
    let image = did.json();
    assert_eq!(
        (&image["name"], &image["status"], &image["format"]),
        (&json!("demo"), &json!("ready"), &json!("qcow2"))
    );
    assert_eq!(image["size_bytes"], 3_000_000);
    let copy = alice.home.path().join("copy").display().to_string();
    let did = alice.runs(&["image", "download", "demo", &copy]);
    assert_eq!(did.code, 0, "{did:?}");
    assert!(fs::read(&copy).expect("the copy") == content);
    assert_eq!(alice.runs(&["image", "download", "demo", &copy]).code, 2, "it does not replace what exists");
    alice.site.state().bytes.pop();
    let damaged = alice.runs(&["image", "download", "demo", &copy, "--force"]);
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert!(fs::read(&copy).expect("the copy") == content, "the good one is still there");
    assert_eq!(fs::read_dir(alice.home.path()).expect("the folder").count(), 3, "no part is left");
}

#[test]
fn a_refused_image_leaves_nothing_behind() {
    let alice = Alice::logged_in();
    let file = alice.home.path().join("demo.raw");
    fs::write(&file, vec![1; 300_000]).expect("a file");
    alice.site.state().refuse_bytes = Some(422);
    let did = alice.runs(&["image", "create", "--file", &file.display().to_string()]);
    assert_eq!(did.code, 1, "{did:?}");
    assert!(did.err.contains("backing file"), "{did:?}");
    assert!(alice.site.state().rows["machineimage"].is_empty());
}

#[test]
fn console_text_is_shown_and_not_obeyed() {
    let alice = Alice::logged_in();
    alice.instance("web1");
    alice.site.state().script.insert("consolelog".into(), vec!["requested", "ready"]);
    let did = alice.runs(&["instance", "console-log", "web1"]);
    assert_eq!((did.code, did.out.as_str()), (0, "web1 is up\n\\u{1b}[2Jnot obeyed\n"), "{did:?}");
    assert!(alice.site.state().rows["consolelog"].is_empty(), "it was asked for to be read once");
}

#[test]
fn a_key_is_told_once() {
    let alice = Alice::logged_in();
    let did = alice.runs(&["key", "create", "--name", "backup", "--role", "viewer"]);
    assert_eq!(did.code, 0, "{did:?}");
    assert!(did.out.contains("once-and-never-again") && did.err.contains("only time"), "{did:?}");
}

#[test]
fn a_join_token_is_printed_alone_and_a_node_revoked_by_its_name() {
    let alice = Alice::logged_in();
    let did = alice.runs(&["node", "join-token", "rack1", "--vcpus", "8", "--memory", "64GiB", "--ttl", "30m"]);
    assert_eq!((did.code, did.out.as_str()), (0, "s3cret-s3cret\n"), "{did:?}");
    assert!(did.err.contains("cirro-node-agent join --url https://") && !did.err.contains("s3cret"), "{did:?}");
    let token = alice.site.state().rows["jointoken"][0].clone();
    assert_eq!((&token["name"], &token["vcpus"], &token["memory_mib"]), (&json!("rack1"), &json!(8), &json!(65536)));
    let did = alice.runs(&["node", "join-token", "rack1", "--node", "rack1"]);
    assert_eq!(did.code, 2, "a node that there is keeps its name: {did:?}");

    let node = alice.site.add(
        "node",
        json!({"name": "rack1", "vcpus": 1, "memory_mib": 1, "disk_gib": 1, "mode": "active", "status": "ready",
            "unclaimed": 0}),
    );
    let did = alice.runs(&["node", "drain", "rack1"]);
    assert_eq!((did.code, &alice.site.state().rows["node"][0]["mode"]), (0, &json!("drain")), "{did:?}");
    assert!(did.err.contains("Nothing is on node rack1") && did.err.contains("cirro node return"), "{did:?}");
    let did = alice.runs(&["node", "revoke", "rack1"]);
    assert_eq!(did.code, 0, "{did:?}");
    assert_eq!(alice.site.state().rows["revocation"][0]["subject"], format!("node:{node}"));
}

#[test]
fn exit_codes_and_sentences() {
    let alice = Alice::logged_in();
    assert_eq!(alice.runs(&["instance", "lits"]).code, 2);
    assert_eq!(alice.runs(&["instance", "update", PROJECT]).code, 2, "nothing to change");
    alice.instance("twin");
    alice.instance("twin");
    let did = alice.runs(&["instance", "show", "twin"]);
    assert_eq!(did.code, 2);
    assert!(did.err.contains("several instances are called twin"), "{did:?}");
    let mut command = alice.command(&["instance", "list"]);
    command.env("CIRRO_URL", "http://127.0.0.1:1").env("CIRRO_TOKEN", "x");
    let did = finish(command, "");
    assert_eq!(did.code, 5, "{did:?}");
    assert_eq!(did.err.lines().count(), 1);
}

#[test]
fn a_closed_pipe_is_quiet() {
    let alice = Alice::logged_in();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = alice.command(&["completion", "bash"]);
    let done = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("cirro starts").wait_with_output();
    let done = done.expect("cirro ends");
    assert_eq!((done.status.code(), done.stderr.len()), (Some(0), 0));
}
