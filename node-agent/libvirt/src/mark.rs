//! A guest's mark as an element of its domain's metadata.

use crate::xml::Element;
use cirro_models::{Generation, GiB, Id, MiB, Vcpus, compute::Node};
use cirro_node_agent_core::guest::{Mark, Order};

/// The namespace of Cirro's metadata.
pub const NAMESPACE: &str = "urn:cirro:guest:1";
/// The prefix that libvirt gives it.
pub const PREFIX: &str = "cirro";

/// The element as it stands inside `<metadata>`.
pub fn to_element(mark: &Mark, node: Id<Node>) -> Element {
    let mut element = to_bare_element(mark, node).with(&format!("xmlns:{PREFIX}"), NAMESPACE);
    element.name = format!("{PREFIX}:{}", element.name);
    element
}

/// The element as libvirt wants it when it adds the namespace itself.
pub fn to_bare_element(mark: &Mark, node: Id<Node>) -> Element {
    let (order, action) = match mark.order {
        Order::Start => ("start", None),
        Order::Running => ("running", None),
        Order::Stop => ("stop", None),
        Order::OffByItself => ("off-by-itself", None),
        Order::Restart(action) => ("restart", Some(action)),
    };
    let done: Vec<String> = mark.done.iter().map(ToString::to_string).collect();
    let element = Element::new("guest")
        .with("node", node)
        .with("id", mark.id)
        .with("generation", mark.generation.get())
        .with("name", &mark.name)
        .with("project", mark.project_id)
        .with("image", mark.image_id)
        .with("vcpus", mark.vcpus.get())
        .with("memory_mib", mark.memory_mib.get())
        .with("disk_gib", mark.disk_gib.get())
        .with("root", mark.root_generation.get())
        .with("order", order)
        .with("done", done.join(" "));
    match action {
        None => element,
        Some(action) => element.with("action", action),
    }
}

/// Reads a mark, if it is one of this node. Anything else belongs to somebody else.
pub fn from_element(element: &Element, node: Id<Node>) -> Option<Mark> {
    let number = |name: &str| element.get(name)?.parse::<i64>().ok();
    if element.get("node")? != node.to_string() {
        return None;
    }
    let order = match element.get("order")? {
        "start" => Order::Start,
        "running" => Order::Running,
        "stop" => Order::Stop,
        "off-by-itself" => Order::OffByItself,
        "restart" => Order::Restart(element.get("action")?.parse().ok()?),
        _ => return None,
    };
    Some(Mark {
        id: element.get("id")?.parse().ok()?,
        generation: Generation::new(number("generation")?),
        name: element.get("name")?.to_owned(),
        project_id: element.get("project")?.parse().ok()?,
        image_id: element.get("image")?.parse().ok()?,
        vcpus: Vcpus::new(number("vcpus")?),
        memory_mib: MiB::new(number("memory_mib")?),
        disk_gib: GiB::new(number("disk_gib")?),
        // an agent of an earlier release did not write it
        root_generation: Generation::new(number("root").unwrap_or(0)),
        order,
        done: element.get("done")?.split_whitespace().filter_map(|id| id.parse().ok()).collect(),
    })
}
