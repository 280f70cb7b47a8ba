//! What has not been reported yet: for each target the last thing that is known, so that it is bounded by their number.

use std::collections::{BTreeMap, VecDeque};

use longshore_link::edge::{EdgeReport, Metrics, Problem, TargetHealth};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Minutes that wait to be reported; older ones are forgotten.
const MINUTES: usize = 15;

#[derive(Debug, Default)]
pub struct Reports {
    fresh: Mutex<Fresh>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Fresh {
    is_news: bool,
    generation: i64,
    health: BTreeMap<(String, String, u16), TargetHealth>,
    problems: Vec<Problem>,
    /// One a report.
    metrics: VecDeque<Metrics>,
}

impl Reports {
    pub fn put(&self, health: TargetHealth) {
        let mut fresh = self.fresh.lock();
        fresh.health.insert((health.target_group.clone(), health.id.clone(), health.port), health);
        fresh.is_news = true;
        self.news.notify_one();
    }

    /// A configuration is served.
    pub fn serve(&self, generation: i64, problems: Vec<Problem>) {
        let mut fresh = self.fresh.lock();
        (fresh.generation, fresh.problems, fresh.is_news) = (generation, problems, true);
        self.news.notify_one();
    }

    /// A minute has passed.
    pub fn put_metrics(&self, metrics: Metrics) {
        let mut fresh = self.fresh.lock();
        if fresh.metrics.len() == MINUTES {
            fresh.metrics.pop_front();
        }
        fresh.metrics.push_back(metrics);
        fresh.is_news = true;
        self.news.notify_one();
    }

    /// What is new, once something is.
    pub async fn next(&self) -> EdgeReport {
        loop {
            if let Some(report) = self.take() {
                return report;
            }
            self.news.notified().await;
        }
    }

    fn take(&self) -> Option<EdgeReport> {
        let mut fresh = self.fresh.lock();
        if !std::mem::take(&mut fresh.is_news) {
            return None;
        }
        let health = std::mem::take(&mut fresh.health).into_values().collect();
        let metrics = fresh.metrics.pop_front();
        fresh.is_news = !fresh.metrics.is_empty();
        Some(EdgeReport { generation: fresh.generation, health, problems: fresh.problems.clone(), metrics })
    }
}
