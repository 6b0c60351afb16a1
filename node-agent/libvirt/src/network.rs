//! The node's network for guests: a bridge of its own with DHCP, DNS and NAT, run by libvirt, and the filter on every
//! guest's port. <https://libvirt.org/formatnetwork.html>

use crate::{
    connection::found,
    domain::{Port, mac},
    filter,
    xml::Element,
};
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
/// 4093 guests: many more than a host runs, so that a freed address rests before it is used again.
const PREFIX: u8 = 20;
/// Both the running network and the stored one.
const BOTH: sys::virNetworkUpdateFlags = sys::VIR_NETWORK_UPDATE_AFFECT_LIVE | sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG;

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
        let gateway = started(libvirt)?;
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

    /// The place of a guest in the network, reserved for it; none while there is no network.
    pub fn port(&self, libvirt: &Connect, id: Id<Instance>) -> Result<Option<Port>> {
        let state = self.state.lock();
        let Some(gateway) = state.gateway.filter(|_| state.trouble.is_none()) else { return Ok(None) };
        let network =
            Network::lookup_by_name(libvirt, NAME).or_say(|| "the network cirro has gone; it is made again")?;
        let mac = mac(id);
        let known = hosts(&network)?;
        let mine = known.iter().find(|host| host.0 == mac).map(|host| host.1);
        let address = match mine {
            Some(address) => address,
            None => reserve(&network, gateway, id, &mac, &known)?,
        };
        Ok(Some(Port { network: NAME.to_owned(), filter: FILTER.to_owned(), mac, address }))
    }

    /// Gives a guest's place back.
    pub fn release(&self, libvirt: &Connect, id: Id<Instance>) -> Result<()> {
        let _one_at_a_time = self.state.lock();
        let Ok(network) = Network::lookup_by_name(libvirt, NAME) else { return Ok(()) };
        let mac = mac(id);
        let Some((mac, address)) = hosts(&network)?.into_iter().find(|host| host.0 == mac) else { return Ok(()) };
        update(&network, sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, &mac, address)
            .or_say(|| format!("the address {address} can't be given back"))
    }
}

/// The running network's gateway; starts it, and makes it, if need be.
fn started(libvirt: &Connect) -> Result<Ipv4Addr> {
    let known = found(Network::lookup_by_name(libvirt, NAME), ErrorNumber::NoNetwork, "a network cirro")?;
    if let Some(network) = known {
        if !network.is_active().or_say(|| "libvirt can't say whether the network cirro runs")? {
            network.create().or_say(
                || "the network cirro does not start; see libvirt's log, or remove it with `virsh net-undefine cirro`",
            )?;
        }
        return gateway_of(&network);
    }
    let mut last = None;
    for gateway in GATEWAYS {
        let network = Network::define_xml(libvirt, &to_element(gateway).write()?).or_say(|| {
            "libvirt can't define networks: install libvirt-daemon-config-network, dnsmasq-base and iptables, then restart libvirt"
        })?;
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

fn to_element(gateway: Ipv4Addr) -> Element {
    Element::new("network")
        .child(Element::new("name").text(NAME))
        .child(Element::new("bridge").with("name", BRIDGE).with("stp", "off").with("delay", 0))
        .child(Element::new("forward").with("mode", "nat"))
        .child(Element::new("ip").with("address", gateway).with("prefix", PREFIX).child(
            // Without a range: only guests that were given an address get one.
            Element::new("dhcp").child(host("52:00:00:00:00:00", last_of(gateway))),
        ))
}

fn host(mac: &str, address: Ipv4Addr) -> Element {
    // Short leases: an address that is given back is soon free for the next guest.
    Element::new("host")
        .with("mac", mac)
        .with("ip", address)
        .child(Element::new("lease").with("expiry", 5).with("unit", "minutes"))
}

/// The last address that a guest could have; it is kept for nobody, because libvirt runs no DHCP for a network without
/// any host.
fn last_of(gateway: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(gateway) | (u32::MAX >> PREFIX)) - 1)
}

fn gateway_of(network: &Network) -> Result<Ipv4Addr> {
    let xml = Element::parse(&network.get_xml_desc(0).or_say(|| "libvirt can't show the network cirro")?)?;
    let address = xml.find(&["ip"]).and_then(|ip| ip.get("address")?.parse().ok());
    address.ok_or_else(|| Failure::new("the network cirro has no address: remove it with `virsh net-undefine cirro`"))
}

fn hosts(network: &Network) -> Result<Vec<(String, Ipv4Addr)>> {
    let xml = Element::parse(&network.get_xml_desc(0).or_say(|| "libvirt can't show the network cirro")?)?;
    let dhcp = xml.find(&["ip", "dhcp"]);
    let hosts = dhcp.iter().flat_map(|dhcp| dhcp.all("host"));
    Ok(hosts.filter_map(|host| Some((host.get("mac")?.to_owned(), host.get("ip")?.parse().ok()?))).collect())
}

/// Takes a free address, beginning at one that follows from the id, so that an address is seldom used again soon.
fn reserve(
    network: &Network,
    gateway: Ipv4Addr,
    id: Id<Instance>,
    mac: &str,
    known: &[(String, Ipv4Addr)],
) -> Result<Ipv4Addr> {
    let used: BTreeSet<_> = known.iter().map(|host| host.1).collect();
    let (first, last) = (u32::from(gateway) + 1, u32::from(last_of(gateway)));
    let count = last - first;
    let begin = u32::try_from(id.uuid().as_u128() & 0xffff).unwrap_or(0) % count;
    let free = (0..count).map(|step| Ipv4Addr::from(first + (begin + step) % count)).filter(|a| !used.contains(a));
    // Another agent on this host may take one between our look and our update: try the next.
    let mut refused = None;
    for address in free.take(8) {
        match update(network, sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, mac, address) {
            Ok(()) => return Ok(address),
            Err(failure) => refused = Some(failure),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::new("the network cirro has no free address: delete instances on this node")))
}

fn update(network: &Network, command: sys::virNetworkUpdateCommand, mac: &str, address: Ipv4Addr) -> Result<()> {
    let xml = host(mac, address).write()?;
    network
        .update(command, sys::VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, &xml, BOTH)
        .or_say(|| format!("the address {address} can't be reserved in the network cirro"))
}

fn define_filter(libvirt: &Connect, gateway: Ipv4Addr, closed: &BTreeSet<Ipv4Addr>) -> Result<()> {
    let known = found(NWFilter::lookup_by_name(libvirt, FILTER), ErrorNumber::NoNwfilter, "a filter")?;
    let uuid = known.and_then(|filter| filter.get_uuid_string().ok());
    let xml = filter::to_element(FILTER, uuid.as_deref(), gateway, PREFIX, closed).write()?;
    NWFilter::define_xml(libvirt, &xml)
        .map(|_| ())
        .or_say(|| "libvirt can't filter guests' traffic: install libvirt-daemon-config-nwfilter, ebtables and iptables, then restart libvirt")
}
