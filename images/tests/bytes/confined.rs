//! The tool's confinement, seen from inside: a script takes the place of `qemu-img` and says what it can do.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use cirro_images::bytes::{Fault, Format, Limits, Options, Tools};
use tempfile::TempDir;

use crate::support::{Site, wait_until};

/// A site whose `qemu-img` is this shell script; it answers `--version` so that it counts as installed.
async fn with_tool(script: &str, limits: Limits) -> (Site, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tool = folder.path().join("qemu-img");
    fs::write(&tool, format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{script}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let tools = Tools { qemu_img: tool, ..Tools::default() };
    (Site::with(Options { tools, limits, ..Options::default() }).await, folder)
}

/// What the tool says when it gets a good image.
async fn say(script: &str) -> String {
    let (site, _folder) = with_tool(&format!("({script}) 2>&1 | tr '\\n' ' ' >&2; exit 1"), Limits::default()).await;
    problem(&site).await
}

async fn problem(site: &Site) -> String {
    match site.refused(Format::Qcow2, &site.qcow2(&[])).await {
        Fault::Malformed { problem } => problem,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn it_has_nobodys_rights() {
    let said = say("echo uid $(id -u) groups $(id -G); grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status").await;
    if rustix::process::geteuid().is_root() {
        assert!(said.contains("uid 65534 groups 65534 "), "{said}");
        assert!(said.contains("CapBnd:0000000000000000") || said.contains("CapBnd: 0000000000000000"), "{said}");
    }
    assert!(said.contains("NoNewPrivs:1") || said.contains("NoNewPrivs: 1"), "{said}");
    assert!(said.contains("CapEff:0000000000000000") || said.contains("CapEff: 0000000000000000"), "{said}");
    let said = say("cat /etc/shadow").await;
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn it_sees_its_image_and_neither_the_store_nor_our_environment() {
    let said = say("head -c 3 /dev/stdin; echo; env | sort | cut -c1-20").await;
    assert!(said.contains("(QFI LC_ALL=C MALLOC_ARENA_MAX=1 PATH=/usr/bin:/bin PWD=/ )"), "{said}");
    if rustix::process::geteuid().is_root() {
        let site = Site::new().await;
        fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let said = say(&format!("ls {}", site.path("store").display())).await;
        assert!(said.contains("Permission denied"), "{said}");
    }
    let said = say("echo overwritten >&0 || echo refused").await;
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn it_can_use_little() {
    let said =
        say("echo t=$(ulimit -t) v=$(ulimit -v) s=$(ulimit -s) f=$(ulimit -f) n=$(ulimit -n) c=$(ulimit -c)").await;
    assert!(said.contains("t=30 v=1048576 s=1024 f=0 n=64 c=0"), "{said}");
}

#[tokio::test]
async fn it_has_no_network() {
    let said = say("cut -d: -f1 -s /proc/self/net/dev; echo end").await;
    assert!(said.contains("lo") && !said.contains("eth"), "{said}");
}

#[tokio::test]
async fn it_is_killed_when_it_takes_too_long() {
    let limits = Limits { wall: Duration::from_millis(300), ..Limits::default() };
    let (site, _folder) = with_tool("exec sleep 86399.75", limits).await;
    assert_eq!(problem(&site).await, "checking it takes too long");
    wait_until("the tool is gone", || {
        !fs::read_dir("/proc").unwrap().any(|process| {
            let command = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
            command.starts_with(b"sleep\x0086399.75")
        })
    });
}

#[tokio::test]
async fn it_is_killed_when_it_computes_or_talks_too_much() {
    let (site, _folder) = with_tool("while :; do :; done", Limits { cpu_seconds: 1, ..Limits::default() }).await;
    assert_eq!(problem(&site).await, "checking it takes more time or memory than is allowed");
    let (site, _folder) = with_tool("exec cat /dev/zero", Limits::default()).await;
    assert_eq!(problem(&site).await, "checking it takes more time or memory than is allowed");
}

#[tokio::test]
async fn what_it_says_is_shown_without_control_characters() {
    let (site, _folder) =
        with_tool(r"printf 'qemu-img: bad \033[31mred\007\nsecond' >&2; exit 1", Limits::default()).await;
    assert_eq!(problem(&site).await, "qemu-img info finds it damaged (bad [31mred)");
}

#[tokio::test]
async fn a_tool_that_disagrees_with_our_parser_wins_a_refusal() {
    for (answer, expected) in [
        (r#"{"format":"qcow2","virtual-size":1}"#, None),
        (r#"{"format":"raw","virtual-size":67108864}"#, None),
        ("[]", None),
        (r#"{"format":"qcow2","virtual-size":67108864,"full-backing-filename":"/x"}"#, Some(Fault::BackingFile)),
        (r#"{"format":"qcow2","virtual-size":67108864,"encrypted":true}"#, Some(Fault::Encrypted)),
        (
            r#"{"format":"qcow2","virtual-size":67108864,"format-specific":{"data":{"data-file":"/x"}}}"#,
            Some(Fault::DataFile),
        ),
    ] {
        let (site, _folder) = with_tool(&format!("echo '{answer}'"), Limits::default()).await;
        let fault = site.refused(Format::Qcow2, &site.qcow2(&[])).await;
        match expected {
            Some(expected) => assert_eq!(fault, expected, "{answer}"),
            None => assert!(matches!(fault, Fault::Malformed { .. }), "{answer}: {fault}"),
        }
    }
}

#[tokio::test]
async fn a_missing_tool_or_user_is_named_and_raw_images_go_on() {
    let tools = Tools { qemu_img: "/nowhere/qemu-img".into(), ..Tools::default() };
    let site = Site::with(Options { tools, ..Options::default() }).await;
    let fault = site.refused(Format::Qcow2, &site.qcow2(&[])).await;
    assert_eq!(fault, Fault::ToolMissing { tool: "qemu-img".into(), package: "qemu-utils" });
    site.upload(Format::Raw, b"raw").await.unwrap();

    if rustix::process::geteuid().is_root() {
        for user in ["root", "nosuchuser", ""] {
            let tools = Tools { user: user.into(), ..Tools::default() };
            let site = Site::with(Options { tools, ..Options::default() }).await;
            let fault = site.refused(Format::Qcow2, &site.qcow2(&[])).await;
            assert!(matches!(fault, Fault::ToolMissing { .. }), "{user:?}: {fault}");
        }
    }
}
