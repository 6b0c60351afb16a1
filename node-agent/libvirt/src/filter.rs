//! What a guest may send and receive, as a libvirt network filter on its own port of the bridge.
//!
//! A guest may use only its own hardware and network address. Of its host it reaches DHCP and DNS on the bridge's address
//! and nothing else, whatever address the host has; the outside it reaches through NAT. Guests do not reach each other.
//! <https://libvirt.org/formatnwfilter.html>

use crate::xml::Element;
use cirro_node_agent_core::failure::{OrSay, Result};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The rules in the order in which they are asked; libvirt wants rising priorities, at most 1000.
pub fn to_element(
    name: &str,
    uuid: Option<&str>,
    gateway: Ipv4Addr,
    prefix: u8,
    closed: &BTreeSet<Ipv4Addr>,
) -> Element {
    let mut filter = Element::new("filter").with("name", name).with("chain", "root");
    if let Some(uuid) = uuid {
        filter = filter.child(Element::new("uuid").text(uuid));
    }
    let rules = own_addresses_only()
        .into_iter()
        .chain(host_services(gateway))
        .chain([
            to(gateway, Some(prefix)),
            to(Ipv4Addr::new(127, 0, 0, 0), Some(8)),
            to(Ipv4Addr::new(169, 254, 0, 0), Some(16)),
        ])
        .chain([to(Ipv4Addr::new(224, 0, 0, 0), Some(3))])
        .chain(closed.iter().map(|address| to(*address, None)))
        .chain([("accept", "inout", Some(Element::new("mac").with("protocolid", "ipv4"))), ("drop", "inout", None)]);
    filter.children(rules.zip(1..).map(|((action, direction, what), number)| {
        // Drops on the way out of the guest come before everything else that libvirt may add.
        let rule = Element::new("rule").with("action", action).with("direction", direction).with("priority", number);
        rule.children(what)
    }))
}

type Rule = (&'static str, &'static str, Option<Element>);

fn own_addresses_only() -> Vec<Rule> {
    let not = |protocol: &str, attribute: &str, value: &str| {
        ("drop", "out", Some(Element::new(protocol).with("match", "no").with(attribute, value)))
    };
    let asks_for_an_address = Element::new("ip")
        .with("srcipaddr", "0.0.0.0")
        .with("dstipaddr", "255.255.255.255")
        .with("protocol", "udp")
        .with("srcportstart", "68")
        .with("dstportstart", "67");
    vec![
        not("mac", "srcmacaddr", "$MAC"),
        not("arp", "arpsrcmacaddr", "$MAC"),
        not("arp", "arpsrcipaddr", "$IP"),
        ("accept", "inout", Some(Element::new("mac").with("protocolid", "arp"))),
        ("accept", "out", Some(asks_for_an_address)),
        not("ip", "srcipaddr", "$IP"),
    ]
}

fn host_services(gateway: Ipv4Addr) -> Vec<Rule> {
    let service = |protocol: &str, port: u16| {
        let what = Element::new("ip").with("dstipaddr", gateway).with("protocol", protocol).with("dstportstart", port);
        ("accept", "out", Some(what))
    };
    vec![service("udp", 67), service("udp", 53), service("tcp", 53)]
}

fn to(address: Ipv4Addr, prefix: Option<u8>) -> Rule {
    let what = Element::new("ip").with("dstipaddr", address).with("dstipmask", prefix.unwrap_or(32));
    ("drop", "out", Some(what))
}

/// Every IPv4 address of this host, as its routing table has them.
pub fn host_addresses() -> Result<BTreeSet<Ipv4Addr>> {
    let table = std::fs::read_to_string("/proc/net/fib_trie")
        .or_say(|| "can't read the host's addresses from /proc/net/fib_trie")?;
    Ok(local_in(&table))
}

fn local_in(table: &str) -> BTreeSet<Ipv4Addr> {
    let mut last = None;
    let mut local = BTreeSet::new();
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            local.extend(last.filter(|address| !address.is_loopback()));
        }
    }
    local
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::local_in;

    #[test]
    fn local_addresses_are_found() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        \
                     /32 host LOCAL\n     |-- 172.17.0.4\n        /32 host LOCAL\n     |-- 172.17.255.255\n        /32 link BROADCAST\n";
        assert_eq!(local_in(table), ["172.17.0.4".parse().unwrap()].into());
    }
}
