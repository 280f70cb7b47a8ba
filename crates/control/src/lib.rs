//! The control-plane process: gateway, sign-in, loops, node sessions.
