//! What is done to an instance or a volume that exists: protecting, resizing, rebuilding, recovering.

use crate::Alice;
use serde_json::Value;

impl Alice {
    fn row(&self, model: &str) -> Value {
        self.site.state().rows[model][0].clone()
    }
}

#[test]
fn protection_is_given_and_lifted() {
    let alice = Alice::logged_in();
    let create = ["volume", "create", "--name", "data", "--size", "1GiB", "--protect"];
    assert_eq!(alice.runs(&create).code, 0);
    assert_eq!(alice.row("volume")["protected"], true);
    assert_eq!(alice.runs(&["volume", "update", "data", "--no-protect"]).code, 0);
    assert_eq!(alice.row("volume")["protected"], false);

    alice.instance("web1");
    assert_eq!(alice.runs(&["instance", "update", "web1", "--protect"]).code, 0);
    let shown = alice.runs(&["instance", "show", "web1"]).out;
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["protected", "yes"])), "{shown}");
    assert_eq!(alice.runs(&["instance", "update", "web1", "--protect", "--no-protect"]).code, 2);
    assert_eq!(alice.runs(&["instance", "update", "web1", "--name", "web2"]).code, 0);
    assert_eq!(alice.row("instance")["protected"], true, "what is not named stays");
}
