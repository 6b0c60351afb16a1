//! Domains as both of libvirt's drivers have them: which are ours, what they are doing, and how they are described.

use crate::{connection::found, domain, mark, xml::Element};
use cirro_models::{
    Id,
    compute::{Instance, Node, assignment::InstanceSpec},
};
use cirro_node_agent_core::{
    failure::{Failure, OrSay, Result},
    guest::{GuestState, Mark, OffCause},
};
use virt::{connect::Connect, domain::Domain, error::ErrorNumber};
use virt_sys as sys;

pub(crate) fn not_here(id: Id<Instance>) -> Failure {
    Failure::new(format!("there is no guest of instance {id} on this node"))
}

pub(crate) fn require_off(domain: &Domain) -> Result<()> {
    if state_of(domain)?.is_on() {
        return Err(Failure::new("the guest runs: its size stays until it is off"));
    }
    Ok(())
}

pub(crate) fn exists(libvirt: &Connect, id: Id<Instance>) -> Result<bool> {
    Ok(found(Domain::lookup_by_uuid(libvirt, id.uuid()), ErrorNumber::NoDomain, "a domain")?.is_some())
}

/// The domain of an instance, if there is one; an error if somebody else's domain has its id.
pub(crate) fn own(libvirt: &Connect, id: Id<Instance>, node: Id<Node>) -> Result<Option<Domain>> {
    let looked_up = Domain::lookup_by_uuid(libvirt, id.uuid());
    let Some(domain) = found(looked_up, ErrorNumber::NoDomain, "a domain")? else { return Ok(None) };
    match mark_of(&domain, node)? {
        Some(mark) if mark.id == id => Ok(Some(domain)),
        _ => Err(Failure::new(format!(
            "a domain with the id {id} is on this node, but does not belong to it: it is left alone; remove it with virsh if \
             it is not needed"
        ))),
    }
}

/// A domain's mark, if it is a guest of this node. A copy that somebody has made by hand has its original's mark, and is none.
pub(crate) fn mark_of(domain: &Domain, node: Id<Node>) -> Result<Option<Mark>> {
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(2);
    match domain.get_metadata(kind, Some(mark::NAMESPACE), sys::VIR_DOMAIN_AFFECT_CONFIG) {
        Ok(text) => {
            let id = domain.get_uuid().or_say(|| "libvirt can't say which domain one is")?;
            Ok(mark::from_element(&Element::parse(&text)?, node).filter(|mark| mark.id.uuid() == id))
        }
        // A transient domain has no stored description; ours are never transient.
        Err(error)
            if matches!(
                error.code(),
                ErrorNumber::NoDomainMetadata | ErrorNumber::NoDomain | ErrorNumber::OperationInvalid
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::because("libvirt can't show a domain's metadata", error)),
    }
}

pub(crate) fn state_of(domain: &Domain) -> Result<GuestState> {
    let (state, reason) = domain.get_state().or_say(|| "libvirt can't say whether a guest runs")?;
    Ok(match state {
        // libvirt starts every guest paused for a moment: nobody paused it
        sys::VIR_DOMAIN_PAUSED if u32::try_from(reason) == Ok(sys::VIR_DOMAIN_PAUSED_STARTING_UP) => {
            GuestState::Running
        }
        sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED => GuestState::Paused,
        sys::VIR_DOMAIN_SHUTOFF if u32::try_from(reason) == Ok(sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN) => {
            GuestState::Off(OffCause::Guest)
        }
        sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_CRASHED => GuestState::Off(OffCause::Host),
        _ => GuestState::Running,
    })
}

/// What a domain is now, and what it will be after a restart.
pub(crate) fn descriptions(domain: &Domain) -> Result<(Element, Element)> {
    let read = |flags| -> Result<Element> {
        Element::parse(&domain.get_xml_desc(flags).or_say(|| "libvirt can't show a guest")?)
    };
    let kept = read(sys::VIR_DOMAIN_XML_INACTIVE)?;
    Ok((read(0)?, kept))
}

pub(crate) fn switch_off(domain: &Domain) -> Result<()> {
    if state_of(domain)?.is_on() {
        domain.destroy().or_say(|| "libvirt could not pull the guest's plug")?;
    }
    Ok(())
}

/// Gives an instance's domain, which is off, another size and this mark.
pub(crate) fn resize(libvirt: &Connect, spec: &InstanceSpec, mark: &Mark, node: Id<Node>) -> Result<()> {
    let domain = own(libvirt, spec.id, node)?.ok_or_else(|| not_here(spec.id))?;
    require_off(&domain)?;
    let xml = domain::resized(descriptions(&domain)?.1, spec, mark, node).write()?;
    Domain::define_xml(libvirt, &xml).map(drop).or_say(|| format!("libvirt refuses the new size of {}", spec.name))
}

/// Replaces a domain's mark.
pub(crate) fn note(domain: &Domain, mark: &Mark, node: Id<Node>) -> Result<()> {
    let xml = mark::to_bare_element(mark, node).write()?;
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(2);
    let stored = sys::VIR_DOMAIN_AFFECT_CONFIG;
    let noted = domain.set_metadata(kind, Some(&xml), Some(mark::PREFIX), Some(mark::NAMESPACE), stored);
    noted.map(drop).or_say(|| "libvirt can't store what was ordered of a guest")
}

/// Switches a domain on, if it is off.
pub(crate) fn switch_on(domain: &Domain) -> Result<()> {
    if state_of(domain)?.is_on() {
        return Ok(());
    }
    let started = domain.create();
    started
        .map(drop)
        .map_err(|error| Failure::because(format!("libvirt could not start the guest ({})", error.message()), error))
}
