//! Input that is made to do harm, by its classes: what exactly is answered, which connections end, and what reaches a target,
//! byte for byte. Clients, targets and the edge between them are on loopback.
//!
//! * `requests` (H1 to H6): chunks, lengths, codings, headers, request lines, hosts.
//! * `pipelines` (H7): several requests on one connection.
//! * `streams` (H8): HTTP/2 that HTTP/1 says otherwise, or not at all.
//! * `neighbours` (H9, H10): headers between neighbours, forwarders, tunnels.
//! * `answers` (H11): what targets answer.
//! * `floods` (H12): much of what is small.
//! * `handshakes` (H13): TLS.
//! * `guardian`: the cases of AWS's classifier.
//! * `mutants`: streams that nobody thought of.

mod answers;
mod floods;
mod frames;
mod guardian;
mod handshakes;
mod mutants;
mod neighbours;
mod pipelines;
mod reader;
mod requests;
mod script;
mod streams;
