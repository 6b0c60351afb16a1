//! `docs/audit.md` lists every kind of finding, as the services tell it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails where it is")]

use cirro_models::finding::Kind;
use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

/// What stands before the tables.
const MARK: &str = "CIRRO_UPDATE_SNAPSHOTS=1. -->\n";

fn services() -> [(&'static str, Vec<Kind>); 4] {
    [
        ("identity", cirro_identity::audit::kinds()),
        ("compute", cirro_compute::audit::kinds()),
        ("storage", cirro_storage::audit::kinds()),
        ("images", cirro_images::audit::kinds()),
    ]
}

#[test]
fn the_page_lists_every_code_once() {
    let mut tables = String::new();
    for (service, kinds) in services() {
        let mut seen = BTreeSet::new();
        write!(tables, "\n## {service}\n| code | about | what it means | what to do |\n|---|---|---|---|\n").unwrap();
        for Kind { code, thing, means, remedy } in kinds {
            assert!(code.starts_with(&format!("{service}.")), "{code}");
            if seen.insert(code) {
                writeln!(tables, "| `{code}` | {thing} | {means} | {remedy} |").unwrap();
            }
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, listed) = text.split_once(MARK).unwrap();
    if std::env::var_os("CIRRO_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&page, format!("{before}{MARK}{tables}")).unwrap();
        return;
    }
    assert_eq!(listed, tables, "write it anew with CIRRO_UPDATE_SNAPSHOTS=1");
}
