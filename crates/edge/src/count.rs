//! What is counted, by CloudWatch's names. Counting takes no lock; [`Tally::take`] reads and begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_link::edge::ResponseTimes;

use crate::times::Times;

macro_rules! counts {
    ($($name:ident = $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count { $($name,)* }

        const ALL: &[(Count, &str)] = &[$((Count::$name, $text),)*];
    };
}

counts! {
    ActiveConnection = "ActiveConnectionCount",
    ActiveFlowTcp = "ActiveFlowCount_TCP",
    ActiveFlowTls = "ActiveFlowCount_TLS",
    ActiveFlowUdp = "ActiveFlowCount_UDP",
    ClientReset = "TCP_Client_Reset_Count",
    ClientTlsError = "ClientTLSNegotiationErrorCount",
    Elb3xx = "HTTPCode_ELB_3XX_Count",
    Elb4xx = "HTTPCode_ELB_4XX_Count",
    Elb500 = "HTTPCode_ELB_500_Count",
    Elb502 = "HTTPCode_ELB_502_Count",
    Elb503 = "HTTPCode_ELB_503_Count",
    Elb504 = "HTTPCode_ELB_504_Count",
    Elb5xx = "HTTPCode_ELB_5XX_Count",
    ElbReset = "TCP_ELB_Reset_Count",
    FixedResponse = "HTTP_Fixed_Response_Count",
    NewConnection = "NewConnectionCount",
    NewFlowTcp = "NewFlowCount_TCP",
    NewFlowTls = "NewFlowCount_TLS",
    NewFlowUdp = "NewFlowCount_UDP",
    NonCompliant = "DesyncMitigationMode_NonCompliant_Request_Count",
    Processed = "ProcessedBytes",
    ProcessedTcp = "ProcessedBytes_TCP",
    ProcessedTls = "ProcessedBytes_TLS",
    ProcessedUdp = "ProcessedBytes_UDP",
    Redirect = "HTTP_Redirect_Count",
    RejectedConnection = "RejectedConnectionCount",
    RejectedFlow = "RejectedFlowCount",
    Request = "RequestCount",
    Target2xx = "HTTPCode_Target_2XX_Count",
    Target3xx = "HTTPCode_Target_3XX_Count",
    Target4xx = "HTTPCode_Target_4XX_Count",
    Target5xx = "HTTPCode_Target_5XX_Count",
    TargetConnectionError = "TargetConnectionErrorCount",
    TargetReset = "TCP_Target_Reset_Count",
    TargetTlsError = "TargetTLSNegotiationErrorCount",
    UnhealthyRoutingFlow = "UnhealthyRoutingFlowCount",
}

/// What is counted by protocol and, without one, all together.
const SUMS: &[&str] = &["ActiveFlowCount", "NewFlowCount", "ProcessedBytes"];

impl Count {
    /// Whether it goes up and down, and is told as it is.
    fn is_level(self) -> bool {
        matches!(self, Self::ActiveConnection | Self::ActiveFlowTcp | Self::ActiveFlowTls | Self::ActiveFlowUdp)
    }
}

/// What was counted of one balancer, or of one target group.
#[derive(Debug)]
pub struct Tally {
    counts: [AtomicU64; ALL.len()],
    /// From when a request goes to its target to the answer's head.
    pub times: Times,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; ALL.len()], times: Times::default() }
    }
}

impl Tally {
    pub fn add(&self, what: Count, number: u64) {
        // Every one has its place.
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Counts one.
    pub fn note(&self, what: Count) {
        self.add(what, 1);
    }

    /// Counts one for as long as the guard lives.
    pub fn open(self: &Arc<Self>, what: Count) -> Open {
        self.note(what);
        Open { tally: self.clone(), what }
    }

    /// An answer that is the balancer's own.
    pub fn answered(&self, status: u16) {
        let class = match status {
            300..400 => Count::Elb3xx,
            400..500 => Count::Elb4xx,
            500..600 => Count::Elb5xx,
            _ => return,
        };
        self.note(class);
        let code = match status {
            500 => Count::Elb500,
            502 => Count::Elb502,
            503 => Count::Elb503,
            504 => Count::Elb504,
            _ => return,
        };
        self.note(code);
    }

    /// An answer of a target's, whose head took so long.
    pub fn relayed(&self, status: u16, took: Duration) {
        self.times.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        match status {
            200..300 => self.note(Count::Target2xx),
            300..400 => self.note(Count::Target3xx),
            400..500 => self.note(Count::Target4xx),
            500..600 => self.note(Count::Target5xx),
            _ => {}
        }
    }

    /// What has been counted since it was last taken, by name, without zeros.
    pub fn take(&self) -> (BTreeMap<String, u64>, Option<ResponseTimes>) {
        let mut values = BTreeMap::new();
        for ((what, name), count) in ALL.iter().zip(&self.counts) {
            let level = || count.load(Ordering::Relaxed);
            let value = if what.is_level() { level() } else { count.swap(0, Ordering::Relaxed) };
            if value > 0 {
                *values.entry((*name).to_owned()).or_default() += value;
                let whole = name.rsplit_once('_').map(|(whole, _)| whole).filter(|whole| SUMS.contains(whole));
                whole.into_iter().for_each(|whole| *values.entry(whole.to_owned()).or_default() += value);
            }
        }
        (values, self.times.take())
    }
}

/// That one more is there.
#[derive(Debug)]
pub struct Open {
    tally: Arc<Tally>,
    what: Count,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(count) = self.tally.counts.get(self.what as usize) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_begin_anew_and_levels_go_on() {
        let tally = Arc::new(Tally::default());
        tally.note(Count::NewFlowTcp);
        tally.add(Count::NewFlowUdp, 2);
        let open = tally.open(Count::ActiveFlowUdp);
        let named = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let expected: BTreeMap<String, u64> = named(&[
            ("ActiveFlowCount", 1),
            ("ActiveFlowCount_UDP", 1),
            ("NewFlowCount", 3),
            ("NewFlowCount_TCP", 1),
            ("NewFlowCount_UDP", 2),
        ]);
        assert_eq!(tally.take().0, expected);
        assert_eq!(tally.take().0, named(&[("ActiveFlowCount", 1), ("ActiveFlowCount_UDP", 1)]));
        drop(open);
        assert_eq!(tally.take(), (BTreeMap::new(), None));
    }
}
