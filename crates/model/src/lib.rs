//! What exists: ids, ARNs, records, State, and the Changes that move it. Pure.
