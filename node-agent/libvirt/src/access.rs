//! Lets QEMU's own user pass through the node's directories, and nobody else. libvirt gives it the files that it needs when
//! a guest starts (dynamic ownership) and takes them back afterwards; the way to them is ours to open.

use crate::xml::Element;
use cirro_node_agent_core::failure::{Failure, OrSay, Result};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// The user that QEMU runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QemuUser {
    uid: u32,
    gid: u32,
}

impl QemuUser {
    /// The user that libvirt names in its capabilities: `<baselabel type='kvm'>+64055:+108</baselabel>`. None where
    /// libvirt does not separate QEMU from itself.
    pub fn of(capabilities: &str) -> Result<Option<Self>> {
        let capabilities = Element::parse(capabilities)?;
        let host = capabilities.find(&["host"]);
        let dac = host
            .iter()
            .flat_map(|host| host.all("secmodel"))
            .find(|model| model.find(&["model"]).is_some_and(|name| name.inner_text() == "dac"));
        let label = dac.and_then(|model| model.find(&["baselabel"])).map(|label| label.inner_text().replace('+', ""));
        let ids = label.as_deref().and_then(|label| label.split_once(':'));
        Ok(ids.and_then(|(uid, gid)| Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })))
    }

    /// Lets this user pass through a directory of ours, by an access control list, or by the group where the file system
    /// has no such lists.
    pub fn let_through(self, directory: &Path) -> Result<()> {
        let trouble = || format!("can't open {} to QEMU's user: check its owner", directory.display());
        let listed =
            rustix::fs::setxattr(directory, "system.posix_acl_access", &acl(self.uid), rustix::fs::XattrFlags::empty());
        if listed.is_ok() {
            return Ok(());
        }
        std::os::unix::fs::chown(directory, None, Some(self.gid)).or_say(trouble)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o710)).or_say(trouble)
    }

    /// Refuses a directory that QEMU can't reach because one above it is closed to others.
    /// Those in `opened` let it through already.
    pub fn require_way_to(self, directory: &Path, opened: &Path) -> Result<()> {
        for above in directory.ancestors().skip(1).filter(|path| !path.starts_with(opened)) {
            let meta = fs::metadata(above).or_say(|| format!("can't look at {}", above.display()))?;
            let mode = meta.mode();
            let passes = mode & 0o001 != 0
                || (meta.uid() == self.uid && mode & 0o100 != 0)
                || (meta.gid() == self.gid && mode & 0o010 != 0)
                || self.uid == 0;
            if !passes {
                return Err(Failure::new(format!(
                    "QEMU's user {} can't pass through {} to reach {}: choose another data directory (such as \
                     /var/lib/cirro), or allow it with `chmod o+x {}`",
                    self.uid,
                    above.display(),
                    directory.display(),
                    above.display()
                )));
            }
        }
        Ok(())
    }
}

/// An access control list as Linux stores it (`posix_acl_xattr.h`): everything to the owner, passing to
/// one user, nothing to all others.
fn acl(uid: u32) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    const ENTRIES: [(u16, u16); 5] = [(0x01, 7), (0x02, 1), (0x04, 0), (0x10, 1), (0x20, 0)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights) in ENTRIES {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend((if tag == 0x02 { uid } else { NOBODY }).to_le_bytes());
    }
    list
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{QemuUser, acl};

    #[test]
    fn the_user_stands_in_the_capabilities() {
        let text = "<capabilities><host><secmodel><model>none</model></secmodel><secmodel><model>dac</model>\
                    <baselabel type='kvm'>+64055:+108</baselabel></secmodel></host></capabilities>";
        assert_eq!(QemuUser::of(text).unwrap(), Some(QemuUser { uid: 64055, gid: 108 }));
        assert_eq!(QemuUser::of("<capabilities/>").unwrap(), None);
    }

    #[test]
    fn the_list_is_what_setfacl_writes() {
        let list = acl(64055);
        assert_eq!(list.len(), 4 + 5 * 8);
        assert_eq!(list[12..20], [2, 0, 1, 0, 0x37, 0xfa, 0, 0]);
    }
}
