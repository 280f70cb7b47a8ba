//! Which target a request gets if its client stays with one, and what the answer's cookies say then.

use std::sync::Arc;

use http::{HeaderMap, Response};
use longshore_link::edge::Stickiness;

use super::relay::Outgoing;
use super::sticky::{self, Cookies, Name};
use super::{Connection, answer};
use crate::chance;
use crate::front::{Front, Group};
use crate::member::{Busy, Member};

/// What an answer is good for: where the client has been, and whether by a cookie, for the answer's own cookies.
pub struct Stay {
    group: Arc<Group>,
    group_seconds: Option<u32>,
    target: Name,
    was_kept: bool,
    /// Whose answers are counted.
    counted: Option<Arc<Member>>,
}

impl Connection {
    /// A target of the group: the one that the client's cookies name, if it may be chosen, else any.
    pub fn take(
        &self,
        front: &Front,
        (group, group_seconds): (Arc<Group>, Option<u32>),
        headers: &HeaderMap,
    ) -> Option<(Busy, Option<Stay>)> {
        let is_sticky = matches!(group.group.stickiness, Stickiness::LbCookie { .. } | Stickiness::AppCookie(_));
        if !is_sticky && group_seconds.is_none() && !group.mitigates() {
            return group.choose(front).map(|busy| (busy, None));
        }
        let named = self.cookies(front).target(headers, &group.arn, &group.group.stickiness);
        let kept = named.and_then(|name| group.choose_named(front, &name));
        let was_kept = kept.is_some();
        let busy = kept.or_else(|| group.choose(front))?;
        let key = &busy.member().key;
        let target = sticky::name(&key.id, key.port);
        let counted = group.mitigates().then(|| busy.member().clone());
        Some((busy, Some(Stay { group, group_seconds, target, was_kept, counted })))
    }

    /// A target's answer with the cookies that keep its client.
    pub fn keep(&self, front: &Front, stay: Option<Stay>, mut answer: Response<Outgoing>) -> Response<Outgoing> {
        if let Some(member) = stay.as_ref().and_then(|stay| stay.counted.as_ref()) {
            member.record.note(answer.status().is_server_error());
        }
        let Some(stay) = stay.filter(|_| answer.extensions().get::<answer::Own>().is_none()) else { return answer };
        let (cookies, headers) = (self.cookies(front), answer.headers_mut());
        if let Some(seconds) = stay.group_seconds {
            cookies.keep_group(headers, &stay.group.arn, seconds);
        }
        cookies.keep_target(headers, &stay.group.arn, &stay.group.group.stickiness, &stay.target, stay.was_kept);
        answer
    }

    pub fn cookies<'f>(&self, front: &'f Front) -> Cookies<'f> {
        Cookies { seal: &front.seal, now: chance::now_millis(), secure: self.hop.protocol == "https" }
    }
}
