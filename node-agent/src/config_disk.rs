//! The disk from which a guest's first boot learns who it is: cloud-init's `NoCloud`, on a small vfat file system labelled `CIDATA`.
//! <https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html>

use crate::failure::{OrSay, Result};
use cirro_models::compute::assignment::InstanceSpec;
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Large enough for the largest user-data and all keys that an instance can have; sparse.
const SIZE: u64 = 4 << 20;

/// Writes the disk, readable by its owner only: user-data holds secrets.
pub fn write(spec: &InstanceSpec, path: &Path) -> Result<()> {
    fill(spec, path).or_say(|| format!("can't write the config disk {}: check the disk room", path.display()))
}

fn fill(spec: &InstanceSpec, path: &Path) -> io::Result<()> {
    let image = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    image.set_len(SIZE)?;
    // FAT12 is what this size calls for; every kernel with vfat reads it.
    let options = FormatVolumeOptions::new().volume_label(*b"CIDATA     ").fat_type(FatType::Fat12);
    format_volume(&image, options)?;
    {
        let volume = FileSystem::new(&image, FsOptions::new())?;
        let root = volume.root_dir();
        for (name, text) in [
            ("meta-data", meta_data(spec)),
            ("user-data", user_data(spec)),
            ("network-config", NETWORK_CONFIG.to_owned()),
        ] {
            let mut file = root.create_file(name)?;
            file.truncate()?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
        }
    }
    image.sync_all()
}

/// Whatever the guest's network card is called, it asks for its address.
const NETWORK_CONFIG: &str = "version: 2\nethernets:\n  primary:\n    match:\n      name: \"e*\"\n    dhcp4: true\n";

fn meta_data(spec: &InstanceSpec) -> String {
    let mut text = format!("instance-id: {}\nlocal-hostname: {}\n", spec.id, spec.name);
    if !spec.ssh_keys.is_empty() {
        text.push_str("public-keys:\n");
        text.push_str(&key_list(spec, "  "));
    }
    text
}

fn user_data(spec: &InstanceSpec) -> String {
    match &spec.user_data {
        Some(own) => own.expose().to_owned(),
        None if spec.ssh_keys.is_empty() => "#cloud-config\n{}\n".to_owned(),
        None => format!("#cloud-config\nssh_authorized_keys:\n{}", key_list(spec, "  ")),
    }
}

/// The keys as a YAML list. A JSON string is a YAML string, whatever it holds.
fn key_list(spec: &InstanceSpec, indent: &str) -> String {
    spec.ssh_keys
        .iter()
        .fold(String::new(), |list, key| list + indent + "- " + &Value::from(key.as_str()).to_string() + "\n")
}
