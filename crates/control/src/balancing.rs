//! What edges counted: the minutes of the last three hours, in memory, for `/metrics` and for who asks later.
//!
//! Several edges may serve one balancer. Their counts of a minute are one sum; of the hosts that each of them sees, which are the
//! same ones, it is the highest number. What is beyond the bounds is not kept; a series that nothing is heard of goes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use longshore_link::edge::{Metrics, ResponseTimes};
use parking_lot::Mutex;

const MINUTE: i64 = 60_000;

/// Minutes of a series.
const MINUTES: usize = 180;

/// Series of counts: a balancer or group of it, and a name.
const COUNTS: usize = 10_000;

/// Series of response times, which take more room.
const TIMES: usize = 256;

/// Ranges of one minute's response times; neighbours become one beyond.
const RANGES: usize = 64;

/// Ranges that are read of what an edge says of one minute: more than it has.
const MOST_RANGES: usize = 1_000;

/// Bytes of a series' name.
const NAME: usize = 64;

/// `/metrics` shows a minute that ended so long ago at most.
const FRESH: i64 = 3 * MINUTE;

/// What a series is of: the ARN of a balancer, and of the group that it is of alone.
type Of = (String, Option<String>);

/// A series, and when each minute of it began.
type Series<T> = VecDeque<(i64, T)>;

#[derive(Default)]
pub struct Minutes(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    counts: BTreeMap<(Of, String), Series<u64>>,
    times: BTreeMap<Of, Series<ResponseTimes>>,
}

impl Minutes {
    /// Takes what an edge counted of balancers that are `own` to it. `now` is in milliseconds since 1970; a minute that is yet
    /// to come, or too long ago, is dropped.
    pub fn take(&self, metrics: Metrics, now: i64, own: impl Fn(&str) -> bool) {
        let (at, oldest) = (metrics.at.div_euclid(MINUTE) * MINUTE, now - MINUTES as i64 * MINUTE);
        if at < oldest || at > now {
            return;
        }
        let mut kept = self.0.lock();
        for series in metrics.series.into_iter().filter(|series| own(&series.balancer)) {
            let of = (series.balancer, series.target_group);
            for (name, value) in series.values.into_iter().filter(|(name, _)| is_name(name)) {
                let sum = if name.ends_with("HostCount") { u64::max } else { u64::saturating_add };
                if let Some(count) = place(&mut kept.counts, (of.clone(), name), at, COUNTS) {
                    *count = sum(*count, value);
                }
            }
            let Some(mut times) = series.response_times else { continue };
            times.ranges.truncate(MOST_RANGES);
            if let Some(known) = place(&mut kept.times, of, at, TIMES) {
                known.add(&times);
                narrow(&mut known.ranges);
            }
        }
        kept.forget(oldest);
    }

    /// The last minute of every series, in Prometheus' text form.
    pub fn text(&self, now: i64) -> String {
        let kept = self.0.lock();
        let mut text = String::from("# TYPE longshore_elb_last_minute gauge\n");
        for (((balancer, group), name), series) in &kept.counts {
            let Some(value) = fresh(series, now) else { continue };
            let labels = labels(balancer, group.as_deref());
            let _ = writeln!(text, "longshore_elb_last_minute{{metric=\"{name}\",{labels}}} {value}");
        }
        text.push_str("# TYPE longshore_elb_target_response_seconds gauge\n");
        for ((balancer, group), series) in &kept.times {
            let Some(times) = fresh(series, now) else { continue };
            let labels = labels(balancer, group.as_deref());
            for part in [0.5, 0.9, 0.99] {
                let seconds = times.percentile(part) as f64 / 1e6;
                let _ =
                    writeln!(text, "longshore_elb_target_response_seconds{{quantile=\"{part}\",{labels}}} {seconds}");
            }
        }
        text
    }
}

impl Kept {
    fn forget(&mut self, oldest: i64) {
        self.counts.retain(|_, series| trim(series, oldest));
        self.times.retain(|_, series| trim(series, oldest));
    }
}

/// Whether there is something left.
fn trim<T>(series: &mut Series<T>, oldest: i64) -> bool {
    while series.front().is_some_and(|(at, _)| *at < oldest) {
        series.pop_front();
    }
    !series.is_empty()
}

/// The place of a minute in a series. `None` if there is no room for another series.
fn place<K: Ord, T: Default>(rows: &mut BTreeMap<K, Series<T>>, key: K, at: i64, most: usize) -> Option<&mut T> {
    if rows.len() >= most && !rows.contains_key(&key) {
        return None;
    }
    let series = rows.entry(key).or_default();
    let found = series.binary_search_by_key(&at, |(at, _)| *at).unwrap_or_else(|place| {
        series.insert(place, (at, T::default()));
        place
    });
    series.get_mut(found).map(|(_, value)| value)
}

fn fresh<T>(series: &Series<T>, now: i64) -> Option<&T> {
    series.back().filter(|(at, _)| now - at <= FRESH + MINUTE).map(|(_, value)| value)
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Makes neighbours one until there are few enough.
fn narrow(ranges: &mut Vec<(u64, u64)>) {
    while ranges.len() > RANGES {
        let halved = ranges.chunks(2).filter_map(|pair| {
            let most = pair.last()?.0;
            Some((most, pair.iter().map(|(_, count)| *count).fold(0, u64::saturating_add)))
        });
        *ranges = halved.collect();
    }
}

/// By CloudWatch's dimensions.
fn labels(balancer: &str, group: Option<&str>) -> String {
    let tail =
        |arn: &str, mark: &str| arn.split_once(mark).map_or(arn, |(_, tail)| tail).replace(['\\', '"', '\n'], "");
    let mut text = format!("load_balancer=\"{}\"", tail(balancer, ":loadbalancer/"));
    if let Some(group) = group {
        let _ = write!(text, ",target_group=\"targetgroup/{}\"", tail(group, ":targetgroup/"));
    }
    text
}

#[cfg(test)]
mod tests;
