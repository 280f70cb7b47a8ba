//! What happens next: place, reconcile, roll out, heal, reap. Pure.
