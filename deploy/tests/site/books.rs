//! What the compute service has written down beside the instances, compared with what follows from them.

use crate::kit::{LIMIT, Site, until};

/// (usage of the quota, claims on nodes) by resource.
fn written(site: &Site) -> [(i64, i64); 3] {
    [("instances", "count(*)"), ("vcpus", "sum(vcpus)"), ("memory_mib", "sum(memory_mib)")].map(
        |(resource, claimed)| {
            (
                site.number("compute", &format!("SELECT sum(used) FROM quota_usage WHERE resource = '{resource}'")),
                site.number("compute", &format!("SELECT {claimed} FROM claim")),
            )
        },
    )
}

/// Usage and claims are what these instances, all of one flavor, come to.
pub fn agree(site: &Site, instances: i64, vcpus: i64, memory_mib: i64) {
    let expected = [instances, instances * vcpus, instances * memory_mib].map(|number| (number, number));
    assert_eq!(written(site), expected, "(usage, claims) of instances, vcpus, memory_mib");
}

/// Nothing is left of any instance.
pub fn are_empty(site: &Site) {
    until(LIMIT, "the nodes have confirmed every removal", || {
        (site.number("compute", "SELECT count(*) FROM tombstone") == 0).then_some(())
    });
    agree(site, 0, 0, 0);
    for table in ["instance", "launch"] {
        assert_eq!(site.number("compute", &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}
