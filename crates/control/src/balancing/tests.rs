use longshore_link::edge::Series as Counted;

use super::*;

const BALANCER: &str = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/web/1";
const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/one/2";
const NOON: i64 = 28_333_440 * MINUTE;

fn metrics(at: i64, group: Option<&str>, values: &[(&str, u64)]) -> Metrics {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let target_group = group.map(str::to_owned);
    let series = Counted { balancer: BALANCER.to_owned(), target_group, values, response_times: None };
    Metrics { at, series: vec![series] }
}

fn points(minutes: &Minutes, group: Option<&str>, name: &str) -> Vec<(i64, u64)> {
    let key = ((BALANCER.to_owned(), group.map(str::to_owned)), name.to_owned());
    minutes.0.lock().counts.get(&key).map(|series| series.iter().copied().collect()).unwrap_or_default()
}

#[test]
fn what_several_edges_counted_is_one_minute() {
    let minutes = Minutes::default();
    let values = [("RequestCount", 3), ("HealthyHostCount", 2)];
    minutes.take(metrics(NOON + 7, Some(GROUP), &values), NOON + MINUTE, |_| true);
    minutes.take(metrics(NOON, Some(GROUP), &values), NOON + MINUTE, |_| true);
    minutes.take(metrics(NOON - MINUTE, Some(GROUP), &values[..1]), NOON + MINUTE, |_| true);
    assert_eq!(points(&minutes, Some(GROUP), "RequestCount"), [(NOON - MINUTE, 3), (NOON, 6)]);
    assert_eq!(points(&minutes, Some(GROUP), "HealthyHostCount"), [(NOON, 2)]);
}

#[test]
fn what_is_not_the_edges_or_of_another_time_is_dropped() {
    let minutes = Minutes::default();
    let three_hours = MINUTES as i64 * MINUTE;
    minutes.take(metrics(NOON, None, &[("a", 1)]), NOON, |arn| arn != BALANCER);
    minutes.take(metrics(NOON + MINUTE, None, &[("a", 1)]), NOON, |_| true);
    minutes.take(metrics(NOON - three_hours - MINUTE, None, &[("a", 1)]), NOON, |_| true);
    minutes.take(metrics(NOON, None, &[("a b", 1), (&"a".repeat(NAME + 1), 1)]), NOON, |_| true);
    assert!(minutes.0.lock().counts.is_empty());
}

#[test]
fn three_hours_are_kept_and_series_have_a_bound() {
    let minutes = Minutes::default();
    for number in 0..400 {
        let at = NOON + number * MINUTE;
        minutes.take(metrics(at, None, &[("a", 1)]), at, |_| true);
    }
    assert_eq!(points(&minutes, None, "a").len(), MINUTES + 1);
    let later = NOON + 2_000 * MINUTE;
    let names: Vec<String> = (0..COUNTS + 10).map(|number| format!("n{number}")).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    minutes.take(metrics(later, None, &many), later, |_| true);
    minutes.take(metrics(later + MINUTE, None, &many), later + MINUTE, |_| true);
    let kept = minutes.0.lock();
    assert!(kept.counts.len() <= COUNTS && kept.counts.len() >= COUNTS - 1, "{}", kept.counts.len());
    assert!(!kept.counts.keys().any(|(_, name)| name == "a"));
}

#[test]
fn the_last_minute_is_shown_as_long_as_it_is_fresh() {
    let minutes = Minutes::default();
    let mut one = metrics(NOON, Some(GROUP), &[("RequestCount", 7)]);
    let ranges = (1..=200).map(|number| (number * 1_000, 1)).collect();
    let times = ResponseTimes { count: 200, sum_micros: 0, min_micros: 1_000, max_micros: 200_000, ranges };
    one.series[0].response_times = Some(times);
    minutes.take(one, NOON + MINUTE, |_| true);
    let text = minutes.text(NOON + 2 * MINUTE);
    let labels = "load_balancer=\"app/web/1\",target_group=\"targetgroup/one/2\"";
    assert!(text.contains(&format!("longshore_elb_last_minute{{metric=\"RequestCount\",{labels}}} 7\n")), "{text}");
    assert!(
        text.contains(&format!("longshore_elb_target_response_seconds{{quantile=\"0.5\",{labels}}} 0.1\n")),
        "{text}"
    );
    let kept = minutes.0.lock().times.values().next().and_then(|series| series.front().cloned()).expect("times");
    assert!(kept.1.ranges.len() <= RANGES && kept.1.ranges.iter().map(|(_, count)| count).sum::<u64>() == 200);
    assert!(!minutes.text(NOON + 10 * MINUTE).contains("RequestCount"));
}
