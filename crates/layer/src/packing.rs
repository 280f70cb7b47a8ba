//! How a layer is packed.

/// Media types of layers that are never unpacked, whatever their first bytes are.
const PLAIN: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"];

/// What a layer's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// The largest window that zstd may ask for, as a power of two: 64 MiB. Packers take 8 MiB unless told otherwise.
    pub const LARGEST_WINDOW: u32 = 26;

    /// As containerd decides: OCI's type of a plain archive is believed, otherwise the first four bytes say it. Whether it is
    /// gzip or zstd that a type names does not matter.
    #[must_use]
    pub fn of(media_type: &str, head: &[u8]) -> Self {
        match head {
            _ if PLAIN.contains(&media_type) => Self::None,
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame of zstd may be one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_plain_archive_is_believed_and_no_other() {
        let oci = "application/vnd.oci.image.layer.v1.tar";
        let rows = [
            (oci, &b"\x1f\x8b\x08\0"[..], Packing::None),
            ("application/vnd.oci.image.layer.v1.tar+gzip", b"\x1f\x8b\x08\0", Packing::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+gzip", b"\x28\xb5\x2f\xfd", Packing::Zstd),
            ("application/vnd.oci.image.layer.v1.tar+zstd", b"\x53\x2a\x4d\x18", Packing::Zstd),
            ("application/vnd.oci.image.layer.v1.tar+zstd", b"etc/", Packing::None),
            ("application/vnd.docker.image.rootfs.diff.tar", b"\x1f\x8b\x08\0", Packing::Gzip),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", b"\x1f\x8b", Packing::None),
            ("", b"", Packing::None),
        ];
        for (media_type, head, expected) in rows {
            assert_eq!(Packing::of(media_type, head), expected, "{media_type} {head:?}");
        }
    }
}
