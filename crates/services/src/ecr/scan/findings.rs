//! `DescribeImageScanFindings`, and what other answers say of a scan.

use longshore_api::ecr as api;
use longshore_model::registry::{Digest, ImageScan};
use longshore_store::blobs::{Blobs, READ, Reader};
use longshore_wire::{Fault, json};

use super::{content, fault, named, registry};
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

const OPERATION: &str = "DescribeImageScanFindings";

/// Findings on a page where the caller does not say.
const USUAL: i32 = 100;

/// Bytes of one finding.
const LONGEST_LINE: usize = 256 * 1024;

/// What came of an image's last scan, a page of its findings, the worst first.
///
/// # Errors
/// `RepositoryNotFoundException`, `ImageNotFoundException`, `ScanNotFoundException`, `InvalidParameterException`, `KmsException`;
/// `ServerException` if the findings cannot be read.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeImageScanFindingsRequest,
) -> Result<api::DescribeImageScanFindingsResponse, Fault> {
    let registry = registry(context, request.registry_id.as_deref());
    let name = request.repository_name.unwrap_or_default();
    let id = request.image_id.unwrap_or_default();
    let named = named(&id)?;
    let scan = {
        let state = context.read();
        let image = content::image(&state, &registry, &name, named)?;
        let missing = || fault::no_scan(&registry, &name, &image.digest, named.tag);
        state.image_scan(&image.repository, &image.digest).cloned().ok_or_else(missing)?
    };
    let blobs = scan.findings.as_ref().map(|_| content::bytes(context, &registry, &name)).transpose()?;
    // A page goes on in the findings that it began in.
    let filter = format!("{}\n{}\n{}", scan.repository, scan.digest, scan.findings.as_deref().unwrap_or_default());
    let scope = Scope { account: context.account().as_str(), operation: OPERATION, filter: &filter };
    let key = &context.settings.page_key;
    let open = |token: &str| decode(key, scope, token).and_then(|at| at.parse().ok());
    let token = request.next_token.as_deref().filter(|token| !token.is_empty());
    let invalid = || fault::parameter("nextToken", "must be a token of this operation");
    let at = token.map_or(Ok(0), |token| open(token).ok_or_else(invalid))?;
    let limit = usize::try_from(request.max_results.unwrap_or(USUAL)).unwrap_or_default();
    let (findings, next) = match (&scan.findings, &blobs) {
        (Some(digest), Some(blobs)) => read(blobs, digest, at, limit)?,
        _ => (Vec::new(), None),
    };
    Ok(api::DescribeImageScanFindingsResponse {
        registry_id: Some(registry.to_string()),
        repository_name: Some(name),
        image_id: Some(api::ImageIdentifier { image_digest: Some(scan.digest.clone()), image_tag: id.image_tag }),
        image_scan_status: Some(status(&scan)),
        image_scan_findings: summary(&scan).map(|summary| api::ImageScanFindings {
            image_scan_completed_at: summary.image_scan_completed_at,
            vulnerability_source_updated_at: summary.vulnerability_source_updated_at,
            finding_severity_counts: summary.finding_severity_counts,
            findings: Some(findings),
            enhanced_findings: None,
        }),
        next_token: next.map(|at| encode(key, scope, &at.to_string())),
    })
}

/// How a scan goes.
pub fn status(scan: &ImageScan) -> api::ImageScanStatus {
    api::ImageScanStatus { status: Some(scan.status), description: scan.description.clone() }
}

/// The numbers of a scan that is complete.
pub fn summary(scan: &ImageScan) -> Option<api::ImageScanFindingsSummary> {
    let is_complete = scan.status == api::ScanStatus::Complete;
    is_complete.then(|| api::ImageScanFindingsSummary {
        image_scan_completed_at: scan.completed_at,
        vulnerability_source_updated_at: scan.source_updated_at,
        finding_severity_counts: Some(scan.counts.clone()),
    })
}

/// A finding as it is kept.
pub fn line(finding: &api::ImageScanFinding) -> Vec<u8> {
    let mut line = json::to_vec(finding);
    line.push(b'\n');
    line
}

/// Findings from a place in their bytes on, and the place where the next begin.
fn read(
    blobs: &Blobs,
    digest: &str,
    at: u64,
    limit: usize,
) -> Result<(Vec<api::ImageScanFinding>, Option<u64>), Fault> {
    let digest = Digest::parse(digest).map_err(|_| Fault::internal())?;
    let reader = blobs.reader(&digest).map_err(|error| fault::bytes(&error))?;
    let mut lines = Lines { reader, at, piece: Vec::new(), used: 0 };
    let mut findings = Vec::new();
    while findings.len() < limit {
        let Some(line) = lines.next()? else { return Ok((findings, None)) };
        findings.push(json::from_slice(&line).map_err(|_| Fault::internal())?);
    }
    let next = Some(lines.at).filter(|at| *at < lines.reader.size());
    Ok((findings, next))
}

struct Lines {
    reader: Reader,
    /// Where the next line begins.
    at: u64,
    /// What was read last, and how much of it is of lines before.
    piece: Vec<u8>,
    used: usize,
}

impl Lines {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let mut line = Vec::new();
        loop {
            if self.used == self.piece.len() {
                let at = self.at + line.len() as u64;
                if at >= self.reader.size() {
                    return if line.is_empty() { Ok(None) } else { Err(Fault::internal()) };
                }
                let read = self.reader.read(at, READ as u64).map_err(|error| fault::bytes(&error))?;
                (self.piece, self.used) = (read.to_vec(), 0);
            }
            let rest = &self.piece[self.used..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            if line.len() > LONGEST_LINE {
                return Err(Fault::internal());
            }
            self.used += end.map_or(rest.len(), |end| end + 1);
            if end.is_some() {
                self.at += line.len() as u64 + 1;
                return Ok(Some(line));
            }
        }
    }
}
