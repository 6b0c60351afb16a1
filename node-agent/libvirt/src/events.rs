//! libvirt's events, which only its C interface offers: the one file of Cirro with unsafe code.
//!
//! An event here is nothing but a wake: who is woken looks for itself, so no event's content crosses the border.
#![allow(unsafe_code, reason = "virConnectDomainEventRegisterAny is in no safe binding")]

use cirro_node_agent_core::failure::{Failure, OrSay, Result};
use std::{
    ffi::{c_char, c_int, c_void},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};
use tokio::sync::Notify;
use virt::{connect::Connect, event};
use virt_sys as sys;

/// What may need something to be done: power changes, and disks that have come or gone.
const WATCHED: [sys::virDomainEventID; 3] = [
    sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
];

/// Starts the thread that serves events and keepalives of all connections. It must run before the first connection is
/// opened; later calls do nothing.
pub fn serve() -> Result<()> {
    static SERVED: OnceLock<Result<(), String>> = OnceLock::new();
    let begin = || {
        event::event_register_default_impl().map_err(|error| error.to_string())?;
        let turn = || {
            loop {
                // The loop's own failures (a bad file descriptor of a dying connection) pass; turning without pause does not help.
                if event::event_run_default_impl().is_err() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        };
        thread::Builder::new()
            .name("libvirt-events".to_owned())
            .spawn(turn)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    SERVED.get_or_init(begin).clone().or_say(|| "libvirt's events can't be served: is the process out of threads?")
}

/// Wakes `changes` whenever something happens to a guest of this connection, for as long as the connection lives.
pub fn watch(connection: &Connect, changes: &Arc<Notify>) -> Result<()> {
    for event in WATCHED {
        let opaque = Arc::into_raw(changes.clone()).cast::<c_void>().cast_mut();
        // SAFETY: the connection is open for as long as it is borrowed. libvirt calls `wake` with the `opaque` given
        // here, which stays valid until libvirt calls `forget` with it, exactly once, when the registration ends with
        // the connection. The callback has the signature of its kind of event, see
        // `callback_for`.
        let registered = unsafe {
            let id = c_int::try_from(event).unwrap_or(-1);
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                std::ptr::null_mut(),
                id,
                Some(callback_for(event)),
                opaque,
                Some(forget),
            )
        };
        if registered < 0 {
            // SAFETY: libvirt did not take the pointer, so it is ours to give back.
            drop(unsafe { Arc::from_raw(opaque.cast_const().cast::<Notify>()) });
            return Err(Failure::because("libvirt does not send events", virt::error::Error::last_error()));
        }
    }
    Ok(())
}

/// What libvirt takes for any event.
type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
/// What it calls for LIFECYCLE: `virConnectDomainEventCallback` in libvirt-domain.h.
type Lifecycle = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
/// What it calls for `DEVICE_ADDED` and `DEVICE_REMOVED`: `virConnectDomainEventDeviceAddedCallback` there.
type Device = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);

/// Each kind of event has a callback type of its own; libvirt casts it back from the generic one.
fn callback_for(event: sys::virDomainEventID) -> Generic {
    if event == sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE {
        // SAFETY: libvirt calls what is registered under LIFECYCLE with exactly this signature.
        unsafe { std::mem::transmute::<Lifecycle, Generic>(on_lifecycle) }
    } else {
        // SAFETY: as above, for the two other kinds that are watched.
        unsafe { std::mem::transmute::<Device, Generic>(on_device) }
    }
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _: c_int,
    _: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: see `watch`.
    unsafe { wake(opaque) };
    0
}

unsafe extern "C" fn on_device(_: sys::virConnectPtr, _: sys::virDomainPtr, _: *const c_char, opaque: *mut c_void) {
    // SAFETY: see `watch`.
    unsafe { wake(opaque) };
}

/// # Safety
/// `opaque` comes from `Arc::<Notify>::into_raw` and has not been given back.
unsafe fn wake(opaque: *mut c_void) {
    // SAFETY: the caller's promise; only borrowed here.
    let changes = unsafe { &*opaque.cast_const().cast::<Notify>() };
    changes.notify_one();
}

unsafe extern "C" fn forget(opaque: *mut c_void) {
    // SAFETY: libvirt calls this once for each registration, and never uses `opaque` again.
    drop(unsafe { Arc::from_raw(opaque.cast_const().cast::<Notify>()) });
}
