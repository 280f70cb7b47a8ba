//! PEM: how certificates and keys are given and shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Characters of a line.
const LINE: usize = 64;

/// The certificates in a text, in order; what is around them is passed over. `None` if one does not read.
pub fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().ok()
}

/// One block.
pub fn block(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

pub fn certificate(der: &[u8]) -> String {
    block("CERTIFICATE", der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_they_are_written() {
        for length in [1, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let text = certificate(&der);
            assert!(text.lines().all(|line| line.len() <= LINE));
            let around = format!("words before\n{text}words between\r\n{}", text.replace('\n', "\r\n"));
            let read = certificates(around.as_bytes()).unwrap();
            assert_eq!(read.iter().map(|one| one.as_ref()).collect::<Vec<_>>(), [&der, &der]);
        }
    }

    #[test]
    fn what_is_cut_does_not_read() {
        let text = certificate(&[7; 100]);
        assert_eq!(certificates(b"nothing").map(|all| all.len()), Some(0));
        assert_eq!(certificates(&text.as_bytes()[..60]), None);
        assert_eq!(certificates(text.replace("Bwc", "B\u{1}c").as_bytes()), None);
    }
}
