//! The authority of this installation and what it does by itself: it is made at the first start, its certificate lies in the
//! data directory for whoever is to trust it, and certificates in use are issued anew before their end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_services::acm;
use longshore_wire::Fault;

use crate::root_key::write_private;
use crate::{Error, Server, clock};

/// The authority's certificate in PEM, which everybody may read.
const FILE: &str = "ca.pem";

/// How often certificates are looked at.
const PERIOD: Duration = Duration::from_secs(60 * 60);

impl Server {
    /// Makes the authority if there is none, and writes its certificate down.
    ///
    /// # Errors
    /// When the store or the disk does not take it.
    pub(crate) async fn ensure_authority(&self, data_dir: &Path) -> Result<(), Error> {
        let (vault, now) = (&self.settings.vault, clock::wall());
        let made = self
            .store
            .transact(|state, changes| acm::local_authority(state, changes, &mut clock::mint(), (vault, now)));
        let (authority, revision) = made.map_err(|_: Fault| longshore_store::Error::Full)?;
        self.store.durable(revision).await.map_err(|_| Error::StoreFailed)?;
        let path = data_dir.join(FILE);
        write_down(&path, authority.certificate.as_bytes()).map_err(|source| Error::File { path, source })
    }
}

fn write_down(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::read(path).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    write_private(path, bytes)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// Issues certificates anew as they come to their end, one after the other. One that cannot be is tried again with the next look.
pub(crate) async fn renew(server: Arc<Server>) {
    loop {
        let due = acm::due(&server.store.read(), clock::wall());
        for certificate in due {
            renew_one(server.clone(), certificate).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn renew_one(server: Arc<Server>, certificate: String) {
    let key = certificate.clone();
    let renewed = tokio::task::spawn_blocking(move || {
        acm::renew(&server.store, (&server.settings.vault, clock::wall()), &mut clock::mint(), &key)
    });
    match renewed.await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::error!(%fault, certificate, "a certificate could not be issued anew"),
        Err(error) => tracing::error!(%error, certificate, "a certificate could not be looked at"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_may_be_read_by_everybody_and_is_written_again_when_it_is_another() {
        let directory = std::env::temp_dir().join(format!("longshore-ca-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(FILE);
        for text in ["one", "one", "other"] {
            write_down(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
