//! What a guest can reach, of its host and of other guests, tried from inside guests; and a guest that switches itself
//! off.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::compute::instance::InstanceStatus;
use cirro_node_agent::filter::host_addresses;
use kit::{BOOT, Bench, SOON};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Prints one line for each address: whether a connection can be made. Its last act is to switch the guest off.
const SCRIPT: &str = r#"#!/bin/sh
try() { if timeout 3 nc "$1" "$2" </dev/null >/dev/null 2>&1; then echo "PROBE $1 $2 open"; else echo "PROBE $1 $2 closed"; fi >/dev/console; }
gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
for address in $gateway ADDRESSES; do try "$address" PORT; done
try "$gateway" 53
own=$(ip -4 addr show dev eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p')
if timeout 5 nslookup localhost "$gateway" >/dev/null 2>&1; then echo "DNS own answers"; else echo "DNS own silent"; fi >/dev/console
ip addr add "${own%.*}.250/20" dev eth0; ip addr del "$own/20" dev eth0; ip route add default via "$gateway" 2>/dev/null
if timeout 5 nslookup localhost "$gateway" >/dev/null 2>&1; then echo "DNS forged answers"; else echo "DNS forged silent"; fi >/dev/console
echo "PROBE over" >/dev/console
sync; poweroff
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reaches_no_service_of_its_host() {
    let bench = Bench::new().await;
    // Reachable on every address of the host, as an API may be.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || for _guest in listener.incoming() {});
    let addresses = host_addresses().unwrap();
    assert!(addresses.len() >= 2, "the bridge's address and another one: {addresses:?}");
    for address in &addresses {
        TcpStream::connect(SocketAddr::from((*address, port))).expect("the host itself reaches its service");
    }
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let script = SCRIPT.replace("ADDRESSES", &words.join(" ")).replace("PORT", &port.to_string());
    let spec = bench.spec_that_runs("curious", &script);
    let id = spec.id;
    bench.desk.order(spec);
    let text = bench.console(id, "PROBE over", BOOT).await;
    println!("{text}");
    for address in &words {
        assert!(text.contains(&format!("PROBE {address} {port} closed")), "{address} is closed:\n{text}");
    }
    assert!(!text.contains(&format!("{port} open")), "nothing of the host is open:\n{text}");
    assert!(text.contains(" 53 open"), "DNS is allowed:\n{text}");
    assert!(text.contains("DNS own answers"), "DNS answers the guest's own address:\n{text}");
    assert!(text.contains("DNS forged silent"), "nothing leaves from an address that is not the guest's:\n{text}");

    // It has switched itself off: that is reported, and it stays off.
    bench.seen(id, "it is off", SOON, |seen| seen.status == InstanceStatus::Stopped).await;
    let domain = bench.virsh(&["domstate", "--reason", &id.to_string()]);
    assert_eq!(domain.trim(), "shut off (shutdown)");
    bench.bury(&[id]).await;
}

/// Answers on port 8080, and tells it once it has reached that itself, by the address that its neighbours would use.
const NEIGHBOUR: &str = r#"#!/bin/sh
own=$(ip -4 addr show dev eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p')
ip link set lo up
nc -ll -p 8080 -e echo hello >/dev/null 2>&1 &
until nc "$own" 8080 </dev/null 2>/dev/null | grep -q hello; do sleep 1; done
echo "NEIGHBOUR $own answers" >/dev/console
"#;

/// Tries the neighbour, with and without a way to it that avoids the gateway.
const STRANGER: &str = r#"#!/bin/sh
try() { if timeout 3 nc ADDRESS 8080 </dev/null 2>/dev/null | grep -q hello; then echo "PROBE $1 open"; else echo "PROBE $1 closed"; fi >/dev/console; }
try bridge
if ping -c 2 -W 2 ADDRESS >/dev/null 2>&1; then echo "PROBE ping open"; else echo "PROBE ping closed"; fi >/dev/console
gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
ip route add ADDRESS/32 via "$gateway"
try gateway
echo "PROBE over" >/dev/console
"#;

#[tokio::test(flavor = "multi_thread")]
async fn guests_do_not_reach_each_other() {
    let bench = Bench::new().await;
    let neighbour = bench.spec_that_runs("neighbour", NEIGHBOUR);
    let first = neighbour.id;
    bench.desk.order(neighbour);
    let text = bench.console(first, " answers", BOOT).await;
    let told = text.lines().find_map(|line| line.strip_prefix("NEIGHBOUR ")?.strip_suffix(" answers")?.parse().ok());
    let address: Ipv4Addr = told.unwrap_or_else(|| panic!("no address in:\n{text}"));
    let stranger = bench.spec_that_runs("stranger", &STRANGER.replace("ADDRESS", &address.to_string()));
    let second = stranger.id;
    bench.desk.order(stranger);
    let text = bench.console(second, "PROBE over", BOOT).await;
    for way in ["bridge", "ping", "gateway"] {
        assert!(text.contains(&format!("PROBE {way} closed")), "{way} is closed:\n{text}");
    }
    bench.bury(&[first, second]).await;
}
