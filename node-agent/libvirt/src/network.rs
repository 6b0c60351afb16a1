//! The node's network for guests: a bridge of its own with DHCP, DNS and NAT, run by libvirt, and the filter on every
//! guest's port. <https://libvirt.org/formatnetwork.html>

use crate::{connection::found, domain::Port, filter, xml::Element};
use cirro_models::{Id, compute::Instance};
use cirro_node_agent_core::failure::{Failure, OrSay, Result};
use parking_lot::Mutex;
use std::{collections::BTreeSet, net::Ipv4Addr};
use virt::{connect::Connect, error::ErrorNumber, network::Network, nwfilter::NWFilter};
use virt_sys as sys;

/// libvirt's name of the network and of the filter.
const NAME: &str = "cirro";
const FILTER: &str = "cirro-guest";
const BRIDGE: &str = "cirro0";
/// Where the network may lie, tried in turn: one of them is free on any host.
const GATEWAYS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 83, 0, 1),
    Ipv4Addr::new(10, 183, 0, 1),
    Ipv4Addr::new(172, 30, 96, 1),
    Ipv4Addr::new(192, 168, 208, 1),
];
/// 1021 guests: more than a host runs.
const PREFIX: u8 = 22;

/// The node's network.
#[derive(Debug, Default)]
pub struct GuestNetwork {
    /// Addresses that guests must not reach besides the host's own: the control plane's.
    closed: BTreeSet<Ipv4Addr>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gateway: Option<Ipv4Addr>,
    filtered: BTreeSet<Ipv4Addr>,
    trouble: Option<String>,
}

impl GuestNetwork {
    /// A network that is not started yet, from which these addresses can't be reached.
    pub fn new(closed: BTreeSet<Ipv4Addr>) -> Self {
        Self { closed, state: Mutex::default() }
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// Starts what is not running, and closes addresses that the host has got since. Cheap when all is well.
    pub fn keep(&self, libvirt: &Connect) {
        let mut state = self.state.lock();
        match self.try_keep(libvirt, &mut state) {
            Ok(()) => state.trouble = None,
            Err(failure) => {
                let sentence = format!("guests get no network: {}", failure.with_causes());
                if state.trouble.as_ref() != Some(&sentence) {
                    tracing::warn!(reason = sentence, "the guests' network does not run");
                }
                state.trouble = Some(sentence);
            }
        }
    }

    fn try_keep(&self, libvirt: &Connect, state: &mut State) -> Result<()> {
        let gateway = started(libvirt, state.gateway)?;
        let mut closed = filter::host_addresses()?;
        closed.extend(&self.closed);
        closed.remove(&gateway);
        if state.gateway != Some(gateway) || state.filtered != closed || state.trouble.is_some() {
            define_filter(libvirt, gateway, &closed)?;
            state.gateway = Some(gateway);
            state.filtered = closed;
        }
        Ok(())
    }

    /// Defines a guest at a free place in the network, or at none while there is no network. One at a time, so that no two
    /// guests get the same place.
    pub fn place<T>(
        &self,
        libvirt: &Connect,
        id: Id<Instance>,
        define: impl FnOnce(Option<Port>) -> Result<T>,
    ) -> Result<T> {
        let state = self.state.lock();
        let port = match state.gateway.filter(|_| state.trouble.is_none()) {
            Some(gateway) => Some(free_port(libvirt, gateway, id)?),
            None => None,
        };
        define(port)
    }
}

/// The running network's gateway; starts it, and makes it, if need be.
fn started(libvirt: &Connect, before: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
    let remedy = || "libvirt can't define networks: install libvirt-daemon-config-network, dnsmasq-base and iptables, then restart libvirt";
    let known = found(Network::lookup_by_name(libvirt, NAME), ErrorNumber::NoNetwork, "a network cirro");
    let known = known.or_say(remedy)?;
    if let Some(network) = known {
        if !network.is_active().or_say(|| "libvirt can't say whether the network cirro runs")? {
            network.create().or_say(
                || "the network cirro does not start; see libvirt's log, or remove it with `virsh net-undefine cirro`",
            )?;
        }
        return before.map_or_else(|| gateway_of(&network), Ok);
    }
    let mut last = None;
    for gateway in GATEWAYS {
        let network = Network::define_xml(libvirt, &to_element(gateway).write()?).or_say(remedy)?;
        match network.create() {
            Ok(_) => {
                network.set_autostart(true).or_say(|| "the network cirro can't be started with the host")?;
                return Ok(gateway);
            }
            Err(error) => {
                network.undefine().or_say(|| "the network cirro can't be removed again")?;
                last = Some(error);
            }
        }
    }
    let sentence = "the network cirro does not start: install dnsmasq-base and iptables, and see libvirt's log";
    Err(last.map_or_else(|| Failure::new(sentence), |error| Failure::because(sentence, error)))
}

/// Every place has its hardware address and its network address from the start: giving one to a guest costs no change of
/// the network (0.1 to 0.8 s), and an address that is used again meets no lease of its former guest.
fn to_element(gateway: Ipv4Addr) -> Element {
    let hosts = places(gateway).map(|address| Element::new("host").with("mac", mac(address)).with("ip", address));
    Element::new("network")
        .child(Element::new("name").text(NAME))
        .child(Element::new("bridge").with("name", BRIDGE).with("stp", "off").with("delay", 0))
        .child(Element::new("forward").with("mode", "nat"))
        .child(
            Element::new("ip")
                .with("address", gateway)
                .with("prefix", PREFIX)
                // Without a range: only the addresses of places are given out.
                .child(Element::new("dhcp").children(hosts)),
        )
}

/// The addresses that guests can have: all but the network's own, the gateway and the broadcast address.
fn places(gateway: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> + Clone {
    let last = (u32::from(gateway) | (u32::MAX >> PREFIX)) - 1;
    (u32::from(gateway) + 1..=last).map(Ipv4Addr::from)
}

/// A place's hardware address, marked as locally administered.
fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("52:c1:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn gateway_of(network: &Network) -> Result<Ipv4Addr> {
    let xml = Element::parse(&network.get_xml_desc(0).or_say(|| "libvirt can't show the network cirro")?)?;
    let address = xml.find(&["ip"]).and_then(|ip| ip.get("address")?.parse().ok());
    address.ok_or_else(|| Failure::new("the network cirro has no address: remove it with `virsh net-undefine cirro`"))
}

/// A place that no domain has. The search begins where the id says, so that agents that share a host do not meet.
fn free_port(libvirt: &Connect, gateway: Ipv4Addr, id: Id<Instance>) -> Result<Port> {
    let mut used = BTreeSet::new();
    for domain in libvirt.list_all_domains(0).or_say(|| "libvirt can't list its domains")? {
        // One that goes away meanwhile needs no place any more.
        let Ok(xml) = domain.get_xml_desc(sys::VIR_DOMAIN_XML_INACTIVE) else { continue };
        let xml = Element::parse(&xml)?;
        let cards = xml.find(&["devices"]).into_iter().flat_map(|devices| devices.all("interface"));
        used.extend(cards.filter_map(|card| Some(card.find(&["mac"])?.get("address")?.to_owned())));
    }
    let count = places(gateway).count();
    let begin = usize::try_from(id.uuid().as_u128() & 0xffff_ffff).unwrap_or(0) % count;
    let free = places(gateway).cycle().skip(begin).take(count).find(|address| !used.contains(&mac(*address)));
    let address =
        free.ok_or_else(|| Failure::new("the network cirro has no free address: delete instances on this node"))?;
    Ok(Port { network: NAME.to_owned(), filter: FILTER.to_owned(), mac: mac(address), address })
}

fn define_filter(libvirt: &Connect, gateway: Ipv4Addr, closed: &BTreeSet<Ipv4Addr>) -> Result<()> {
    // Where the part is not installed, already the question fails.
    let remedy = || "libvirt can't filter guests' traffic: install libvirt-daemon-config-nwfilter, ebtables and iptables, then restart libvirt";
    let known = found(NWFilter::lookup_by_name(libvirt, FILTER), ErrorNumber::NoNwfilter, "a filter").or_say(remedy)?;
    let uuid = known.and_then(|filter| filter.get_uuid_string().ok());
    let xml = filter::to_element(FILTER, uuid.as_deref(), gateway, PREFIX, closed).write()?;
    NWFilter::define_xml(libvirt, &xml).map(|_| ()).or_say(remedy)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step fails the test")]
mod tests {
    use super::*;

    /// libvirt's own test driver knows networks but no filters, like a host where a package is missing.
    #[test]
    fn without_filters_guests_get_no_network_and_the_node_says_why() {
        let libvirt = Connect::open(Some("test:///default")).unwrap();
        let network = GuestNetwork::new(BTreeSet::new());
        network.keep(&libvirt);
        let trouble = network.trouble().unwrap();
        assert!(trouble.starts_with("guests get no network: "), "{trouble}");
        assert!(trouble.contains("install libvirt-daemon-config-nwfilter"), "{trouble}");
        let port = network.place(&libvirt, Id::new(), |port| Ok(port.is_some())).unwrap();
        assert!(!port, "a guest is defined without a card");
    }
}
