//! The master key: where it comes from, and whether it is the one that the data was sealed with.
//!
//! ```text
//!     LONGSHORE_MASTER_KEY                          if it is set
//!     $CREDENTIALS_DIRECTORY/longshore-master-key   if it is there: a credential of systemd
//!     DATA/master-key                               else; made at the first start
//! ```
//! A key is 32 bytes: as they are, in base64, or in hexadecimal; in the environment, in one of the two latter.
//! `DATA/master-key-check` is a known word sealed with it. Another key does not open that, and is refused before anything
//! is served: what would be sealed with it could not be told from what was sealed before.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use longshore_services::Vault;
use longshore_services::vault::master_key as read;

use crate::Error;
use crate::root_key::{ensure, fresh_key, write_private};

/// The variable that holds a key.
pub(crate) const VARIABLE: &str = "LONGSHORE_MASTER_KEY";

const CREDENTIAL: &str = "longshore-master-key";
const FILE: &str = "master-key";
const CHECK: &str = "master-key-check";

/// What is sealed to be opened again, and what it is about.
const WORD: &str = "longshore";

/// The places outside of the data directory.
#[derive(Default)]
pub(crate) struct Outside {
    pub variable: Option<OsString>,
    /// Of systemd's credentials.
    pub directory: Option<PathBuf>,
}

impl Outside {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self { variable: given(VARIABLE), directory: given("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }
}

/// A key and where it was found, in words.
struct Found {
    key: [u8; 32],
    place: String,
}

/// The vault of a data directory. `is_sealed` opens with a vault what it can find in the records, and says whether all of
/// it opened: for data that has no check yet.
///
/// # Errors
/// [`Error::MasterKey`] if a key is not one, is not there, or is another one than that of the data; [`Error::File`].
pub(crate) fn vault(
    data_dir: &Path,
    outside: &Outside,
    is_sealed: impl FnOnce(&Vault) -> bool,
) -> Result<Vault, Error> {
    let check_path = data_dir.join(CHECK);
    let check = read_if_there(&check_path)?;
    let found = find(data_dir, outside, check.is_some())?;
    let vault = Vault::new(&found.key);
    let opens = match &check {
        Some(check) => vault.open_text(WORD, String::from_utf8_lossy(check).trim()).as_deref() == Some(WORD),
        None => is_sealed(&vault),
    };
    if !opens {
        let Found { place, .. } = found;
        let dir = data_dir.display();
        return Err(Error::MasterKey(format!("the one in {place} is not the one that {dir} was sealed with")));
    }
    if check.is_none() {
        let sealed = vault.seal(WORD, WORD.as_bytes());
        let sealed = sealed.map_err(|_| Error::MasterKey("nothing can be sealed with it".to_owned()))?;
        write_private(&check_path, sealed.as_bytes()).map_err(|source| Error::File { path: check_path, source })?;
    }
    Ok(vault)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

/// A key is made only where nothing was ever sealed.
fn find(data_dir: &Path, outside: &Outside, sealed: bool) -> Result<Found, Error> {
    if let Some(value) = &outside.variable {
        let key = value.to_str().filter(|text| text.len() != 32).and_then(|text| read(text.as_bytes()));
        let wrong = || Error::MasterKey(format!("{VARIABLE} does not hold 32 bytes in base64 or hexadecimal"));
        return Ok(Found { key: key.ok_or_else(wrong)?, place: VARIABLE.to_owned() });
    }
    if let Some(directory) = &outside.directory {
        let path = directory.join(CREDENTIAL);
        if let Some(bytes) = read_if_there(&path)? {
            return in_file(&path, &bytes);
        }
    }
    let path = data_dir.join(FILE);
    match sealed && !path.exists() {
        true => Err(Error::MasterKey(format!(
            "{} was sealed with one that is not there: give it as {}, as a credential or as {VARIABLE}",
            data_dir.display(),
            path.display()
        ))),
        false => in_file(&path, &ensure(data_dir, FILE, fresh_key)?),
    }
}

fn in_file(path: &Path, bytes: &[u8]) -> Result<Found, Error> {
    let place = path.display().to_string();
    match read(bytes) {
        Some(key) => Ok(Found { key, place }),
        None => Err(Error::MasterKey(format!("{place} does not hold 32 bytes, plain, in base64 or in hexadecimal"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A data directory, and a directory of credentials in it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("longshore-master-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("credentials")).unwrap();
            Self(dir)
        }

        fn file(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.join(name), bytes).unwrap();
        }

        fn outside(&self, variable: Option<&str>) -> Outside {
            Outside { variable: variable.map(OsString::from), directory: Some(self.0.join("credentials")) }
        }

        fn vault(&self, variable: Option<&str>) -> Result<Vault, String> {
            vault(&self.0, &self.outside(variable), |_| true).map_err(|error| {
                let told = error.to_string();
                told.replace(&self.0.display().to_string(), "DATA")
            })
        }

        fn refusal(&self, variable: Option<&str>) -> String {
            self.vault(variable).map(|_| "opened").unwrap_err()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const HEX: &str = "0707070707070707070707070707070707070707070707070707070707070707";
    const BASE64: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const OTHER: &str = "0807070707070707070707070707070707070707070707070707070707070707";

    #[test]
    fn one_key_is_the_same_wherever_and_however_it_is_given() {
        let place = Place::new("same");
        let sealed = place.vault(Some(HEX)).unwrap().seal("x", b"secret").unwrap();
        let opens = |vault: Vault| assert_eq!(vault.open("x", &sealed).as_deref(), Some(&b"secret"[..]));
        opens(place.vault(Some(BASE64)).unwrap());
        opens(place.vault(Some(BASE64.trim_end_matches('='))).unwrap());
        for bytes in [&[7; 32][..], HEX.as_bytes(), format!("{BASE64}\n").as_bytes()] {
            place.file("credentials/longshore-master-key", bytes);
            opens(place.vault(None).unwrap());
        }
        fs::remove_file(place.0.join("credentials/longshore-master-key")).unwrap();
        place.file("master-key", &[7; 32]);
        opens(place.vault(None).unwrap());
        let mode = fs::metadata(place.0.join(CHECK)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_environment_comes_first_then_the_credential_then_the_file() {
        let place = Place::new("order");
        place.file("master-key", b"short");
        place.file("credentials/longshore-master-key", b"shorter");
        assert!(place.vault(Some(HEX)).is_ok());
        let credential = "the master key: DATA/credentials/longshore-master-key does not hold 32 bytes, plain, in base64 or in hexadecimal";
        assert_eq!(place.refusal(None), credential);
        fs::remove_file(place.0.join("credentials/longshore-master-key")).unwrap();
        assert_eq!(place.refusal(None), credential.replace("credentials/longshore-master-key", "master-key"));
    }

    #[test]
    fn another_key_than_that_of_the_data_is_refused_and_so_is_none() {
        let place = Place::new("other");
        place.vault(Some(HEX)).unwrap();
        let refused = "the master key: the one in LONGSHORE_MASTER_KEY is not the one that DATA was sealed with";
        assert_eq!(place.refusal(Some(OTHER)), refused);
        let missing = "the master key: DATA was sealed with one that is not there: give it as DATA/master-key, as a \
                       credential or as LONGSHORE_MASTER_KEY";
        assert_eq!(place.refusal(None), missing);
        assert!(!place.0.join("master-key").exists());
        place.file("master-key", &[9; 32]);
        assert_eq!(place.refusal(None), refused.replace("LONGSHORE_MASTER_KEY", "DATA/master-key"));
        assert!(place.vault(Some(HEX)).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_told() {
        let place = Place::new("none");
        for wrong in ["x", "0123456789abcdef0123456789abcdef", &HEX[1..], &format!("{HEX}00"), "%%%%"] {
            let told = "the master key: LONGSHORE_MASTER_KEY does not hold 32 bytes in base64 or hexadecimal";
            assert_eq!(place.refusal(Some(wrong)), told, "{wrong}");
        }
    }

    #[test]
    fn data_without_a_check_is_asked_itself() {
        let place = Place::new("records");
        let sealed = Vault::new(&[7; 32]).seal("AKIA", b"secret").unwrap();
        let opens = |vault: &Vault| vault.open("AKIA", &sealed).is_some();
        let refused = vault(&place.0, &place.outside(Some(OTHER)), opens).map(|_| "opened");
        assert!(refused.unwrap_err().to_string().ends_with("was sealed with"));
        assert!(!place.0.join(CHECK).exists());
        assert!(vault(&place.0, &place.outside(Some(HEX)), opens).is_ok());
        assert!(place.0.join(CHECK).exists());
    }

    #[test]
    fn a_key_is_made_at_the_first_start() {
        let place = Place::new("first");
        let sealed = place.vault(None).unwrap().seal("x", b"secret").unwrap();
        assert_eq!(place.vault(None).unwrap().open("x", &sealed).as_deref(), Some(&b"secret"[..]));
        let mode = fs::metadata(place.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
