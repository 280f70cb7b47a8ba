//! Log streams and events.
