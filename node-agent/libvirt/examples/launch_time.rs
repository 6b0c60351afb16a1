//! Measures what the agent adds to a launch: from the order to libvirt's domain running, with the image cached, beside
//! `virsh define` and `virsh start` of the same XML. Needs the variables of the tests with a real libvirt.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that can't go on has nothing to say")]

#[path = "../tests/kit/mod.rs"]
#[allow(unreachable_pub, missing_docs, reason = "a kit for tests")]
mod kit;

use cirro_models::{Id, compute::instance::Power};
use kit::Bench;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let bench = Bench::new().await;
    let (mut agents, mut virshs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let spec = bench.spec(&format!("bench{round}"));
        let id = spec.id;
        let begin = Instant::now();
        bench.desk.order(spec);
        bench.running(id).await;
        let agent = begin.elapsed();

        // The same machine again, by hand and under another name.
        bench.desk.wish(id, Power::Stopped, true);
        bench.domain_is(id, "shut off", kit::SOON).await;
        let twin = Id::<()>::new().to_string();
        let xml = bench.virsh(&["dumpxml", "--inactive", &id.to_string()]).replace(&id.to_string(), &twin);
        // The metadata and the files keep their names; only the domain is another one.
        let xml =
            xml.replace(&format!("instances/{twin}"), &format!("instances/{id}")).replace("<name>", "<name>twin-");
        let without_mark = xml
            .find("<metadata>")
            .zip(xml.find("</metadata>"))
            .map(|(from, to)| xml[..from].to_owned() + &xml[to + "</metadata>".len()..]);
        let file = bench.config.data_dir.join("twin.xml");
        std::fs::write(&file, without_mark.unwrap()).unwrap();
        let begin = Instant::now();
        bench.virsh(&["define", &file.display().to_string()]);
        let said = bench.virsh(&["start", &twin]);
        let virsh = begin.elapsed();
        assert!(said.contains("started"), "{said}");
        bench.virsh(&["destroy", &twin]);
        bench.virsh(&["undefine", &twin]);
        bench.bury(&[id]).await;
        // The first round fetches the image.
        if round > 0 {
            agents.push(agent);
            virshs.push(virsh);
        }
    }
    let (agent, virsh) = (median(agents), median(virshs));
    println!("order to running, agent   {:>5} ms", agent.as_millis());
    println!("define + start, virsh     {:>5} ms", virsh.as_millis());
    println!("difference                {:>5} ms", agent.saturating_sub(virsh).as_millis());
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
