//! The edge as its clients and targets see it: real sockets on loopback. One program for all, which links once.

mod access;
mod codes;
mod counts;
mod door;
mod hostile;
mod http;
mod shown;
mod sticky;
mod streams;
mod support;
mod targets;
mod tcp;
mod tls;
mod udp;
mod upstream;
mod zones;
