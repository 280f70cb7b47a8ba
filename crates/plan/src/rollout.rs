//! The arithmetic of a rolling deployment: how few tasks may serve, how many may exist.

use longshore_api::ecs::DeploymentConfiguration;

/// Floor and ceiling of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tasks that must stay healthy: `ceil(desired * minimumHealthyPercent / 100)`.
    pub lower: i64,
    /// Tasks that may exist, starting, running and stopping together: `floor(desired * maximumPercent / 100)`.
    pub upper: i64,
}

/// The defaults of REPLICA services.
pub const MINIMUM_HEALTHY_PERCENT: i32 = 100;
pub const MAXIMUM_PERCENT: i32 = 200;

pub fn bounds(desired: i32, configuration: Option<&DeploymentConfiguration>) -> Bounds {
    let minimum = configuration.and_then(|given| given.minimum_healthy_percent).unwrap_or(MINIMUM_HEALTHY_PERCENT);
    let maximum = configuration.and_then(|given| given.maximum_percent).unwrap_or(MAXIMUM_PERCENT);
    let desired = i64::from(desired);
    Bounds { lower: (desired * i64::from(minimum) + 99) / 100, upper: desired * i64::from(maximum) / 100 }
}

impl Bounds {
    /// How many of `healthy` tasks may stop.
    pub fn may_stop(self, healthy: i64) -> i64 {
        #[cfg(feature = "planted")]
        if longshore_model::planted::is(longshore_model::planted::Bug::FloorBroken) {
            return healthy;
        }
        (healthy - self.lower).max(0)
    }

    /// How many tasks may start beside `existing` ones.
    pub fn may_start(self, existing: i64) -> i64 {
        (self.upper - existing).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_and_ceiling_follow_the_table() {
        for (desired, minimum, maximum, lower, upper) in [
            (4, 50, 200, 2, 8),
            (2, 75, 200, 2, 4),
            (3, 100, 125, 3, 3),
            (1, 100, 100, 1, 1),
            (1, 0, 100, 0, 1),
            (0, 100, 200, 0, 0),
            (3, 50, 150, 2, 4),
        ] {
            let configuration = DeploymentConfiguration {
                minimum_healthy_percent: Some(minimum),
                maximum_percent: Some(maximum),
                ..Default::default()
            };
            let got = bounds(desired, Some(&configuration));
            assert_eq!(got, Bounds { lower, upper }, "desired {desired}, {minimum}/{maximum}");
        }
        assert_eq!(bounds(2, None), Bounds { lower: 2, upper: 4 });
    }
}
